"""On what a table was measured, in one line: a figure without its machine says nothing."""

import os
import platform
import re
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from sensorflow.up import broker


def about(directory: Path) -> str:
    """Cores, memory, the file system of ``directory``, and the versions of what was tried."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{cores} cores ({_processor()}), {psutil.virtual_memory().total / 2**30:.0f} GiB, {_file_system(directory)}; "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"Mosquitto {mosquitto_version()}, SQLite {sqlite3.sqlite_version}, "
        f"DuckDB {version('duckdb')}, SensorFlow {version('sensorflow')}"
    )


def mosquitto_version() -> str:
    """Such as 2.0.11."""
    said = subprocess.run([broker.command()[0], "-h"], check=False, capture_output=True, text=True, timeout=10).stdout
    found = re.search(r"version (\S+)", said)
    return found[1] if found else "unknown"


def _processor() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _file_system(directory: Path) -> str:
    mounts = [each for each in psutil.disk_partitions(all=True) if directory.is_relative_to(each.mountpoint)]
    return max(mounts, key=lambda each: len(each.mountpoint)).fstype if mounts else "unknown file system"
