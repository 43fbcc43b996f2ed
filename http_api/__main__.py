"""``python -m http_api``: reads the settings, puts the parts together, serves until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import time
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import uvicorn
import uvloop

from http_api import app, audit, endpoints, feed, health, heartbeat, open_files, request_id, schemas
from http_api.activity import Activity
from http_api.audit import Audit
from http_api.auth import Guard
from http_api.batches import Batches
from http_api.bridge_status import BridgeStatus
from http_api.clock import Clock
from http_api.cors import Cors
from http_api.directory import Directory
from http_api.edge import MAX_CONNECTIONS, Edge
from http_api.envelope import Envelope
from http_api.export import Exports
from http_api.feed import Feed
from http_api.heartbeat import Heartbeat
from http_api.history import TableColumns
from http_api.idempotency import Marks
from http_api.ingest import NO_KIND, OUTCOMES, Ingest
from http_api.keys import Keyring
from http_api.latest import Latest
from http_api.limits import Limit
from http_api.metrics import Facts, Metrics
from http_api.newest import NewestReadings
from http_api.proxies import Proxies
from http_api.receipts import Receipts
from http_api.request_times import RequestTimes
from http_api.sensors import Sensors
from http_api.server_time import ServerTime
from http_api.store_questions import StoreQuestions
from http_api.store_watch import PING_EVERY_S, StoreWatch
from sensorflow import settings, topics
from sensorflow.influx import Influx
from sensorflow.log import start_logging
from sensorflow.mqtt import Session
from sensorflow.settings import HttpApiSettings
from ws.app import FULL_KEYS, Gateway
from ws.connection import Connection
from ws.hub import Hub

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from starlette.types import ASGIApp

# For what is open to end by itself: a reading waits for PUBACK or receipt, a browser for ws.app.CLOSE_TIMEOUT_S. What
# takes longer (a body that does not come, a long RECEIPT_TIMEOUT_S) is cut off, and logged as that.
GRACE_S = 5
NEWEST_TIMEOUT_S = 5.0  # of a question to the store, as the next one
HISTORY_TIMEOUT_S = 7.0  # below the 10 s in which the process has to end: a thread in the store is waited for
STORE_THREADS = 4  # for each kind of question
VERSION = version("sensorflow")

_log = logging.getLogger("http_api")


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    config = settings.read(HttpApiSettings)
    start_logging(config.log_level, config.log_format, request_id.context)
    audit.start(config.keys_place)
    # uvicorn and websockets log whole URLs below WARNING, and a browser's URL holds the key.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(config))


async def serve(config: HttpApiSettings) -> None:
    """Serve until told to stop. Whatever fails in the background ends the whole process."""
    kinds = config.load_kinds()
    session, response_topic = _session(config)
    bridge, latest, receipts, hub = BridgeStatus(), Latest(), Receipts(), Hub()
    zone = ZoneInfo(config.timezone)
    metrics = Metrics(VERSION)
    ingest = Ingest(
        session=session,
        response_topic=response_topic,
        receipts=receipts,
        bridge=bridge,
        latest=latest,
        clock=Clock(),
        marks=Marks(config.mqtt_password.get_secret_value()),
        window=config.time_window,
        zone=zone,
        receipt_timeout_s=config.receipt_timeout_s,
        on_puback=metrics.pubacks.observe,
        on_receipt=metrics.receipts.observe,
    )
    edge = Edge(open_files.connections(MAX_CONNECTIONS + FULL_KEYS * config.max_ws_connections_per_key))
    beat = Heartbeat(session, VERSION, lambda: ingest.counts | hub.counters() | {"http_refused": edge.refused})
    store = StoreWatch(_influx(config, PING_EVERY_S))
    keyring, trail = Keyring(config.keys_place, config.api_key, config.api_key_ws), Audit()
    guard = Guard(
        keyring,
        trail,
        per_key=Limit("key", config.rate_limit_per_key),
        failures=Limit("failures", config.rate_limit_failures),
    )
    gateway = Gateway(
        hub, admit=partial(guard.authorize, scope="live"), max_connections=config.max_ws_connections_per_key
    )

    def condition() -> health.Facts:
        return health.Facts(
            has_broker=session.is_connected,
            has_store=store.is_connected,
            is_bridge_active=bridge.is_active(time.monotonic()),
            bridge_has_store=bridge.has_store,
            is_spool_full=bridge.is_full,
            has_failed=ingest.has_failed,
            spool=bridge.spool,
        )

    def figures() -> Facts:
        return Facts(
            health=condition(),
            readings={
                (kind, outcome): ingest.counts_by_kind[kind, outcome]
                for kind in (*kinds, NO_KIND)
                for outcome in OUTCOMES
            },
            refused=edge.refused,
            hub=hub.counters(),
            bridge=bridge.said,
            bridge_silent_s=bridge.silent_s(time.monotonic()),
        )

    metrics.expose(figures)

    def report() -> dict[str, Any]:
        return health.report(condition(), version=VERSION, now_us=time.time_ns() // 1000, uptime_s=beat.uptime_s)

    newest = NewestReadings(_questions(config, store, NEWEST_TIMEOUT_S), latest, bridge, session)
    directory, activity = Directory(kinds), Activity(tuple(kinds))
    reads = _questions(config, store, HISTORY_TIMEOUT_S)
    history = endpoints.history.History(
        kinds, reads, TableColumns(reads), Exports(_questions(config, store, HISTORY_TIMEOUT_S))
    )
    sensors = Sensors(reads, directory, bridge, session, timeout_s=HISTORY_TIMEOUT_S)
    files = endpoints.documents.static_files()
    api = app.build(
        [
            *endpoints.readings.operations(kinds, ingest),
            *endpoints.batches.operations(kinds, Batches(kinds, ingest)),
            endpoints.latest.operation(kinds, newest, zone),
            *endpoints.history.operations(history),
            endpoints.sensors.operation(kinds, sensors),
            endpoints.stats.operation(activity, lambda: bridge.said.get("counters", {})),
            *endpoints.vitals.operations(report),
            endpoints.metrics.operation(metrics),
            *endpoints.documents.operations(kinds, VERSION, files),
        ],
        schemas=schemas.shared(kinds)
        | endpoints.readings.schemas(kinds)
        | endpoints.batches.schemas()
        | endpoints.history.schemas()
        | endpoints.sensors.schemas()
        | endpoints.stats.schemas(),
        guard=guard,
        kinds=kinds,
        version=VERSION,
        more=[*gateway.routes(), *endpoints.documents.routes(files)],
    )
    fan_out = Feed(session, receipts, bridge, latest, directory, activity, ingest, hub)
    async with asyncio.TaskGroup() as group:
        background = [
            group.create_task(each, name=name)
            for name, each in {
                "mqtt": session.run(),
                "feed": fan_out.run(),
                "heartbeat": beat.run(),
                "store watch": store.run(),
                "keys": keyring.run(partial(gateway.put_out, guard.still_grants)),
            }.items()
        ]
        await _listen(RequestTimes(_edged(api, config, trail), metrics.requests), config, edge)
        await beat.say("stopped")
        for task in background:
            task.cancel()
    _log.info("stopped")


def _edged(api: ASGIApp, config: HttpApiSettings, trail: Audit) -> ASGIApp:
    """With what every request passes by, whatever becomes of it; the last to be put around it is the first."""
    if origins := settings.listed(config.cors_origins):
        api = Cors(api, origins)
    api = Envelope(api, trail, Limit("address", config.rate_limit_per_address))
    if trusted := settings.listed(config.trusted_proxies):
        api = Proxies(api, trusted)
    return api


async def _listen(api: Any, config: HttpApiSettings, edge: Edge) -> None:
    server = _Server(
        uvicorn.Config(
            ServerTime(api),
            host=config.http_host,
            port=config.http_port,
            http=edge.protocol(),
            ws=Connection,
            ws_max_size=65_536,
            ws_per_message_deflate=False,  # frames are encoded once for all; see ws/connection.py
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        ),
        edge,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    await server.serve()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, edge: Edge) -> None:
        super().__init__(config)
        self._edge = edge

    async def on_tick(self, counter: int) -> bool:
        """As uvicorn does it, ten times a second, and see who is late."""
        self._edge.sweep(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def stop(self) -> None:
        """Answer what is open and end; asked twice, end at once."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it, and say where."""
        await super().startup(sockets)
        _log.info("listening on http://%s:%d", self.config.host, self.config.port)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone: uvicorn would raise the signal again at the end, and the process would end with it."""
        yield


def _session(config: HttpApiSettings) -> tuple[Session, str]:
    # A name of its own for every process, so that any number of them can run side by side.
    client_id = f"{config.mqtt_username}-{secrets.token_hex(8)}"
    session = Session(
        host=config.mqtt_host,
        port=config.mqtt_port,
        client_id=client_id,
        username=config.mqtt_username,
        password=config.mqtt_password.get_secret_value(),
        subscriptions=feed.subscriptions(client_id),
        keepalive_s=config.mqtt_keepalive_s,
        will=heartbeat.last_will(VERSION),
        ssl=config.ssl_context,
    )
    return session, topics.receipts(client_id)


def _questions(config: HttpApiSettings, store: StoreWatch, timeout_s: float) -> StoreQuestions:
    return StoreQuestions(_influx(config, timeout_s), store, threads=STORE_THREADS, timeout_s=timeout_s)


def _influx(config: HttpApiSettings, timeout_s: float) -> Influx:
    return Influx(
        config.influx_host, config.influx_token.get_secret_value(), config.influx_database, timeout_s=timeout_s
    )


if __name__ == "__main__":
    main()
