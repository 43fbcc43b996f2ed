"""Why a request cannot be read, in words for who wrote the firmware."""

from __future__ import annotations

_LINE = "the first line must be a method, a path without spaces and HTTP/1.1"
_HEADER = "a header must be a name, a colon at once after it, and a value"
_REASONS = {  # by what llhttp says
    "Expected CRLF after version": _LINE,
    "Expected HTTP/, RTSP/ or ICE/": _LINE,
    "Expected space after method": _LINE,
    "Invalid characters in url": _LINE,
    "Invalid method encountered": "a method in capitals must come first; or the body before is longer than its length",
    "Invalid HTTP version": "the version must be HTTP/1.1 or HTTP/1.0",
    "Invalid header token": _HEADER,
    "Invalid header field char": _HEADER,
    "Invalid header value char": "a header's value has a character that is not allowed there, such as NUL",
    "Invalid character in Content-Length": "Content-Length must be a whole number",
    "Empty Content-Length": "Content-Length must be a whole number",
    "Duplicate Content-Length": "Content-Length stands there twice",
}
_TLS_HANDSHAKE = b"\x16\x03"


def reason(data: bytes, error: str) -> str:
    """What is wrong, in one line of ASCII.

    Args:
        data: What came last.
        error: What the parser says of it; where it is one of its rarer complaints, that is all there is to say.
    """
    if data.startswith(_TLS_HANDSHAKE):
        return "this is TLS, and here is plain HTTP"
    if "callback" in error:
        return "this is not HTTP/1.1"
    return _REASONS.get(error, error or "this is not HTTP/1.1")
