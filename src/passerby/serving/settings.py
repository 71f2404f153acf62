"""Settings of the service: names, limits, timeouts."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, fields

from passerby.errors import GalleryError, argument

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Limits of a service. A request beyond one of them gets an error that names the limit.

    Attributes:
        host: Address that the service listens on. Any other than a loopback address needs a token.
        allowed_hosts: Names in the header Host that are accepted beside `localhost` and IP addresses.
        trusted_proxies: Addresses of the service's own proxies, whose header X-Forwarded-For names the client.
        max_upload: Bytes of a request with images.
        max_batch_upload: Bytes of a request that adds several sightings.
        max_import: Bytes of an exported file that is imported.
        max_bodies: Bytes of the bodies of all requests that are in memory at once; beyond them requests get status 503.
        max_pixels: Pixels of an image.
        max_batch: Images or sightings of one request.
        max_rows: Hits per image, and sightings in one page of a list.
        queue: Images that wait for the model, and vectors, sightings and calls that wait for the gallery; a request
            that has no place there gets status 503.
        embed_batch: Images that are embedded at once.
        requests_per_minute: Requests of one caller: a token, or an address without one.
        header_timeout: Seconds in which the header of a request must arrive.
        body_timeout: Seconds in which the body must arrive, besides the time at `body_rate`.
        body_rate: Bytes per second that a client must reach in sending a body.
        reply_timeout: Seconds that a client may take to accept a part of the reply.
        stop_timeout: Seconds that running requests have to finish when the service is stopped.
        session: Seconds that the session of a browser lasts.

    Raises:
        GalleryError: For a number that is not above 0, or a queue that is shorter than a request.

    Example:
        >>> ServeSettings(max_pixels=1_000_000).max_pixels
        1000000
    """

    host: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    max_upload: int = 16 * MIB
    max_batch_upload: int = 64 * MIB
    max_import: int = 4096 * MIB
    max_bodies: int = 256 * MIB
    max_pixels: int = 25_000_000
    max_batch: int = 64
    max_rows: int = 1000
    queue: int = 256
    embed_batch: int = 16
    requests_per_minute: int = 6000
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    body_rate: float = 65_536.0
    reply_timeout: float = 60.0
    stop_timeout: float = 30.0
    session: float = 12 * 3600.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not value > 0:
                raise GalleryError(f"{argument(field.name)}: got {value}, expected a number above 0")
        for name in ("max_upload", "max_batch_upload"):
            if getattr(self, name) > self.max_bodies:
                raise GalleryError(
                    f"{argument(name)}: got {getattr(self, name):,}, expected at most max_bodies, {self.max_bodies:,}"
                )
        for name in self.allowed_hosts:
            if re.fullmatch(r"[A-Za-z0-9_.-]+", name) is None:
                raise GalleryError(
                    f"{argument('allowed_hosts')}: got {name!r}, expected the name of a host, such as reid.example, "
                    "without scheme, port and path"
                )
        for proxy in self.trusted_proxies:
            try:
                ipaddress.ip_address(proxy)
            except ValueError:
                raise GalleryError(f"{argument('trusted_proxies')}: got {proxy!r}, expected an IP address") from None
        if self.queue < self.max_batch:
            raise GalleryError(
                f"queue: got {self.queue}, expected at least max_batch, {self.max_batch}: "
                "a request is accepted whole or not at all"
            )
