"""The bridge as a process: settings, then everything built and handed down, then run until SIGTERM or SIGINT."""

from __future__ import annotations

import gc

# Neither loading modules nor fifty thousand readings makes garbage, and looking for some takes a third of the time.
gc.disable()

import asyncio
import signal

from bridge.service import STATUS_FILE_NAME, Bridge
from bridge.spool import Spool
from bridge.status import last_will
from sensorflow import broker_limits, topics
from sensorflow.influx import Influx
from sensorflow.log import start_logging
from sensorflow.mqtt import Session, Will
from sensorflow.settings import BridgeSettings, read

SESSION_EXPIRY_S = 30 * 86400  # the broker keeps what comes while we are away for this long
STORE_TIMEOUT_S = 8.0  # below the 10 s in which the process has to end


async def serve(settings: BridgeSettings) -> None:
    """Run one bridge until it is told to stop."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    session = Session(
        host=settings.mqtt_host,
        port=settings.mqtt_port,
        client_id=settings.stable_client_id,
        username=settings.mqtt_username,
        password=settings.mqtt_password.get_secret_value(),
        subscriptions=[topics.READINGS],
        with_retained=False,
        clean_start=False,
        session_expiry_s=SESSION_EXPIRY_S,
        keepalive_s=settings.mqtt_keepalive_s,
        will=Will(topics.status("bridge"), payload=last_will(), retain=True),
        ssl=settings.ssl_context,
        admit=broker_limits.admit,
    )
    spool = Spool(settings.data_dir / "spool", max_bytes=settings.spool_max_bytes)
    influx = Influx(
        settings.influx_host,
        settings.influx_token.get_secret_value(),
        settings.influx_database,
        timeout_s=STORE_TIMEOUT_S,
    )
    bridge = Bridge(
        session,
        spool,
        influx,
        settings.load_kinds(),
        settings.time_window,
        replay_window_s=settings.replay_window_s,
        status_file=settings.data_dir / STATUS_FILE_NAME,
    )
    gc.freeze()
    gc.enable()
    try:
        await bridge.run(stopping)
    finally:
        spool.close()
        influx.close()


def main() -> None:
    """Run the bridge."""
    settings = read(BridgeSettings)
    start_logging(settings.log_level, settings.log_format)
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
