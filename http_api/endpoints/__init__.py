"""What is served: each module declares its operations."""

from http_api.endpoints import documents, history, latest, metrics, readings, vitals

__all__ = ["documents", "history", "latest", "metrics", "readings", "vitals"]
