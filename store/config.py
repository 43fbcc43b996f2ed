"""What one store is told at its start."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """Sizes are bytes, durations seconds.

    Args:
        data_dir: Holds one DuckDB file for each database. One process at a time.
        database: Created at the start; others are created by the first write to them.
        retention_s: For ``database``: older rows are deleted. None keeps what was set last, at first everything.
        query_timeout_s: A query that has not delivered its last row by then is interrupted.
        query_max_rows: A query with more rows is an error, not a truncated answer. Grafana stops at a million too.
        query_concurrency: Queries that run at once, in each database. Others wait ``query_wait_s``, then are refused.
        memory_limit: DuckDB's, for each database. Larger sorts and groups spill to disk.
        threads: DuckDB's, for each database.
        max_connections: On the port. Further ones wait in the listen queue.
        max_pending_bytes: Of write bodies that are received, parsed or wait for their commit. Beyond it: 503.
        grace_s: For running writes and queries, at the stop.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8181
    token: str
    database: str = "sensorflow"
    retention_s: float | None = None
    query_timeout_s: float = 30
    query_max_rows: int = 1_000_000
    query_concurrency: int = 4
    query_wait_s: float = 10
    memory_limit: str = "512MB"
    threads: int = 2
    max_connections: int = 256
    max_pending_bytes: int = 64 * 2**20
    grace_s: float = 5
