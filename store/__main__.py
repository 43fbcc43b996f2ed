"""The embedded store as a process: settings, then serve until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop

from sensorflow.log import start_logging
from sensorflow.settings import StoreSettings, read
from store.config import StoreConfig
from store.errors import StartError
from store.server import serve


def main() -> None:
    """Run the store."""
    settings = read(StoreSettings)
    start_logging(settings.log_level, settings.log_format)
    try:
        uvloop.run(_run(_config(settings)))
    except StartError as error:
        sys.exit(f"store: {error}")


async def _run(config: StoreConfig) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await serve(config, stopping=stopping)


def _config(settings: StoreSettings) -> StoreConfig:
    days = settings.store_retention_days
    return StoreConfig(
        data_dir=settings.data_dir / "store",
        host=settings.store_host,
        port=settings.influx_port,
        token=settings.influx_token.get_secret_value(),
        database=settings.influx_database,
        retention_s=None if days is None else days * 86400,
        query_timeout_s=settings.store_query_timeout_s,
        query_max_rows=settings.store_query_max_rows,
        memory_limit=settings.store_memory_limit,
    )


if __name__ == "__main__":
    main()
