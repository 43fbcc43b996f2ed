"""Whom a trusted proxy speaks for: X-Forwarded-For, read from the right, as long as it is proxies that say it.

uvicorn's own middleware reads it the same way, but takes what is no address for one, which would then stand in
readings, does not know ::ffff:10.0.0.1 for 10.0.0.1, and would accept ``*``.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

_SCHEMES = {"http": {b"http": "http", b"https": "https"}, "websocket": {b"http": "ws", b"https": "wss"}}


class Proxies:
    """ASGI: sets the client and the scheme that a trusted proxy names; what others say of themselves counts nothing."""

    def __init__(self, app: ASGIApp, trusted: Iterable[str]) -> None:
        self._app = app
        self._networks = [ip_network(one) for one in trusted]
        self._trusts = lru_cache(maxsize=4096)(self._is_in_a_network)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        client = scope.get("client")
        address = client and _address(client[0])
        if address is not None and self._trusts(address):
            headers = scope["headers"]
            hops = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1")
            if hops:
                scope["client"] = (str(self._client(address, hops)), 0)
            said = [value for name, value in headers if name == b"x-forwarded-proto"]
            schemes = _SCHEMES.get(scope["type"], {})
            # The last is the trusted proxy's own word.
            if said and (scheme := schemes.get(said[-1].rpartition(b",")[2].strip().lower())):
                scope["scheme"] = scheme
        await self._app(scope, receive, send)

    def _client(self, proxy: IPv4Address | IPv6Address, hops: str) -> IPv4Address | IPv6Address:
        """The first that is no proxy of ours, from the right; where it cannot be told, the proxy before it."""
        nearest = proxy
        for hop in reversed(hops.split(",")):
            address = _address(hop.strip())
            if address is None:
                return nearest
            nearest = address
            if not self._trusts(address):
                return nearest
        return nearest

    def _is_in_a_network(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """``192.0.2.1``, ``192.0.2.1:5000``, ``2001:db8::1``, ``[2001:db8::1]:5000``; None for anything else."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return None if address.scope_id else address.ipv4_mapped or address
    return address
