"""The token: how clients send it, and how it is compared."""

import base64
import binascii
import hmac


def is_authorized(header: str | None, token: str) -> bool:
    """Tell whether an Authorization header carries the token: ``Token``, ``Bearer``, or the password of ``Basic``."""
    scheme, _, credentials = (header or "").strip().partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "basic":
        credentials = _password(credentials)
    elif scheme.lower() not in {"token", "bearer"}:
        return False
    return hmac.compare_digest(credentials.encode(), token.encode())


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
