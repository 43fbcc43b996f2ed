"""What is served: each module declares its operations."""

from http_api.endpoints import batches, documents, history, latest, metrics, readings, sensors, stats, vitals

__all__ = ["batches", "documents", "history", "latest", "metrics", "readings", "sensors", "stats", "vitals"]
