"""Middleware around every request: id, host, origin, caller, role, size, time, headers, log, metrics.

It reads the headers only, and the body while it passes; the routes see the same stream. What the headers decide is
answered before the body is read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passerby.serving.access import Access, require_role
from passerby.serving.logs import log_failure, log_request
from passerby.serving.replies import RequestError, make_error
from passerby.serving.service_metrics import ServiceMetrics
from passerby.serving.settings import ServeSettings
from passerby.serving.tokens import Role
from passerby.text import plural

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
"""Headers of every reply; a route may set another Cache-Control."""
HEALTH = ("/healthz", "/readyz")
"""Paths without limit of requests."""
_PART = 2**16  # bytes
_SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Middleware; see the head of this file.

    Args:
        app: The application.
        access: Checks callers.
        find_role: Returns the role that a request needs, None for one that is open.
        metrics: Where requests are counted.
        limits: Largest body by path, where it is not `settings.max_upload`.
        streamed: Paths whose bodies are not kept in memory.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        find_role: Callable[[Scope], Role | None],
        metrics: ServiceMetrics,
        limits: Mapping[str, int],
        streamed: Collection[str] = (),
    ) -> None:
        self._app, self._access, self._find_role, self._metrics = app, access, find_role, metrics
        self._settings, self._limits, self._streamed = access.settings, limits, streamed
        self._bodies = BodyBudget(access.settings.max_bodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"], self._settings.max_upload)
        bodies = None if scope["path"] in self._streamed else self._bodies
        exchange = _Exchange(scope, receive, send, self._settings, limit, bodies)
        started = time.perf_counter()
        try:
            request = Request(scope)
            self._check(request)
            self._admit(request)
            await self._app(scope, exchange.receive, exchange.send)
        except RequestError as error:
            await exchange.refuse(error)
        except Exception as error:
            log_failure(scope["request_id"], error)
            await exchange.refuse(RequestError(500, "internal", "the service failed; its log has the request's id"))
        finally:
            exchange.release()
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.count_request(scope["method"], route, exchange.status, started)
            log_request(scope, route, exchange.status, exchange.received, started)

    def _check(self, request: Request) -> None:
        """Refuse other hosts, and requests of other sites' pages.

        Raises:
            RequestError: For a request that is refused.
        """
        host = request.headers.get("host", "")
        if not is_accepted_host(host, self._settings.allowed_hosts):
            message = f"host {host!r:.80}: expected localhost, an IP address, or a name given by --allowed-host"
            raise RequestError(421, "host", message)
        site = request.headers.get("sec-fetch-site", "none")
        navigation = request.method == "GET" and request.headers.get("sec-fetch-mode") == "navigate"
        origin = request.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
        if (site not in ("none", "same-origin") and not navigation) or (foreign and request.method not in _SAFE):
            raise RequestError(403, "cross_site", "sent by the page of another site; open the service's own address")

    def _admit(self, request: Request) -> None:
        """Find the caller, and check the role and the requests per minute.

        Raises:
            RequestError: For a request that is refused.
        """
        if request.url.path in HEALTH:  # cheap, and asked by monitors that have no token
            return
        role = self._find_role(request.scope)
        if role is None:
            self._access.limit_open(request)
            return
        caller = self._access.find_caller(request)
        request.scope["caller"] = caller
        require_role(caller, role)


class BodyBudget:
    """Limit of the bytes that the bodies of all requests may take in memory at once.

    Args:
        limit: Bytes.

    Example:
        >>> budget = BodyBudget(100)
        >>> budget.take(80), budget.take(30)
        (True, False)
        >>> budget.give_back(80)
        >>> budget.take(30)
        True
    """

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, count: int) -> bool:
        """Take bytes; return False if there are not as many left, and take none then."""
        fits = count <= self._left
        self._left -= count * fits
        return fits

    def give_back(self, count: int) -> None:
        """Return bytes."""
        self._left += count


class _Exchange:
    """One request and its reply: counts the body, watches the time, adds headers."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        settings: ServeSettings,
        limit: int,
        bodies: BodyBudget | None,
    ) -> None:
        self._scope, self._receive, self._send, self._settings = scope, receive, send, settings
        self._limit, self._bodies, self._taken = limit, bodies, 0
        self._started = time.monotonic()
        self.status, self.received, self._replied = 500, 0, False
        scope["request_id"] = secrets.token_hex(8)

    async def receive(self) -> Message:
        """Receive a part of the body.

        Raises:
            RequestError: For too many bytes, or a client that is too slow.
        """
        declared = Headers(scope=self._scope).get("content-length", "0")
        if declared.isdigit() and int(declared) > self._limit:
            raise self._too_large()
        if not self.received:
            self._take(int(declared) if declared.isdigit() else 0)
        if self._replied:  # waits for the end of the connection
            return await self._receive()
        allowed = self._settings.body_timeout + self.received / self._settings.body_rate
        try:
            async with asyncio.timeout(max(0.0, self._started + allowed - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            text = f"the body did not arrive within {self._settings.body_timeout:g} s"
            raise RequestError(408, "slow", text, headers={"Connection": "close"}) from None
        self.received += len(message.get("body", b""))
        if self.received > self._limit:
            raise self._too_large()
        self._take(self.received)
        return message

    def release(self) -> None:
        """Return the bytes of the body to the budget, when nothing refers to it any more."""
        if self._bodies is not None:
            self._bodies.give_back(self._taken)
            self._taken = 0

    def _take(self, count: int) -> None:
        """Take the bytes of a body from the budget, as far as it does not have them yet.

        Raises:
            RequestError: If other bodies take too many.
        """
        if self._bodies is None or count <= self._taken:
            return
        if not self._bodies.take(count - self._taken):
            message = (
                "too many bodies are being received; repeat the request after the seconds in the header Retry-After"
            )
            raise RequestError(503, "bodies", message, headers={"Retry-After": "1", "Connection": "close"})
        self._taken = count

    async def send(self, message: Message) -> None:
        """Send a part of the reply, unless the client does not take it in time."""
        if message["type"] == "http.response.start":
            self.status, self._replied = message["status"], True
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self._scope["request_id"]
        body = message.get("body", b"")
        for start in range(0, max(1, len(body)), _PART):  # a part at a time, so that the server's buffer stays small
            part = message
            if len(body) > _PART:
                more = message.get("more_body", False) or start + _PART < len(body)
                part = {**message, "body": body[start : start + _PART], "more_body": more}
            async with asyncio.timeout(self._settings.reply_timeout):
                await self._send(part)

    async def refuse(self, error: RequestError) -> None:
        """Send an error, unless a reply has begun."""
        if not self._replied:
            request = Request(self._scope)
            headers = dict(error.headers or {})
            reply = make_error(request, error.status_code, error.code, str(error.detail), headers=headers)
            await reply(self._scope, self.receive, self.send)

    def _too_large(self) -> RequestError:
        message = f"body of more than {plural(self._limit, 'byte')}; send less at a time"
        return RequestError(413, "too_large", message, headers={"Connection": "close"})


def is_accepted_host(host: str, allowed: tuple[str, ...]) -> bool:
    """Return whether a Host header names this service: `localhost`, an IP address, or an allowed name.

    A page of another site can give its own name the address of this machine (DNS rebinding), and its requests then
    carry that name.

    Example:
        >>> [is_accepted_host(host, ("reid.example",)) for host in ("127.0.0.1:80", "[::1]", "reid.example", "evil")]
        [True, True, True, False]
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name in {text.lower() for text in allowed}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
