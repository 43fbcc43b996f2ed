"""The token: how clients send it, and how it is compared."""

import base64
import binascii
import hmac

from store.errors import InvalidRequestError

_MALFORMED = (
    "Authorization header was malformed, the request was not in the form of 'Authorization: <auth-scheme> <token>',"
    " supported auth-schemes are Bearer, Token and Basic"
)


def is_authorized(header: str | None, token: str) -> bool:
    """Tell whether an Authorization header carries the token: ``Token``, ``Bearer``, or the password of ``Basic``.

    As strict about the header as InfluxDB 3 is, schemes in lower case included: what works here works there.

    Raises:
        InvalidRequestError: The header is none of these.
    """
    return header is not None and hmac.compare_digest(_credentials(header).encode(), token.encode())


def _credentials(header: str) -> str:
    match header.split(" "):
        case ["Bearer" | "Token", credentials]:
            return credentials
        case ["Basic", credentials]:
            return _password(credentials)
    raise InvalidRequestError(_MALFORMED)


def _password(credentials: str) -> str:
    try:
        user, colon, password = base64.b64decode(credentials, validate=True).decode().rpartition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidRequestError(_MALFORMED) from None
    if not colon or ":" in user:
        raise InvalidRequestError(_MALFORMED)
    return password
