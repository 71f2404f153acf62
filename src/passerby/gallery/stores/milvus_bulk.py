"""Bulk insertion into a Milvus server: Parquet files in the storage of the server, which it reads by itself.

The server stores what a file contains, also ids that it has. Each id is there once because

1. no task of the collection is unfinished before stored ids are searched, and finished ones are visible: the server
   shows the rows of a finished task only after the collection has been loaded anew;
2. only sightings that are not stored are written into files;
3. the rows of all ids are counted after the insertion; ids with more rows than one, which another process has sent
   meanwhile, are sent again by an upsert, which leaves one.

A process that is killed leaves tasks, which the server finishes, and files, which the next process deletes.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from passerby.errors import GalleryError, argument
from passerby.gallery.filters import Filter
from passerby.gallery.results import AddResult
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.bulk_storage import BulkStorage
from passerby.gallery.stores.milvus_connection import MilvusConnection
from passerby.gallery.stores.milvus_rows import to_entity
from passerby.gallery.stores.validation import check_sightings
from passerby.text import plural

if TYPE_CHECKING:
    from passerby.gallery.stores.milvus import MilvusStore

logger = logging.getLogger(__name__)
ROWS = 50_000
"""Sightings of one file."""
_IN_FLIGHT = 2  # files that the server works on while the next one is written
_ROUND = 20  # files, after which rows are made visible and counted
_IDS = 10_000  # ids of one query
_REPAIR = 1000  # sightings sent again at a time
_FAILED, _DONE = {1, 7}, {1, 6, 7}  # failed, failed and cleaned; and completed
_POLL = 0.2  # seconds


class BulkInsertion:
    """Insertion of sightings by files.

    Args:
        store: Gallery on a server.
        connection: Connection to the server.
        collection: Name of the collection of the sightings.
        storage: Storage that the server reads.
        now: Time of enrollment, in seconds since 1970 UTC.
    """

    def __init__(
        self, store: MilvusStore, connection: MilvusConnection, collection: str, storage: BulkStorage, *, now: float
    ) -> None:
        self._store, self._connection, self._collection = store, connection, collection
        self._storage, self._now = storage, now
        self._files: list[str] = []
        self._tasks: dict[int, str] = {}  # of this process, with their files

    def add(self, sightings: Iterable[Sighting]) -> Iterator[AddResult]:
        """Add sightings. Each result is of `_ROUND` files of them, in order, and all of these are visible then.

        Raises:
            GalleryError: If the server refuses a file. The files of this process are deleted then, and the same call
                adds what is missing.
        """
        self._clean_up()
        self._finish()
        batches = iter(sightings)
        while first := list(islice(batches, ROWS)):
            try:
                result = self._add_round(chain([first], _batches(batches, _ROUND - 1)))
            except BaseException:
                try:
                    self._delete_files()  # a task that has not begun fails then
                except GalleryError as error:
                    logger.warning("%s", error)
                raise
            self._delete_files()
            yield result

    def _delete_files(self) -> None:
        files = self._files.copy()
        self._files.clear()
        self._tasks.clear()
        self._storage.delete(files)

    def _add_round(self, batches: Iterable[list[Sighting]]) -> AddResult:
        new: dict[str, None] = {}
        known: list[str] = []
        for batch in batches:
            distinct = check_sightings(batch, self._store.card.model.dimension)
            stored = self._find_stored([sighting.id for sighting in distinct]) | new.keys()
            fresh = [sighting for sighting in distinct if sighting.id not in stored]
            new |= dict.fromkeys(sighting.id for sighting in fresh)
            known += [sighting.id for sighting in batch if sighting.id in stored]
            self._send(fresh)
        self._finish()
        self._leave_one([*new])
        self._store.log("enroll", sightings=len(new), known=len(known))
        return AddResult(tuple(new), tuple(known))

    def _find_stored(self, ids: Sequence[str]) -> set[str]:
        stored: set[str] = set()
        for start in range(0, len(ids), _IDS):
            part = ids[start : start + _IDS]
            if self._store.count(Filter(ids=part)):  # one fast query, and mostly 0
                stored |= self._store.stored_labels(part).keys()
        return stored

    def _send(self, sightings: Sequence[Sighting]) -> None:
        """Write a file, and have the server insert it once fewer than `_IN_FLIGHT` tasks are unfinished."""
        if not sightings:
            return
        file = self._storage.write(_to_table(sightings, now=self._now))
        self._files.append(file)
        self._wait(_IN_FLIGHT - 1)
        path = self._storage.server_path(file)
        self._tasks[self._connection.call_bulk("do_bulk_insert", self._collection, None, [path])] = path

    def _wait(self, most: int) -> int:
        """Wait until at most so many tasks of the collection are unfinished; return the number of all that are known.

        Raises:
            GalleryError: If a task of this process has failed.
        """
        while True:
            tasks = self._connection.call_bulk("list_bulk_insert_tasks", 0, self._collection)
            for task in tasks:
                if task.task_id in self._tasks and task.state in _FAILED:
                    path = self._tasks[task.task_id]
                    reason = str(task.failed_reason).replace(path, "it")
                    raise GalleryError(
                        f"{self._store.address}: the server cannot insert {path} ({reason}), which was written to "
                        f"{self._storage.root}; if the server was started again, repeat the command, which adds what "
                        f"is missing; if it does not find the file, give the server's own storage as "
                        f"{argument('bulk')}, and its path there as {argument('bulk_path')}"
                    )
            if sum(task.state not in _DONE for task in tasks) <= most:
                return len(tasks)
            time.sleep(_POLL)

    def _finish(self) -> None:
        """Wait for all tasks of the collection, and make their rows visible to queries."""
        if self._wait(0):
            self._connection.call("load_collection", self._collection, _refresh=True)

    def _clean_up(self) -> None:
        """Delete the files of ended processes: a task of theirs that has not begun fails."""
        ended, foreign = self._storage.find_leftovers()
        self._storage.delete(ended)
        if foreign:
            logger.warning(
                "%s: %s of another machine, as %s; delete those of ended processes: they contain vectors of people",
                self._storage.root,
                plural(len(foreign), "file"),
                foreign[0],
            )

    def _leave_one(self, ids: Sequence[str]) -> None:
        """Check that each id has one row, and remove further ones.

        Raises:
            GalleryError: If rows are missing.
        """
        for start in range(0, len(ids), _IDS):
            part = ids[start : start + _IDS]
            count = self._store.count(Filter(ids=part))
            if count > len(part):
                self._send_again(part)
            elif count < len(part):
                raise GalleryError(
                    f"{self._store.address}: {plural(len(part) - count, 'inserted sighting')} cannot be found; if none "
                    "was removed meanwhile, repeat the command, which adds what is missing"
                )

    def _send_again(self, ids: Sequence[str]) -> None:
        """Upsert sightings as they are stored, which removes all other rows of their ids."""
        for start in range(0, len(ids), _REPAIR):
            sightings = self._store.get(ids[start : start + _REPAIR])
            entities = [
                to_entity(sighting, cast("bytes | None", sighting.crop), now=self._now) for sighting in sightings
            ]
            self._connection.call("upsert", self._collection, entities)


def _batches(sightings: Iterator[Sighting], most: int) -> Iterator[list[Sighting]]:
    for _ in range(most):
        if not (batch := list(islice(sightings, ROWS))):
            return
        yield batch


def _to_table(sightings: Sequence[Sighting], *, now: float) -> pa.Table:
    """Convert sightings without crops to the columns of the collection."""
    entities: list[dict[str, Any]] = [to_entity(sighting, None, now=now) for sighting in sightings]
    columns: dict[str, Any] = {name: [entity[name] for entity in entities] for name in entities[0]}
    vectors = np.stack(columns["vector"]).astype(np.float32)
    offsets = np.arange(0, vectors.size + 1, vectors.shape[1], dtype=np.int32)
    columns["vector"] = pa.ListArray.from_arrays(offsets, vectors.reshape(-1))
    columns["attributes"] = [json.dumps(attributes) for attributes in columns["attributes"]]
    return pa.table(columns)
