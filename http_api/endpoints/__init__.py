"""What is served: each module declares its operations."""

from http_api.endpoints import latest, readings, vitals

__all__ = ["latest", "readings", "vitals"]
