"""A device's side of MQTT: publish at QoS 1 and read the reason code of every PUBACK.

paho keeps what is not acknowledged and sends it again after each reconnect, so a publish here is never repeated while
paho still has it. paho runs in its own thread; everything of ours happens in the event loop.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from paho.mqtt.client import MQTT_ERR_NO_CONN, MQTT_ERR_SUCCESS, Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sensorflow.errors import FieldError, PermanentError, RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any, Self

    from paho.mqtt.reasoncodes import ReasonCode
    from pydantic import SecretStr

    from sensorflow.settings import Broker

_CONNECT_TIMEOUT_S = 5.0
_MAX_RECONNECT_DELAY_S = 5

# MQTT 5, 2.4.
_NO_MATCHING_SUBSCRIBERS = 0x10
_BAD_USER_OR_PASSWORD = 0x86
_NOT_AUTHORIZED = 0x87
_REJECTED = frozenset({0x90, 0x95, 0x99})  # topic name invalid, packet too large, payload format invalid


class Publisher:
    """One connection of one user, as an async context manager; it reconnects for ever.

    Args:
        broker: Where it connects to.
        max_in_flight: How many publishes may wait for their PUBACK; further ones wait in memory, so the caller bounds
            how many it starts.
    """

    def __init__(self, broker: Broker, *, username: str, password: SecretStr, max_in_flight: int) -> None:
        self._address = f"MQTT {broker.mqtt_host}:{broker.mqtt_port}"
        self._username = username
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._connected = asyncio.Event()
        self._refusal: PermanentError | None = None
        self._client = client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        client.username_pw_set(username, password.get_secret_value())
        client.max_inflight_messages_set(max_in_flight)
        client.reconnect_delay_set(max_delay=_MAX_RECONNECT_DELAY_S)
        if broker.mqtt_tls:
            client.tls_set_context(broker.ssl_context)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.connect_async(broker.mqtt_host, broker.mqtt_port, broker.mqtt_keepalive_s)

    async def __aenter__(self) -> Self:
        """Start to connect; a broker that is away is no error yet."""
        self._client.loop_start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; what has no PUBACK by now gets none."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def publish(self, topic: str, payload: bytes, user_properties: Sequence[tuple[str, str]] = ()) -> None:
        """Return once the broker has answered 0x00; wait for that over as many connections as it takes.

        Raises:
            RejectedError: The broker will never take this message.
            TransientError: The broker, or the bridge behind it, may take it later.
            PermanentError: The broker does not let us in, or not on this topic.
        """
        await self._wait_for_connection()
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho's constructor has no types
        for pair in user_properties:
            properties.UserProperty = pair
        sent = self._client.publish(topic, payload, qos=1, properties=properties)
        if sent.rc not in {MQTT_ERR_SUCCESS, MQTT_ERR_NO_CONN}:  # without a connection paho keeps it for the next one
            raise TransientError(f"{self._address}: cannot publish (paho error {sent.rc})")
        self._waiting[sent.mid] = acknowledged = self._loop.create_future()
        try:
            await acknowledged
        finally:
            self._waiting.pop(sent.mid, None)

    async def _wait_for_connection(self) -> None:
        with suppress(TimeoutError):
            # Not wait_for: on Python 3.11 it swallows a cancellation that comes just as it ends.
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await self._connected.wait()
        if self._refusal:
            raise self._refusal
        if not self._connected.is_set():
            raise TransientError(f"{self._address}: no connection")

    def _on_publish(self, _client: Client, _data: Any, packet_id: int, code: ReasonCode, _properties: Any) -> None:
        # publish() has no await between handing a message to paho and waiting for it, so this cannot come too early.
        self._loop.call_soon_threadsafe(self._settle, packet_id, code.value, str(code))

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        if not code.is_failure:
            self._loop.call_soon_threadsafe(self._connected.set)
        elif code.value in {_BAD_USER_OR_PASSWORD, _NOT_AUTHORIZED}:
            self._loop.call_soon_threadsafe(self._refuse, str(code))

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, _code: Any, _properties: Any) -> None:
        self._loop.call_soon_threadsafe(self._connected.clear)

    def _settle(self, packet_id: int, code: int, text: str) -> None:
        future = self._waiting.get(packet_id)
        if future is None or future.done():
            return
        if error := self._error(code, text):
            future.set_exception(error)
        else:
            future.set_result(None)

    def _refuse(self, text: str) -> None:
        self._refusal = PermanentError(f"{self._address} does not let user {self._username!r} in: {text}")
        self._connected.set()  # nobody waits for a connection that will never be
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._refusal)

    def _error(self, code: int, text: str) -> Exception | None:
        answer = f"{self._address} answered {code:#04x} ({text})"
        if code == 0:
            return None
        if code == _NO_MATCHING_SUBSCRIBERS:
            return TransientError(f"{answer}: nobody takes readings; has the bridge ever run?")
        if code == _NOT_AUTHORIZED:
            return PermanentError(f"{answer}: user {self._username!r} may not publish here")
        if code in _REJECTED:
            return RejectedError("refused", FieldError("", answer))
        return TransientError(answer)
