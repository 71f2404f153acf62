"""Connection to a Milvus server: addresses, repeated calls, and error messages."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import grpc
from pymilvus import MilvusClient, MilvusException

from passerby.errors import GalleryError

MAX_RESULTS = 16_384
"""Results of one call; the server's limit."""
PATIENCE = 30.0
"""Seconds that a call is repeated while the server does not answer."""
_SERVER_CODES = range(100, 2**31)
"""Error codes of the server; those of the client, such as `no connection`, are below."""
_STARTING = {101, 103, 106, 500, 501, 503, 901}
"""Error codes of a server that has just started: collections, channels or nodes are not available yet."""


def check_count(name: str, count: int) -> None:
    """Check a number of results.

    Raises:
        GalleryError: If the server does not return as many.
    """
    if count > MAX_RESULTS:
        raise GalleryError(
            f"{name}: got {count}, a Milvus server returns at most {MAX_RESULTS}; use a gallery in a folder"
        )


class MilvusConnection:
    """Client of one server.

    Args:
        server: `http://host:port`.
        token: `user:password`, or empty.
        address: Address of the gallery, for messages.
        patience: Seconds that a call is repeated while the server does not answer.

    Raises:
        GalleryError: If the server does not answer.
    """

    def __init__(self, server: str, token: str, *, address: str, patience: float) -> None:
        self._address, self._patience = address, patience
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # its errors are raised as GalleryError
        self._client: MilvusClient = self._repeat(MilvusClient, uri=server, token=token)

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the client, repeatedly while the server does not answer.

        The client repeats some calls by itself and gives up at once on others. A write may be done twice, which is
        safe because sightings are written by their id.

        Raises:
            GalleryError: If there is no answer within `patience`, or the server refuses.
        """
        return self._repeat(getattr(self._client, method), *arguments, **options)

    def call_bulk(self, method: str, *arguments: Any) -> Any:
        """Call a method of the bulk insertion as `call`. `MilvusClient` has none, and the module with them is ending.

        A file may be inserted twice if the server does not answer.
        """
        return self._repeat(getattr(self._client._get_connection(), method), *arguments)

    def _repeat(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        end = time.monotonic() + self._patience
        while True:
            try:
                return function(*arguments, timeout=self._patience, **options)
            except (grpc.RpcError, MilvusException) as error:
                code = error.code if isinstance(error, MilvusException) else None
                if code in _SERVER_CODES and code not in _STARTING:
                    message = getattr(error, "message", error)
                    raise GalleryError(f"{self._address}: the server refuses {function.__name__} ({message})") from None
                if time.monotonic() > end:
                    raise self._no_answer(error) from None
                time.sleep(0.5)

    def _no_answer(self, error: Exception) -> GalleryError:
        reason = " ".join(str(getattr(error, "message", "") or error).split())[:200]
        return GalleryError(
            f"{self._address}: no answer within {self._patience:.0f} s ({reason}); everything acknowledged is on the "
            "server: start it or check its address, and repeat the last call, which adds nothing twice"
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def parse_address(address: str) -> tuple[str, str, str, str]:
    """Split `milvus://user:password@host:port/name` into (server, token, name, address without the password).

    Raises:
        GalleryError: For an address of another form; it is not repeated if it may contain a password.
    """
    invalid = GalleryError(
        f"{'milvus://...' if '@' in address else address}: expected milvus://host:port/name or "
        "milvus://user:password@host:port/name, with a name of letters, digits and _"
    )
    try:
        parts = urlsplit(address)
        port = parts.port or 19_530
    except ValueError:
        raise invalid from None
    name = parts.path.removeprefix("/")
    valid_name = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,200}", name)
    if parts.scheme != "milvus" or not parts.hostname or not valid_name or parts.query or parts.fragment:
        raise invalid
    token = f"{parts.username}:{parts.password or ''}" if parts.username else ""
    return f"http://{parts.hostname}:{port}", token, name, f"milvus://{parts.hostname}:{port}/{name}"
