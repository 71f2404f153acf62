"""Delivery of events to a webhook or an MQTT broker: at least once, in order, repeated until the receiver has them.

The events wait in the gallery's database (`passerby.gallery.stores.sqlite_events`): they outlive the service, and are
erased with their sightings.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from passerby.errors import GalleryError, argument
from passerby.extras import require_extra
from passerby.gallery.filters import Filter
from passerby.gallery.gallery import Gallery
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.sqlite import SqliteStore
from passerby.gallery.stores.sqlite_events import NewEvent, SqliteEvents, StoredEvent
from passerby.serving.service import GalleryService

if TYPE_CHECKING:
    from passerby.gallery.review import Review

logger = logging.getLogger("passerby.serving")
_PATIENCE = 10.0  # seconds that a receiver has to accept an event
_LONGEST_WAIT = 60.0  # seconds between two attempts
USER, PASSWORD = "PASSERBY_MQTT_USER", "PASSERBY_MQTT_PASSWORD"
"""Environment variables with the account at the MQTT broker."""


class EventTarget(Protocol):
    """A receiver of events."""

    name: str

    async def send(self, event: StoredEvent) -> None:
        """Deliver an event; any exception means that it has to be repeated."""

    async def close(self) -> None:
        """Close connections."""


class Webhook:
    """Receiver that accepts events as `POST` with a JSON body and answers with status 2xx.

    Args:
        address: `http://` or `https://` address.

    Raises:
        GalleryError: For another kind of address.
    """

    def __init__(self, address: str) -> None:
        if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
            raise GalleryError(
                f"{argument('webhook')}: got {address!r}, expected http://HOST/PATH or https://HOST/PATH"
            )
        self.name = "webhook"
        self._address = address
        self._http = require_extra("httpx").AsyncClient(timeout=_PATIENCE, follow_redirects=False)

    async def send(self, event: StoredEvent) -> None:
        """Deliver an event."""
        reply = await self._http.post(
            self._address, json=event.to_dict(), headers={"Idempotency-Key": str(event.number)}
        )
        if not reply.is_success:
            raise ConnectionError(f"status {reply.status_code}")

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()


class MqttTopic:
    """Topic of an MQTT broker; events are published with quality of service 1.

    Args:
        address: `mqtt://HOST[:PORT]/TOPIC`. The account is in `PASSERBY_MQTT_USER` and `PASSERBY_MQTT_PASSWORD`.

    Raises:
        GalleryError: For another kind of address.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._topic = parts.path.lstrip("/")
        try:
            self._host, self._port = parts.hostname, parts.port or 1883
        except ValueError:
            self._host = None
        other = parts.username or parts.query or {*"+#"} & {*address}
        if parts.scheme != "mqtt" or not self._host or not self._topic or other:
            raise GalleryError(
                f"{argument('mqtt')}: got {address!r}, expected mqtt://HOST:PORT/TOPIC without an account"
            )
        self.name = "mqtt"
        mqtt = require_extra("paho.mqtt.client")
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        if os.environ.get(USER):
            self._client.username_pw_set(os.environ[USER], os.environ.get(PASSWORD))
        self._connected = False

    async def send(self, event: StoredEvent) -> None:
        """Publish an event and wait until the broker has it."""
        await asyncio.to_thread(self._publish, json.dumps(event.to_dict()))

    async def close(self) -> None:
        """Close the connection."""
        await asyncio.to_thread(self._disconnect)

    def _publish(self, text: str) -> None:
        if not self._connected:
            self._client.connect(self._host, self._port)
            self._client.loop_start()
            self._connected = True
        try:
            message = self._client.publish(self._topic, text, qos=1)
            message.wait_for_publish(_PATIENCE)
            if not message.is_published():
                raise ConnectionError("the broker did not confirm the event")
        except Exception:
            self._disconnect()  # drops the queue of the client: the event is published again from the table
            raise

    def _disconnect(self) -> None:
        self._connected = False
        self._client.disconnect()
        self._client.loop_stop()
        self._client.reinitialise(clean_session=True)


class EventQueue:
    """Finds the events that are stored with their sightings, and delivers them while the service runs.

    Args:
        service: The gallery.
        targets: Receivers.
    """

    def __init__(self, service: GalleryService, targets: Sequence[EventTarget]) -> None:
        self._service, self._targets = service, targets
        self.targets: Sequence[str] = [target.name for target in targets]
        service.reporter = self
        self._new = {target.name: asyncio.Event() for target in targets}

    def find_events(self, gallery: Gallery, sightings: Sequence[Sighting]) -> list[NewEvent]:
        """Identify new sightings without a label by the gallery as it is before they are added."""
        unlabeled = [sighting for sighting in sightings if sighting.label is None]
        if not self._targets or not unlabeled:
            return []
        if not gallery.store.count_labels(Filter()):
            return [NewEvent("unknown", sighting.id, probability=1.0) for sighting in unlabeled]
        results = gallery.identify_vectors([sighting.vector for sighting in unlabeled])
        return [event for pair in zip(unlabeled, results, strict=True) for event in _describe(*pair)]

    def assign(self, gallery: Gallery, review: Review) -> dict[str, tuple[str, float]]:
        """Assign sightings to identities, and store the events of new identities in the same transaction."""
        if not self._targets:
            return review.assign()
        queue = find_events(gallery)

        def record(run: sqlite3.Connection, identities: Mapping[str, str]) -> None:
            events = [NewEvent("new identity", name, identity=identity) for identity, name in identities.items()]
            queue.insert(run, events, targets=self.targets, time=time.time())

        with gallery.store.answers.observe(record):
            return review.assign()

    async def deliver(self) -> None:
        """Deliver until this task is canceled."""
        try:
            await asyncio.gather(*map(self._deliver_to, self._targets))
        finally:
            for target in self._targets:
                await target.close()

    async def _deliver_to(self, target: EventTarget) -> None:
        wait = 1.0
        while True:
            self._new[target.name].clear()
            events = await self._service.call(lambda gallery: find_events(gallery).first(target.name), user="events")
            try:
                for event in events:
                    await target.send(event)
                    await self._service.call(partial(_remove, event.number), user="events")
                    wait = 1.0
            except Exception as error:  # whatever the cause, the event is sent again
                fields = {"target": target.name, "exception": type(error).__name__, "repeat_after": wait}
                logger.warning("event not delivered", extra={"fields": fields})
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
                continue
            if not events:
                await self._new[target.name].wait()

    def wake(self) -> None:
        """Deliver the stored events."""
        for event in self._new.values():
            event.set()


def _describe(sighting: Sighting, result: Any) -> list[NewEvent]:
    """Return the event of an answer; none where it is not sure."""
    if result.answer == "not sure":
        return []
    nearest = result.candidates[0].hit.id if result.answer == "identified" else None
    return [NewEvent(result.answer, sighting.id, nearest=nearest, probability=result.probability)]


def _remove(number: int, gallery: Gallery) -> None:
    find_events(gallery).remove([number])


def find_events(gallery: Gallery) -> SqliteEvents:
    """Return the queue of a gallery in a folder."""
    assert isinstance(gallery.store, SqliteStore)
    return gallery.store.events
