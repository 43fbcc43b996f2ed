"""How a reading reaches the system: as a board's POST or as a device's PUBLISH.

Every reading carries its time, so sending it again is safe: the same reading at the same time is the same row.
A sender tries once; :mod:`sensorflow.cli.dispatch` alone decides whether to try again.
"""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import httpx
import orjson

from sensorflow import topics
from sensorflow.cli.publisher import Publisher
from sensorflow.cli.tally import Answer
from sensorflow.errors import FieldError, PermanentError, RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sensorflow.reading import Value
    from sensorflow.settings import BoardSettings, DeviceSettings

MAX_PAYLOAD_BYTES = 60_000  # below the 64 KiB that the API and the broker take; a larger one ends the MQTT connection
_REQUEST_TIMEOUT_S = 10.0
# What can change while we wait; with any other status every reading of the run would meet the same end.
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_REJECTED = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading on its way; ``time`` is RFC 3339, ``origin`` where people find it, such as a line of a file."""

    sensor_id: str
    kind: str
    time: str
    values: dict[str, Value]
    origin: str = ""

    def payload(self) -> bytes:
        """What a device would send.

        Raises:
            RejectedError: ``too_large``.
        """
        payload = orjson.dumps({**self.values, "sensor_id": self.sensor_id, "time": self.time})
        if len(payload) > MAX_PAYLOAD_BYTES:
            size = f"payload of {len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}"
            raise RejectedError("too_large", FieldError("", size))
        return payload


class RetryAfterError(TransientError):
    """The server says when it may succeed: in ``retry_after_s``."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Sender(Protocol):
    """One way into the system."""

    async def send(self, reading: Reading) -> Answer:
        """Send it once and wait for the answer.

        Raises:
            RejectedError: It will never be taken.
            TransientError: It may be taken later.
            PermanentError: No reading will be taken: a wrong key, an unknown kind.
        """


class HttpSender:
    """Posts to ``/api/v1/{kind}``.

    Args:
        clients: One for each reading that may be in flight. One client for all would search its whole pool at every
            request: 230 requests/s with 32 connections instead of 940 (2 cores, 2026-11).
    """

    def __init__(self, clients: Sequence[httpx.AsyncClient]) -> None:
        self._idle = list(clients)

    async def send(self, reading: Reading) -> Answer:
        """See :class:`Sender`."""
        payload = reading.payload()
        client = self._idle.pop()  # the last one used, so that a slow run needs but one connection
        try:
            response = await client.post(f"/api/v1/{reading.kind}", content=payload)
        except httpx.TransportError as error:
            raise TransientError(f"{client.base_url}: {str(error) or type(error).__name__}") from error
        finally:
            self._idle.append(client)
        return _answer(response)


class MqttSender:
    """Publishes to ``sensors/{sensor_id}/{kind}``."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def send(self, reading: Reading) -> Answer:
        """See :class:`Sender`."""
        await self._publisher.publish(topics.reading(reading.sensor_id, reading.kind), reading.payload())
        return Answer.ACCEPTED


@asynccontextmanager
async def open_http(settings: BoardSettings, *, max_in_flight: int) -> AsyncIterator[HttpSender]:
    """A sender with the site's API key, on at most ``max_in_flight`` connections."""
    host = f"[{settings.http_host}]" if ":" in settings.http_host else settings.http_host
    context = ssl.create_default_context()  # shared: each client would load the certificates for itself
    async with AsyncExitStack() as stack:
        clients = [
            httpx.AsyncClient(
                base_url=f"http://{host}:{settings.http_port}",
                headers={"X-API-Key": settings.api_key.get_secret_value(), "Content-Type": "application/json"},
                timeout=_REQUEST_TIMEOUT_S,
                trust_env=False,  # the API is on this network, whatever proxy the shell has set
                verify=context,
            )
            for _ in range(max_in_flight)
        ]
        for client in clients:
            await stack.enter_async_context(client)
        yield HttpSender(clients)


@asynccontextmanager
async def open_mqtt(settings: DeviceSettings, *, max_in_flight: int) -> AsyncIterator[MqttSender]:
    """A sender that is a device to the broker: the shared user of the quick start (mosquitto/acl)."""
    password = settings.mqtt_device_password
    async with Publisher(settings, username="device", password=password, max_in_flight=max_in_flight) as publisher:
        yield MqttSender(publisher)


def _answer(response: httpx.Response) -> Answer:
    if response.status_code == httpx.codes.CREATED:
        return Answer.DURABLE
    if response.status_code == httpx.codes.ACCEPTED:
        return Answer.ACCEPTED
    explanation = f"{response.status_code}: {_detail(response)}"
    if response.status_code in _REJECTED:
        raise RejectedError("bad_reading", FieldError("", explanation))
    if response.status_code in _TRY_AGAIN:
        raise RetryAfterError(explanation, _retry_after_s(response))
    raise PermanentError(f"{response.request.url} answered {explanation}")


def _detail(response: httpx.Response) -> str:
    """The explanation of an RFC 9457 problem, else the start of whatever came."""
    try:
        problem = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        problem = None
    detail = (problem.get("detail") or problem.get("title")) if isinstance(problem, dict) else None
    return str(detail or response.text)[:300]


def _retry_after_s(response: httpx.Response) -> float:
    """In seconds; 0 where there is none, or where it is a date, which nothing of ours sends."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0
