"""What is served: each module declares its operations."""

from http_api.endpoints import latest, metrics, readings, vitals

__all__ = ["latest", "metrics", "readings", "vitals"]
