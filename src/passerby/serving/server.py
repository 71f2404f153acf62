"""Start and stop of the service."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from passerby.errors import GalleryError, argument
from passerby.extras import require_extra
from passerby.serving.logs import JsonFormatter
from passerby.serving.settings import ServeSettings

PORT = 8765


def serve(
    where: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    allowed_hosts: tuple[str, ...] = (),
    trusted_proxies: tuple[str, ...] = (),
    model: str | None = None,
    flip: bool | None = None,
    accept_drift: bool = False,
    device: str = "auto",
    webhook: str | None = None,
    mqtt: str | None = None,
    settings: ServeSettings | None = None,
    started: Callable[[str], object] | None = None,
) -> None:
    """Serve a gallery over HTTP until the process gets SIGINT or SIGTERM. Requests that run are finished first.

    Args:
        where: Folder of an existing gallery.
        host: Address to listen on. Any other than a loopback address needs a token of the gallery.
        port: Port to listen on; 0 takes a free one.
        allowed_hosts: Names by which clients may address the service, beside `localhost` and IP addresses.
        trusted_proxies: Addresses of the service's own proxies, whose header X-Forwarded-For names the client.
        model: Folder of the gallery's model if it was moved, or `default`.
        flip: Refuse a gallery whose vectors are of the other kind: with or without the mirror image. None takes both.
        accept_drift: Accept a `model` that differs from the gallery's by rounding alone, such as the int8 file of its
            run; the gallery's card records it.
        device: `auto`, `cpu`, `cuda` or `mps`: where images are embedded.
        webhook: Address that events are posted to.
        mqtt: `mqtt://HOST:PORT/TOPIC` that events are published to.
        settings: Limits; None is the default ones.
        started: Called with the address when the service listens.

    Raises:
        NoGalleryError: If there is no gallery.
        GalleryError: If another service has the gallery, its model is missing, the port is taken, or a token is needed.
        MissingExtraError: Without the extra `serve`.

    Example:
        >>> serve("nowhere")
        Traceback (most recent call last):
        passerby.errors.NoGalleryError: nowhere: no gallery here; enroll images with a model to make one
    """
    for module in ("fastapi", "uvicorn", "jinja2", "python_multipart", "prometheus_client"):
        require_extra(module)
    import uvicorn

    from passerby.serving.app import create_app
    from passerby.serving.connections import PatientServer, make_protocol
    from passerby.serving.events import EventTarget, MqttTopic, Webhook
    from passerby.serving.service import GalleryService
    from passerby.serving.tokens import TokenFile

    settings = replace(
        settings or ServeSettings(), host=host, allowed_hosts=allowed_hosts, trusted_proxies=trusted_proxies
    )
    local = is_loopback(host)
    if not local and not TokenFile(Path(where)).read():
        raise GalleryError(
            f"{argument('host')} {host}: other machines can reach this address, and the gallery has no token; "
            f"make one: `passerby serve {where} --new-token read`"
        )
    targets: list[EventTarget] = [] if webhook is None else [Webhook(webhook)]
    targets += [] if mqtt is None else [MqttTopic(mqtt)]
    with (
        bind(host, port) as listener,
        GalleryService(where, settings, model=model, flip=flip, accept_drift=accept_drift, device=device) as service,
    ):
        if targets:
            service.require_calibration()
        write_logs()
        config = uvicorn.Config(
            create_app(service, local=local, targets=targets),
            http=make_protocol(header_timeout=settings.header_timeout, reply_timeout=settings.reply_timeout),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=32_768,
            timeout_keep_alive=int(settings.header_timeout),
            timeout_graceful_shutdown=int(settings.stop_timeout),
        )
        if started is not None:
            number = listener.getsockname()[1]
            started(f"http://[{host}]:{number}" if ":" in host else f"http://{host}:{number}")
        PatientServer(config).run(sockets=[listener])


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine can reach an address.

    Example:
        >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0")]
        [True, True, True, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(host: str, port: int) -> socket.socket:
    """Listen on an address.

    Raises:
        GalleryError: If the port is taken or not permitted, or the address is not one of this machine.
    """
    if not 0 <= port <= 65_535:
        raise GalleryError(f"{argument('port')}: got {port}, expected 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise GalleryError(f"{argument('host')}: {host!r} is not an address; expected one of this machine") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            reason = f"port {port} of {host} is taken; stop the program that has it, or give another {argument('port')}"
        else:
            reason = f"port {port} of {host}: {error.strerror}; give another {argument('host')} or {argument('port')}"
        raise GalleryError(reason) from None
    return listener


def write_logs() -> None:
    """Write the records of the package and of uvicorn to stderr as JSON, one per line."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    for name, level in (("passerby", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
