"""``python -m store``: the store alone, told by the environment what to do."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import uvloop

from store.config import StoreConfig
from store.errors import StartError
from store.server import serve


async def _run(config: StoreConfig) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await serve(config, stopping=stopping)


def _config() -> StoreConfig:
    token = os.environ.get("INFLUX_TOKEN", "")
    if not token:
        raise StartError("INFLUX_TOKEN is not set")
    return StoreConfig(
        data_dir=Path(os.environ.get("DATA_DIR", "data")) / "store",
        host=os.environ.get("INFLUX_HOST_BIND", "127.0.0.1"),
        port=int(os.environ.get("INFLUX_PORT", "8181")),
        token=token,
        database=os.environ.get("INFLUX_DATABASE", "sensorflow"),
    )


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        uvloop.run(_run(_config()))
    except StartError as error:
        print(f"store: {error}", file=sys.stderr)  # noqa: T201 - one line for the operator
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
