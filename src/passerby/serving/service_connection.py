"""Connection of a client to a service: requests, repetition while its queue is full, and errors."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from passerby.errors import GalleryError
from passerby.extras import require_extra
from passerby.gallery.new_file import write_new

if TYPE_CHECKING:
    import httpx

_PATIENCE = 30.0  # seconds for which a request is repeated while the service's queue is full


class ServiceConnection:
    """Connections to the routes of a service below `/v1`; the arguments are those of `passerby.Client`.

    Raises:
        GalleryError: If the service cannot be reached or refuses a request; the message is that of the service.
        MissingExtraError: Without the extra `serve`.
    """

    def __init__(self, address: str, *, token: str | None, timeout: float, certificate: str | Path | None) -> None:
        library = require_extra("httpx")
        if not address.startswith(("http://", "https://")):
            raise GalleryError(f"{address}: expected the address of a service, such as http://127.0.0.1:8765")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.address = address.rstrip("/")
        verify = True if certificate is None else ssl.create_default_context(cafile=str(certificate))
        self._http: httpx.Client = library.Client(
            base_url=self.address, headers=headers, timeout=timeout, follow_redirects=False, verify=verify
        )

    def get(self, verb: str) -> Any:
        """Return the reply to `GET /v1/{verb}`."""
        return self.send("GET", verb)

    def post(self, verb: str, body: dict[str, Any]) -> Any:
        """Return the reply to `POST /v1/{verb}` with a body of JSON."""
        return self.send("POST", verb, json=body)

    def send(self, method: str, verb: str, **content: Any) -> Any:
        """Send a request, again while the queue is full: the service has not begun such a request."""
        end = time.monotonic() + _PATIENCE
        while True:
            with self._translate_errors():
                reply = self._http.request(method, f"/v1/{verb}", **content)
            if reply.status_code != 503 or time.monotonic() > end or "content" in content:
                break
            time.sleep(float(reply.headers.get("Retry-After", 1)))
        self._raise_error(reply)
        return reply.json()

    def download(self, verb: str, target: Path, parameters: dict[str, Any]) -> None:
        """Write the reply to `POST /v1/{verb}` to a new file, completely or not at all."""
        with self._translate_errors(), self._http.stream("POST", f"/v1/{verb}", json=parameters) as reply:
            if reply.status_code >= 400:
                reply.read()
            self._raise_error(reply)
            with write_new(target) as file:
                for part in reply.iter_bytes():
                    file.write(part)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise GalleryError(
                f"{self.address}: cannot be reached ({reason}); is `passerby serve` running there?"
            ) from None

    def _raise_error(self, reply: httpx.Response) -> None:
        if reply.status_code < 400:
            return
        try:
            message = reply.json()["error"]["message"]
        except (ValueError, KeyError, TypeError):
            message = f"status {reply.status_code}; is this the address of `passerby serve`?"
        raise GalleryError(f"{self.address}: {message}")
