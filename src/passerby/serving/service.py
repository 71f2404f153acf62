"""The gallery of a service: one thread owns it, others decode and embed, and queues between them are bounded.

D embedding width   H W image height and width
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from passerby.data.images import Pixels, resize_image
from passerby.errors import GalleryError
from passerby.files import hold_lock
from passerby.gallery.gallery import Gallery
from passerby.gallery.results import IdentifyResult
from passerby.gallery.sightings import Hit, Sighting
from passerby.gallery.stores.sqlite import SqliteStore
from passerby.gallery.stores.sqlite_database import FILE, no_gallery_error
from passerby.gallery.stores.sqlite_events import NewEvent
from passerby.serving.batching import Batcher, QueueFullError
from passerby.serving.drift_monitor import DriftMonitor
from passerby.serving.logs import log_failure
from passerby.serving.service_metrics import ServiceMetrics
from passerby.serving.settings import ServeSettings
from passerby.serving.vector_query import VectorQuery, answer
from passerby.types import FloatArray

if TYPE_CHECKING:
    from passerby.gallery.review import Review

Value = TypeVar("Value")
READY_SECONDS, READY_TIMEOUT = 1.0, 5.0
"""Time between two readings of the gallery for `/readyz`, and the longest time that one may take."""
LOCK = "serve.lock"
"""Name of the file in the folder of the gallery that the running service holds."""
DRAFTS = ".serve-"
"""Beginning of the names of files that exist during an export, an import or a backup."""


class Reporter(Protocol):
    """Finds the events of sightings that are about to be added."""

    targets: Sequence[str]

    def find_events(self, gallery: Gallery, sightings: Sequence[Sighting]) -> Sequence[NewEvent]:
        """Return the events of new sightings, by the gallery as it is before they are added."""


@dataclass(frozen=True)
class Added:
    """Result of adding one sighting.

    Attributes:
        id: Its id.
        new: Whether it was added; False if it was in the gallery.
        label: The stored label, which is not changed by adding the sighting again.
    """

    id: str
    new: bool
    label: str | None


class GalleryService:
    """A gallery that many requests use at once.

    Args:
        where: Folder of an existing gallery.
        settings: Limits.
        model: Folder of the gallery's model if it was moved, or `default`.
        flip: Whether its vectors average the mirror image; another gallery is refused. None takes both.
        accept_drift: As for `Gallery`.
        device: Where images are embedded.

    Raises:
        NoGalleryError: If there is no gallery.
        GalleryError: If another service has the gallery, or its model is missing; also as `Gallery`.

    Example:
        >>> passerby.Gallery("ours", model="runs/m").close()
        >>> with GalleryService("ours", ServeSettings()) as service:
        ...     asyncio.run(service.call(lambda gallery: gallery.stats().sightings, user="Ada"))
        0
    """

    def __init__(
        self,
        where: str | Path,
        settings: ServeSettings,
        *,
        model: str | None = None,
        flip: bool | None = None,
        accept_drift: bool = False,
        device: str = "auto",
    ) -> None:
        self.folder, self.settings, self.metrics = Path(where), settings, ServiceMetrics()
        if "://" in str(where):
            raise GalleryError(f"{where}: only a gallery in a folder can be served; export it and import it into one")
        if not (self.folder / FILE).is_file():
            raise no_gallery_error(where)
        self._model = model
        self._opening: dict[str, Any] = {"flip": flip, "accept_drift": accept_drift, "device": device}
        self._calls = self._slow_calls = 0
        self._review: tuple[Gallery, object, Review] | None = None
        self.reporter: Reporter | None = None
        self.drift = DriftMonitor()
        self._reading: tuple[float, asyncio.Future[bool]] | None = None
        with ExitStack() as stack:
            stack.enter_context(self._hold())
            for draft in self.folder.glob(f"{DRAFTS}*"):  # of a service that was killed
                shutil.rmtree(draft) if draft.is_dir() else draft.unlink(missing_ok=True)
            fast, slow, embed = (self._start(stack, name, 1) for name in ("gallery", "slow", "embed"))
            self._decode = self._start(stack, "decode", 2)
            self._fast, self._slow = fast, slow
            self._gallery: Gallery = fast.submit(copy_context().run, self._open, True).result()
            stack.callback(lambda: fast.submit(self._gallery.close).result())
            self._slow_gallery: Gallery | None = None
            stack.callback(lambda: slow.submit(self._close_slow).result())
            self.card = self._gallery.store.card
            self._embedder = None if self.card.model.source is None else self._gallery.embedder
            limit = settings.queue
            self.embedding: Batcher[Pixels, FloatArray] = Batcher(
                self._embed_batch, executor=embed, size=settings.embed_batch, limit=limit
            )
            self.queries: Batcher[VectorQuery, Any] = Batcher(self._query_batch, executor=fast, size=64, limit=limit)
            self.adding: Batcher[tuple[str, Sighting], Added] = Batcher(
                self._add_batch, executor=fast, size=64, limit=limit, whole=True
            )
            self._stack = stack.pop_all()
        for name in ("embedding", "queries", "adding"):
            self.metrics.watch_queue(name, getattr(self, name).__len__)
        self.metrics.watch_queue("calls", lambda: self._calls + self._slow_calls)

    @property
    def has_model(self) -> bool:
        """Whether images can be embedded; a gallery of vectors of the caller's own making has no model."""
        return self._embedder is not None

    def require_calibration(self) -> None:
        """Check that people can be identified.

        Raises:
            GalleryError: If the model is not calibrated.
        """
        self._fast.submit(lambda: self._gallery.calibration).result()

    async def call(self, function: Callable[[Gallery], Value], *, user: str, slow: bool = False) -> Value:
        """Run a function with the gallery in the thread that owns it.

        Args:
            function: Takes the gallery.
            user: Name in the audit log.
            slow: Run it in a second thread with a connection of its own, beside searches. For functions that read
                much, such as an export.

        Raises:
            QueueFullError: If too many calls wait.
        """
        name, executor = ("_slow_calls", self._slow) if slow else ("_calls", self._fast)
        if getattr(self, name) >= self.settings.queue:
            raise QueueFullError
        setattr(self, name, getattr(self, name) + 1)
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, self._run, function, user, slow)
        finally:
            setattr(self, name, getattr(self, name) - 1)

    async def is_readable(self) -> bool:
        """Return whether the gallery can be read within some seconds. All requests of a second share one reading."""
        started, reading = self._reading or (-np.inf, None)
        if reading is None or (reading.done() and time.monotonic() - started > READY_SECONDS):
            started, reading = time.monotonic(), asyncio.ensure_future(self._read_one())
            self._reading = started, reading
        try:
            return await asyncio.wait_for(asyncio.shield(reading), READY_TIMEOUT)
        except TimeoutError:
            return False

    async def _read_one(self) -> bool:
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._fast, self._run, lambda gallery: gallery.store.stored_labels([""]), "readyz", False
            )
        except Exception as error:  # whatever the cause, requests that read fail with it
            log_failure("readyz", error)
            return False
        return True

    async def decode(self, function: Callable[[], Value]) -> Value:
        """Run a function that decodes images in one of the threads for this."""
        with self.metrics.stage("decode"):
            return await asyncio.get_running_loop().run_in_executor(self._decode, function)

    async def embed(self, images: Sequence[Pixels]) -> list[FloatArray]:
        """Embed images, together with those of other requests.

        Args:
            images: (H, W, 3) uint8 RGB of any size.

        Returns:
            (D,) unit vector of each.

        Raises:
            GalleryError: If the gallery has no model.
            QueueFullError: If too many images wait.
        """
        if self._embedder is None:
            raise GalleryError("this gallery has no model, its vectors were made elsewhere; send vectors")
        size = self._embedder.preprocessing.size
        resized = await self.decode(lambda: [resize_image(image, size) for image in images])
        with self.metrics.stage("embed"):
            return await self.embedding.submit_all(resized)

    async def query(self, queries: Sequence[VectorQuery]) -> list[list[Hit]] | list[IdentifyResult]:
        """Search or identify vectors, together with those of other requests."""
        with self.metrics.stage("search"):
            return await self.queries.submit_all(queries)

    async def add(self, sightings: Sequence[Sighting], *, user: str) -> list[Added]:
        """Add the sightings of one request in one transaction; they are on the disk on return."""
        with self.metrics.stage("store"):
            return await self.adding.submit_all([(user, sighting) for sighting in sightings])

    def find_review(self, gallery: Gallery) -> Review:
        """Return the review of the gallery that `call(slow=True)` gives, kept until the model is calibrated again."""
        calibration = gallery.calibration
        if self._review is None or self._review[0] is not gallery or self._review[1] is not calibration:
            self._review = gallery, calibration, gallery.review()
        return self._review[2]

    def close(self) -> None:
        """Complete running calls, close the gallery and release its lock."""
        self._stack.close()

    def __enter__(self) -> GalleryService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _hold(self) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                stack.enter_context(hold_lock(self.folder / LOCK, wait=False))
            except BlockingIOError:
                raise GalleryError(
                    f"{self.folder}: another `passerby serve` has this gallery; stop it first, or use its address"
                ) from None
            yield

    @staticmethod
    def _start(stack: ExitStack, name: str, threads: int) -> ThreadPoolExecutor:
        return stack.enter_context(ThreadPoolExecutor(threads, thread_name_prefix=f"passerby-{name}"))

    def _open(self, with_model: bool) -> Gallery:
        gallery = Gallery(self.folder, model=self._model if with_model else None, **self._opening)
        try:
            if with_model and gallery.store.card.model.source is not None:
                _ = gallery.embedder  # a missing model is an error of the start, not of a request
        except BaseException:
            gallery.close()
            raise
        return gallery

    def _run(self, function: Callable[[Gallery], Value], user: str, slow: bool) -> Value:
        if slow and self._slow_gallery is None:
            self._slow_gallery = self._open(False)
        gallery = self._slow_gallery if slow else self._gallery
        assert gallery is not None
        gallery.store.user = user
        if gallery.store.keeps_answers:
            gallery.store.answers.user = user
        return function(gallery)

    def _close_slow(self) -> None:
        if self._slow_gallery is not None:
            self._slow_gallery.close()

    def _embed_batch(self, images: Sequence[Pixels]) -> Sequence[FloatArray]:
        assert self._embedder is not None
        return list(self._embedder.embed(np.stack(images), batch=len(images), workers=0, cache=False))

    def _query_batch(self, queries: Sequence[VectorQuery]) -> Sequence[Any]:
        return self._run_groups(queries, [(query.user, query.key) for query in queries], self._answer)

    def _answer(self, gallery: Gallery, queries: Sequence[VectorQuery]) -> Sequence[Any]:
        replies = answer(gallery, queries)
        if queries[0].top is None:
            vectors = np.stack([query.vector for query in queries])
            self.drift.observe(gallery, vectors, [query.seen_by or "" for query in queries])
        return replies

    def _add_batch(self, items: Sequence[tuple[str, Sighting]]) -> Sequence[Any]:
        return self._run_groups([sighting for _, sighting in items], [(user, None) for user, _ in items], self._add)

    def _add(self, gallery: Gallery, items: Sequence[Sighting]) -> list[Added]:
        store = gallery.store
        assert isinstance(store, SqliteStore)
        labels = store.stored_labels([sighting.id for sighting in items])
        unknown = [*{sighting.id: sighting for sighting in items if sighting.id not in labels}.values()]
        if unknown:
            self.drift.observe(gallery, np.stack([item.vector for item in unknown]), [item.camera for item in unknown])
        events = [] if self.reporter is None else self.reporter.find_events(gallery, unknown)
        targets = () if self.reporter is None else self.reporter.targets
        new = set(store.add_reported(items, events, targets=targets).new)
        if late := [sighting.id for sighting in unknown if sighting.id not in new]:  # added by another process
            labels |= store.stored_labels(late)
        replies = []
        for sighting in items:
            first = sighting.id in new
            new.discard(sighting.id)  # the same sighting later in the batch is known
            replies.append(Added(sighting.id, first, labels.get(sighting.id, sighting.label)))
        return replies

    def _run_groups(
        self,
        items: Sequence[Any],
        keys: Sequence[tuple[str, Hashable]],
        function: Callable[[Gallery, Sequence[Any]], Sequence[Any]],
    ) -> Sequence[Any]:
        """Run a function with the items of each key, a user and whatever else; an error is the reply to its group."""
        groups: dict[tuple[str, Hashable], list[int]] = defaultdict(list)
        for number, key in enumerate(keys):
            groups[key].append(number)
        replies: list[Any] = [None] * len(items)
        for (user, _), numbers in groups.items():
            part = [items[number] for number in numbers]

            def work(gallery: Gallery, part: Sequence[Any] = part) -> Sequence[Any]:
                return function(gallery, part)

            try:
                results = self._run(work, user, False)
            except Exception as error:
                results = [error] * len(numbers)
            for number, result in zip(numbers, results, strict=True):
                replies[number] = result
        return replies
