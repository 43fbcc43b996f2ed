"""The broker, asked as the operator: who is let in, what it says of its limits, whose access rules it has."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from sensorflow import broker_limits, topics
from sensorflow.cli.checkup.finding import Finding
from sensorflow.mqtt import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paho.mqtt.reasoncodes import ReasonCode

    from sensorflow.settings import OperatorSettings

_TIMEOUT_S = 5.0
_LISTEN_S = 1.0  # what is retained comes at once; what should not come has had its chance
_SESSION_S = 30 * 86400  # what the bridge asks for
_LET_IN = 0
_NOT_AUTHORIZED = 0x87  # MQTT 5, 3.4.2.1
_MIN_RECEIVE_MAXIMUM = 100  # http_api has that many readings on their way where as many boards send at once
_VERSION = "$SYS/broker/version"
_FORBIDDEN = (
    "receipts/doctor",
    "dead_letters/doctor",
    "status/doctor",
)  # nobody reads them; harmless if they get through


def examine(settings: OperatorSettings, *, is_bridge_running: bool) -> Iterator[Finding]:
    """All that a client can see of it."""
    address = f"{settings.mqtt_host}:{settings.mqtt_port}"
    seen = _Look(settings, settings.mqtt_username, settings.mqtt_password.get_secret_value())
    if seen.code is None:
        yield Finding(
            "broker", f"nobody answers at {address}: {seen.why}", "start it; MQTT_HOST and MQTT_PORT say where"
        )
        return
    if seen.code != _LET_IN:
        yield Finding(
            "broker",
            f"{address} does not let user {settings.mqtt_username!r} in: {seen.why}",
            "run sensorflow init with the same settings, then restart the broker",
        )
        return
    yield from _strangers(settings, address)
    yield from _limits(seen.limits)
    if faults := broker_limits.known_faults(seen.version):
        yield Finding("broker", faults, "update it, or see that your distribution has", is_fault=False)
    yield from _rules(seen, settings.mqtt_username)
    if is_bridge_running and topics.status("bridge") not in seen.topics:
        yield Finding(
            "broker",
            f"user {settings.mqtt_username!r} hears nothing of the bridge at {address}",
            "the bridge is at another broker, or the access rules are not ours: compare the broker's acl file",
        )


def _strangers(settings: OperatorSettings, address: str) -> Iterator[Finding]:
    for username, password, who in (
        (None, None, "anybody, without a password"),
        (settings.mqtt_username, "not the password", "anybody who says to be the operator, with any password"),
    ):
        if _Look(settings, username, password, is_brief=True).code == _LET_IN:
            yield Finding(
                "broker",
                f"{address} lets in {who}",
                "use our mosquitto.conf (allow_anonymous false, password_file) and restart the broker",
            )


def _limits(said: dict[str, Any]) -> Iterator[Finding]:
    """What the CONNACK says (MQTT 5, 3.2.2.3); where it says nothing there is no limit."""
    limits = Limits(
        session_expiry_s=said.get("SessionExpiryInterval"),
        max_qos=said.get("MaximumQoS", 2),
        max_packet_bytes=said.get("MaximumPacketSize"),
        has_retained=bool(said.get("RetainAvailable", 1)),
        has_wildcards=bool(said.get("WildcardSubscriptionAvailable", 1)),
    )
    for complaint in broker_limits.of_connection(limits):
        what, _, advice = complaint.partition(": ")
        yield Finding("broker", what, advice)
    if (most := said.get("ReceiveMaximum", 65_535)) < _MIN_RECEIVE_MAXIMUM:
        yield Finding(
            "broker",
            f"it takes {most} messages at once from one client, which holds http_api up",
            "raise it (max_inflight_messages 1000)",
        )


def _rules(seen: _Look, username: str) -> Iterator[Finding]:
    for topic in _FORBIDDEN:
        if (code := seen.pubacks.get(topic)) != _NOT_AUTHORIZED:
            said = "did not answer" if code is None else f"answered 0x{code:02x}"
            yield Finding(
                "broker",
                f"user {username!r} must not write to {topic}, and the broker {said} instead of 0x87",
                "put our acl file in place and restart the broker",
            )
    if any(topic.startswith("sensors/") for topic in seen.topics):
        yield Finding(
            "broker",
            f"user {username!r} reads devices' topics, which only the bridge may",
            "put our acl file in place and restart the broker",
        )


class _Look:
    """One connection of a user; what it has shown stays when it is over.

    Args:
        is_brief: Only whether the user is let in.
    """

    def __init__(
        self, settings: OperatorSettings, username: str | None, password: str | None, *, is_brief: bool = False
    ) -> None:
        self.code: int | None = None
        self.why = f"no CONNACK within {_TIMEOUT_S:g} s"
        self.limits: dict[str, Any] = {}
        self.topics: set[str] = set()
        self.version = ""  # as Mosquitto says it; others have no such topic
        self.pubacks: dict[str, int] = {}
        self._let_in, self._all_answered = threading.Event(), threading.Event()
        self._topic_by_id: dict[int, str] = {}
        self._client = self._new_client(settings, username, password)
        try:
            # A session that is to last, as the bridge's; goodbye ends it.
            self._client.connect(
                settings.mqtt_host,
                settings.mqtt_port,
                settings.mqtt_keepalive_s,
                properties=_expiry(PacketTypes.CONNECT, 0 if is_brief else _SESSION_S),
            )
        except (OSError, ValueError) as error:
            self.why = str(error)
            return
        try:
            self._client.loop_start()
            if self._let_in.wait(_TIMEOUT_S) and self.code == _LET_IN and not is_brief:
                self._look_around()
        finally:
            self._client.disconnect(properties=_expiry(PacketTypes.DISCONNECT, 0))
            self._client.loop_stop()

    def _new_client(self, settings: OperatorSettings, username: str | None, password: str | None) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5, reconnect_on_failure=False)
        client.connect_timeout = _TIMEOUT_S
        if username is not None:
            client.username_pw_set(username, password)
        if settings.mqtt_tls:
            client.tls_set_context(settings.ssl_context)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _look_around(self) -> None:
        at_most_once = SubscribeOptions(qos=0)
        self._client.subscribe(
            [(topics.STATUSES, at_most_once), (topics.READINGS, at_most_once), (_VERSION, at_most_once)]
        )
        for topic in _FORBIDDEN:
            self._topic_by_id[self._client.publish(topic, b"", qos=1).mid] = topic
        self._all_answered.wait(_TIMEOUT_S)
        time.sleep(_LISTEN_S)

    def _on_connect(self, _: Client, __: Any, ___: Any, code: ReasonCode, properties: Properties | None) -> None:
        self.code, self.why = code.value, str(code)
        self.limits = properties.json() if properties else {}  # type: ignore[no-untyped-call] # as above
        self._let_in.set()

    def _on_publish(self, _: Client, __: Any, packet_id: int, code: ReasonCode, ___: Any) -> None:
        self.pubacks[self._topic_by_id.get(packet_id, _FORBIDDEN[len(self.pubacks)])] = (
            code.value
        )  # in order of sending
        if len(self.pubacks) == len(_FORBIDDEN):
            self._all_answered.set()

    def _on_message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        if message.topic == _VERSION:
            self.version = message.payload.decode(errors="replace")
        self.topics.add(message.topic)


def _expiry(packet: int, seconds: int) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call] # as above
    properties.SessionExpiryInterval = seconds
    return properties
