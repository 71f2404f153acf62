"""Connections with time limits for headers and for clients that do not read, and a server that ends in order."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

_REPLY = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 41\r\n"
    b"Connection: close\r\n\r\nthe header of the request came too slowly"
)


class TimedProtocol(H11Protocol):
    """Protocol of one connection with time limits.

    Args:
        header_timeout: Seconds from the first byte of a request, or from the connection, to the end of its header.
        reply_timeout: Seconds for which a client may leave a full buffer of its reply unread.
    """

    def __init__(self, *arguments: Any, header_timeout: float, reply_timeout: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._header_timeout, self._reply_timeout = header_timeout, reply_timeout
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time of the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Start the time of a request that begins, end that of one whose header is complete."""
        super().data_received(data)
        self._watch()

    def pause_writing(self) -> None:
        """Start the time in which the client must read: closing alone would wait for it."""
        super().pause_writing()
        self._unread = self.loop.call_later(self._reply_timeout, self._abort)

    def resume_writing(self) -> None:
        """End that time."""
        super().resume_writing()
        self._end_unread()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the times."""
        self._end()
        self._end_unread()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._end()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._header_timeout, self._disconnect)

    def _end(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _abort(self) -> None:
        """End the connection at once, without what is still in the kernel's buffer."""
        self._unread = None
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _end_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _disconnect(self) -> None:
        self._deadline = None
        if not self.transport.is_closing() and self.conn.their_state is h11.IDLE:
            self.transport.write(_REPLY)
            self.transport.close()


def make_protocol(*, header_timeout: float, reply_timeout: float) -> Any:
    """Return a protocol class for `uvicorn.Config(http=...)`."""
    return partial(TimedProtocol, header_timeout=header_timeout, reply_timeout=reply_timeout)


class PatientServer(uvicorn.Server):
    """Server that returns after SIGINT or SIGTERM, so that the gallery is closed; uvicorn's own repeats the signal."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal; restore the previous handlers at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
