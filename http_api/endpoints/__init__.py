"""What is served: each module declares its operations."""

from http_api.endpoints import documents, latest, metrics, readings, vitals

__all__ = ["documents", "latest", "metrics", "readings", "vitals"]
