"""The store as one process: wires the parts, starts and stops them in order."""

import asyncio
import logging
import socket
from contextlib import suppress
from pathlib import Path

from starlette.types import ASGIApp
from uvicorn.config import Config

from store import retention
from store.acceptor import Acceptor, listen
from store.bodies import Budget
from store.config import StoreConfig
from store.database import Databases
from store.flight import FlightServer
from store.flight_socket import flight_socket
from store.routes import Api, http_app
from store.writer import Writer

logger = logging.getLogger("store")


async def serve(config: StoreConfig, *, stopping: asyncio.Event) -> None:
    """Serve until ``stopping`` is set, then finish what is under way and return.

    Raises:
        StartError: Port or data are in use, or the data cannot be opened. Nothing was changed.
    """
    databases = Databases(config)
    writer = Writer(databases)
    try:
        await writer.call(databases.open_all)
        listener = listen(config.host, config.port)
        try:
            with flight_socket(config.data_dir) as path:
                await _serve(config, databases, writer, listener, path, stopping)
        finally:
            listener.close()
    finally:
        await writer.close()
    logger.info("stopped")


async def _serve(
    config: StoreConfig,
    databases: Databases,
    writer: Writer,
    listener: socket.socket,
    socket_path: Path,
    stopping: asyncio.Event,
) -> None:
    flight = FlightServer(config, databases, socket_path)
    app = http_app(Api(config, databases, writer, Budget(config.max_pending_bytes)))
    acceptor = Acceptor(_uvicorn_config(app), socket_path, config.max_connections)
    try:
        async with asyncio.TaskGroup() as group:
            accepting = group.create_task(acceptor.run(listener), name="accept")
            keeping = [
                group.create_task(writer.run(), name="write"),
                group.create_task(retention.keep_applying(databases, writer), name="retention"),
            ]
            logger.info("listening on %s:%d, data in %s", config.host, listener.getsockname()[1], config.data_dir)
            await stopping.wait()
            accepting.cancel()
            listener.close()
            await _drain(config, acceptor, flight)
            for task in keeping:
                task.cancel()
    finally:
        _cut_off(databases, acceptor)
        await asyncio.to_thread(flight.shutdown)


async def _drain(config: StoreConfig, acceptor: Acceptor, flight: FlightServer) -> None:
    """Let requests finish for ``grace_s``."""
    flight_stopped = asyncio.create_task(asyncio.to_thread(flight.shutdown), name="stop Flight")
    for protocol in list(acceptor.http.connections):
        protocol.shutdown()  # closes the idle ones, and the others after their answer
    with suppress(TimeoutError):
        async with asyncio.timeout(config.grace_s):
            await asyncio.shield(flight_stopped)
            while acceptor.http.tasks:
                await asyncio.wait(acceptor.http.tasks)


def _cut_off(databases: Databases, acceptor: Acceptor) -> None:
    for database in databases.all():
        database.interrupt()
    acceptor.close()


def _uvicorn_config(app: ASGIApp) -> Config:
    # An idle client's connection is kept longer than such clients usually pause: the official one does not retry when a
    # connection closes under its request.
    config = Config(app, ws="none", lifespan="off", log_config=None, access_log=False, timeout_keep_alive=75)
    config.load()
    return config
