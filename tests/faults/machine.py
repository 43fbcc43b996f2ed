"""On what a table was measured, in one line: a figure without its machine says nothing."""

import os
import platform
import re
import sqlite3
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import psutil

from sensorflow.up import broker

USUAL_S = 0.015  # AMD EPYC, Python 3.11.7
MEASURED_FOR_S = 0.5


def about(directory: Path) -> str:
    """Cores, memory, the file system of ``directory``, and the versions of what was tried."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{cores} cores ({_processor()}), {psutil.virtual_memory().total / 2**30:.0f} GiB, {_file_system(directory)}; "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"Mosquitto {mosquitto_version()}, SQLite {sqlite3.sqlite_version}, "
        f"DuckDB {version('duckdb')}, SensorFlow {version('sensorflow')}"
    )


def slowness() -> float:
    """How many times longer than on the machine of the figures a bit of Python takes here and now; at least 1.

    That machine took ``USUAL_S`` when nobody else was on it. One that is shared changes by half within seconds, and no
    figure in seconds can be held against that.
    """
    began = time.perf_counter()
    runs = 0
    while (took_s := time.perf_counter() - began) < MEASURED_FOR_S:
        sum(number for number in range(500_000))
        runs += 1
    return max(1.0, took_s / runs / USUAL_S)


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
