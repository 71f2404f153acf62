"""Access to the service: tokens, sessions of browsers, roles, and requests per minute."""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Request, Security
from fastapi.security import HTTPBearer

from passerby.gallery.user import read_user
from passerby.serving.replies import RequestError, is_interface
from passerby.serving.settings import ServeSettings
from passerby.serving.tokens import ROLES, Role, TokenFile
from passerby.text import plural, suggest

COOKIE = "passerby_session"
_FAILURES_PER_MINUTE = 60
_MAX_CALLERS = 10_000  # kept at once
_MAX_ADDRESS = 64  # characters

_bearer = HTTPBearer(auto_error=False, description="A token that `passerby serve GALLERY --new-token ROLE` printed.")


@dataclass(frozen=True)
class Caller:
    """The holder of a token, or the user of this machine where no token is needed.

    Attributes:
        name: Name in the audit log.
        role: What the caller may do.
    """

    name: str
    role: Role


class Access:
    """Checks callers.

    Args:
        tokens: Tokens of the gallery. Once there is one, every request needs one.
        settings: Limits.
        local: Whether the service listens on a loopback address, so that no token is needed while there is none.
        clock: Returns seconds; does not jump.
    """

    def __init__(
        self, tokens: TokenFile, settings: ServeSettings, *, local: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tokens, self.settings, self._local, self._clock = tokens, settings, local, clock
        self._user = read_user()
        self._sessions: dict[str, tuple[str, float]] = {}  # key of a session -> digest of its token, end
        self._calls = CallCounter(settings.requests_per_minute, clock)
        self._failures = CallCounter(_FAILURES_PER_MINUTE, clock)

    def find_caller(self, request: Request) -> Caller:
        """Return the caller of a request.

        Raises:
            RequestError: Without a token where one is needed, for a wrong token, or above the requests per minute.
        """
        address = self.find_address(request)
        header = request.headers.get("authorization")
        caller = self._find(request, header)
        if caller is None:
            self.limit_attempts(request)
            reason = "the token is not one of this gallery" if header else "a token is needed"
            message = (
                f"{reason}; send the header `Authorization: Bearer TOKEN` (`passerby serve GALLERY --new-token ROLE`)"
            )
            raise RequestError(401, "token", message, headers={"WWW-Authenticate": "Bearer"})
        if not self._calls.count(f"token {caller.name}" if self._tokens.read() else group_address(address)):
            raise _too_many(self.settings.requests_per_minute)
        return caller

    def find_address(self, request: Request) -> str:
        """Return the address of a client, as the service's own proxies forward it.

        The header X-Forwarded-For is read only if a proxy of `ServeSettings.trusted_proxies` sent it. The address is
        its last entry that is no such proxy; entries that a client wrote itself come before it.
        """
        address = request.client.host if request.client is not None else ""
        trusted = self.settings.trusted_proxies
        if address in trusted:
            hops = [hop.strip() for value in request.headers.getlist("x-forwarded-for") for hop in value.split(",")]
            address = next((hop for hop in reversed(hops) if hop not in trusted), address)
        return address

    def limit_open(self, request: Request) -> None:
        """Count a request that needs no token.

        Raises:
            RequestError: Above the requests per minute of one address.
        """
        if not self._calls.count(group_address(self.find_address(request))):
            raise _too_many(self.settings.requests_per_minute)

    def limit_attempts(self, request: Request) -> None:
        """Count an attempt to open a session.

        Raises:
            RequestError: For too many of one address.
        """
        if not self._failures.count(group_address(self.find_address(request))):
            raise _too_many(_FAILURES_PER_MINUTE)

    def open_session(self, text: str) -> str | None:
        """Return the key of a new session for a token, None if it is not one of the gallery."""
        token = self._tokens.find(text)
        if token is None:
            return None
        now = self._clock()
        self._sessions = {key: value for key, value in self._sessions.items() if value[1] > now}
        key = secrets.token_urlsafe(32)
        self._sessions[key] = token.digest, now + self.settings.session
        return key

    def close_session(self, key: str) -> None:
        """End a session."""
        self._sessions.pop(key, None)

    def _find(self, request: Request, header: str | None) -> Caller | None:
        tokens = self._tokens.read()
        if header is not None:
            scheme, _, text = header.partition(" ")
            token = self._tokens.find(text.strip()) if scheme.lower() == "bearer" else None
            return None if token is None else Caller(token.name, token.role)
        if not tokens and self._local:
            if "forwarded" in request.headers or "x-forwarded-for" in request.headers:
                message = "a proxy forwards requests from other machines: make a token, `--new-token ROLE`"
                raise RequestError(403, "proxy_without_token", message)
            return Caller(self._user, "admin")
        digest, end = self._sessions.get(request.cookies.get(COOKIE, ""), ("", 0.0))
        if not digest or end <= self._clock():
            return None
        return next((Caller(token.name, token.role) for token in tokens if token.digest == digest), None)


class CallCounter:
    """Limit of calls per minute: a bucket that fills at a constant rate.

    Args:
        limit: Calls per minute.
        clock: Returns seconds.

    Example:
        >>> counter = CallCounter(2, clock=lambda: 0.0)
        >>> [counter.count("Ada") for _ in range(3)]
        [True, True, False]
    """

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit, self._clock = limit, clock
        self._left: dict[str, tuple[float, float]] = {}  # caller -> calls left at a time

    def count(self, caller: str) -> bool:
        """Count a call; return whether it is within the limit."""
        now = self._clock()
        left, then = self._left.pop(caller, (float(self._limit), now))
        if len(self._left) >= _MAX_CALLERS:
            del self._left[next(iter(self._left))]  # the one that has not called for longest
        left = min(self._limit, left + (now - then) * self._limit / 60)
        self._left[caller] = left - (left >= 1), now
        return left >= 1


def allow(role: Role) -> Callable[..., Awaitable[Caller]]:
    """Make a dependency that requires a role and known query parameters, and returns the caller."""

    async def check(request: Request, _credentials: Annotated[Any, Security(_bearer)]) -> Caller:
        caller: Caller = request.scope["caller"]  # of `Guard`, which has checked it before the body was read
        require_role(caller, role)
        _require_known_parameters(request)
        return caller

    check.role = role  # type: ignore[attr-defined]
    return check


def require_role(caller: Caller, role: Role) -> None:
    """Check that a caller has a role, or one that includes it.

    Raises:
        RequestError: If not.
    """
    if ROLES.index(caller.role) < ROLES.index(role):
        raise RequestError(403, "role", f"this needs the role {role}; the token has the role {caller.role}")


def _require_known_parameters(request: Request) -> None:
    """Refuse a query parameter that the route does not have: a misspelled filter would select everything."""
    if not is_interface(request.url.path):
        return
    known = [parameter.alias for parameter in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            expected = f"expected {', '.join(known)}" if known else "expected none"
            raise RequestError(422, "invalid", f"{name[:50]}: no such parameter; {suggest(name, known)}{expected}")


def group_address(address: str) -> str:
    """Return the part of an address that counts as one client: all of IPv4, the network of 64 bits of IPv6.

    Example:
        >>> group_address("192.0.2.7"), group_address("2001:db8::1:2:3:4"), group_address("unknown")
        ('192.0.2.7', '2001:db8::', 'unknown')
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:_MAX_ADDRESS]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(parsed) >> 64 << 64))


def _too_many(limit: int) -> RequestError:
    message = f"more than {plural(limit, 'request')} in a minute; wait for the seconds in the header Retry-After"
    return RequestError(429, "too_many_requests", message, headers={"Retry-After": "5"})
