"""Who may in, and for what. The only place that decides it; http_api/keys.py knows the keys."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from http_api import problems, request_id
from http_api.limits import Limit, Standing, network_of
from sensorflow import keys

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from http_api.audit import Audit
    from http_api.keys import Keyring
    from http_api.operation import Scope
    from sensorflow.keys import Grant

QUERY = "api-key"


class Guard:
    """Lets requests pass by their key.

    Args:
        per_key: How often one key may come.
        failures: How often an address may come with no key or a wrong one and still be told so; a good key always
            passes. This spares the log and our time, it need not stop guessing: a secret has 256 random bits.
    """

    def __init__(self, keyring: Keyring, audit: Audit, *, per_key: Limit, failures: Limit) -> None:
        self._keyring = keyring
        self._audit = audit
        self._per_key = per_key
        self._failures = failures

    def authorize(self, request: HTTPConnection, scope: Scope) -> Grant:
        """Let it pass, and note in its state whose key it has: ``key``, ``sensors``, ``may_write``.

        Raises:
            HTTPException: 401: it shows no good key; 403: one that is not good for this; 429: too often.
        """
        grant = self._grant(request, _shown(request, may_ask=scope == "live"))
        state = request.state
        state.key, state.sensors, state.may_write = grant.name, grant.sensors, grant.covers
        if self._per_key.is_on:
            standing = self._per_key.hit(grant.name)
            note(request, standing)
            if standing.is_over:
                raise too_many(standing, f"more than {self._per_key} with the key {grant.name!r}")
        if scope not in grant.scopes:
            has = ", ".join(sorted(grant.scopes))
            raise HTTPException(403, f"the key {grant.name!r} lacks the scope {scope}; it has {has}")
        if scope == "read" and grant.sensors is not None:
            _check_sensor(grant, request.path_params.get("sensor_id"))
        return grant

    def still_grants(self, grant: Grant) -> bool:
        """Whether the key that got this would get it now."""
        return self._keyring.still_grants(grant)

    def _grant(self, request: HTTPConnection, shown: str) -> Grant:
        who = network_of(client(request))
        grant = self._keyring.find(shown) if shown else None
        if grant is None:
            request.state.secret_id = keys.secret_id(shown) or None
            raise self._failed(who)
        self._audit.used(who, grant, request_id.current())
        return grant

    def _failed(self, who: str) -> HTTPException:
        if self._failures.is_on and (standing := self._failures.hit(who)).is_over:
            return too_many(standing, f"more than {self._failures} from this address with no key or a wrong one")
        return problems.unauthorized()


def _check_sensor(grant: Grant, sensor_id: str | None) -> None:
    """A key with sensors reads of one of them at a time: what tells of many would tell of all."""
    if sensor_id is None:
        raise HTTPException(403, f"the key {grant.name!r} is for some sensors alone, and this tells of all")
    if not grant.covers(sensor_id):
        raise HTTPException(403, f"the key {grant.name!r} is not for the sensor {sensor_id!r:.80}")


def client(request: HTTPConnection) -> str:
    """Where it comes from; empty where that is unknown."""
    return request.client.host if request.client else ""


def note(request: HTTPConnection, standing: Standing) -> None:
    """For the answer's RateLimit headers."""
    if not hasattr(request.state, "standings"):
        request.state.standings = []
    request.state.standings.append(standing)


def too_many(standing: Standing, detail: str) -> HTTPException:
    """429, until the window ends and a little more: those who were refused together must not come back together."""
    retry_after_s = standing.reset_s + random.randint(0, 2)  # noqa: S311 - jitter, not a secret
    return HTTPException(429, detail, {"Retry-After": str(retry_after_s)})


def _shown(request: HTTPConnection, *, may_ask: bool) -> str:
    """The key as X-API-Key, as ``Authorization: Bearer`` or, for browsers' WebSockets, in the query."""
    headers = request.headers
    if key := headers.get("x-api-key"):
        return key
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.query_params.get(QUERY, "") if may_ask else ""
