"""What is served: each module declares its operations."""

from http_api.endpoints import documents, latest, readings, vitals

__all__ = ["documents", "latest", "readings", "vitals"]
