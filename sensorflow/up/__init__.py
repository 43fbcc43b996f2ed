"""``sensorflow up``: all of SensorFlow as child processes of one supervisor.

They start side by side and wait for each other by themselves. The supervisor keeps them
running, says when they are ready, and ends them so that nothing is lost: who accepts readings first, the broker last.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING

from sensorflow.broker_limits import LossyBrokerError
from sensorflow.credentials import complete, reachable
from sensorflow.up import broker, claims, containers, health, table
from sensorflow.up.broker import Listener
from sensorflow.up.child import Child
from sensorflow.up.services import listeners, prepare_broker, services

if TYPE_CHECKING:
    from pathlib import Path

    from sensorflow.settings import CompleteSettings, UpSettings

_READY_TIMEOUT_S = 30.0
# How long after SIGTERM each must have ended, counted from the first: what one leaves is the next one's.
_ENDED_AFTER_S = {"http_api": 3.0, "bridge": 6.0, "store": 8.0, "mosquitto": 9.5}

log = logging.getLogger("up")


def run(settings: UpSettings) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP.

    Raises:
        SystemExit: It cannot start; the message says why.
    """
    try:
        broker.command()
        with claims.data_directory(settings.data_dir) as lock:
            claims.check_ports(settings)
            asyncio.run(_supervise(initialize(settings), lock))
    except (claims.ClaimError, OSError, LossyBrokerError) as error:
        sys.exit(f"sensorflow up: {error}")


def initialize(settings: UpSettings) -> CompleteSettings:
    """Make the secrets that were not given, and the broker's files."""
    completed = complete(settings)
    prepare_broker(completed, listeners(completed))
    return completed


def initialize_containers(settings: UpSettings, secrets: Path) -> CompleteSettings:
    """The same for containers: the broker listens to all of its network, each service has its directory of secrets."""
    completed = complete(settings)
    containers.write_secrets(completed, secrets)
    devices = Listener("", containers.MQTT_PORT, names_clients=not settings.mqtt_shared_device)
    prepare_broker(completed, [devices, Listener("", containers.MQTT_SERVICES_PORT)])
    return completed


async def _supervise(settings: CompleteSettings, lock: int) -> None:
    is_over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, is_over.set)
    children = [Child(service, lock) for service in services(settings)]
    if faults := broker.known_faults():
        log.warning("%s", faults)
    async with asyncio.TaskGroup() as tasks:
        for child in children:
            tasks.create_task(child.run(), name=child.name)
        announcement = tasks.create_task(_announce(settings), name="announce")
        try:
            await is_over.wait()
        finally:
            announcement.cancel()
            await _end(children)
    log.info("stopped")


async def _announce(settings: CompleteSettings) -> None:
    """Print the table when all are ready; if that takes long, say who is not."""
    host, port = reachable(settings.http_host), settings.http_port
    loop = asyncio.get_running_loop()
    began = loop.time()
    is_healthy = asyncio.create_task(health.wait_until_healthy(host, port), name="health")
    try:
        while not (await asyncio.wait([is_healthy], timeout=_READY_TIMEOUT_S))[0]:
            log.error("not ready after %.0f s: %s; still waiting", _READY_TIMEOUT_S, await health.missing(host, port))
    finally:
        is_healthy.cancel()
    table.show(table.of_processes(settings), table.curl(settings))
    log.info("ready after %.1f s", loop.time() - began)


async def _end(children: list[Child]) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    for child in reversed(children):
        await child.end(max(0.1, began + _ENDED_AFTER_S[child.name] - loop.time()))
