"""A gallery in memory that compares with everything: for small sets, and what the other stores are tested against."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from passerby.errors import GalleryError
from passerby.gallery.card import GalleryCard
from passerby.gallery.sightings import (
    EVERYTHING,
    Added,
    AuditEntry,
    Description,
    Facts,
    Filter,
    Hit,
    Removal,
    Sighting,
    facts,
)
from passerby.gallery.stored_crops import kept_picture
from passerby.gallery.stores.exact_distances import exact_distances, nearest_first
from passerby.gallery.stores.validation import check_label, check_queries, check_removal, check_sightings
from passerby.types import FloatArray


class ExactGallery:
    """Brute force over a dict; gone when the process ends. Everything is as `GalleryStore` says."""

    def __init__(self, card: GalleryCard, *, who: str, clock: Callable[[], float] = time.time) -> None:
        self.card = card
        self._who, self._clock = who, clock
        self._sightings: dict[str, Sighting] = {}
        self._audit: list[AuditEntry] = []
        self.log("create")

    def add(self, sightings: Sequence[Sighting]) -> Added:
        """As `GalleryStore.add`."""
        distinct = check_sightings(sightings, self.card.model.dimension)
        now = self._clock()
        new: dict[str, Sighting] = {}
        known: list[str] = []
        for each in distinct:
            picture = kept_picture(each, self.card.pictures)
            if each.id in self._sightings:
                known.append(each.id)
            else:
                enrolled = now if each.enrolled is None else each.enrolled
                new[each.id] = replace(each, picture=picture, enrolled=enrolled)
        self._sightings |= new
        self.log("enroll", sightings=len(new), known=len(known))
        return Added(tuple(new), tuple(known))

    def search(
        self, vectors: FloatArray, *, top: int = 10, where: Filter = EVERYTHING, record: bool = True
    ) -> list[list[Hit]]:
        """As `GalleryStore.search`."""
        queries = check_queries(vectors, self.card.model.dimension, top=top)
        rows = self._passing(where)
        stacked = np.stack([each.vector for each in rows]) if rows else np.empty((0, queries.shape[1]), np.float32)
        found = []
        for query in queries:
            distances = exact_distances(query, stacked)
            places = nearest_first(distances, [each.id for each in rows], top=top)
            found.append([Hit(**facts(rows[place]), distance=float(distances[place])) for place in places])
        if record:
            self.log("search", queries=len(queries), hits=sum(map(len, found)))
        return found

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        """As `GalleryStore.get`."""
        missing = [each for each in ids if each not in self._sightings]
        if missing:
            raise GalleryError(f"memory: no sighting {missing[0]!r} ({len(missing)} of {len(ids)} ids are not there)")
        return [self._sightings[each] for each in ids]

    def walk(self, where: Filter = EVERYTHING, *, batch: int = 1000) -> Iterator[list[Sighting]]:
        """As `GalleryStore.walk`."""
        rows = sorted(self._passing(where), key=lambda each: each.id)
        for start in range(0, len(rows), batch):
            yield rows[start : start + batch]

    def remove(self, where: Filter, *, what: Removal = "remove") -> int:
        """As `GalleryStore.remove`."""
        check_removal(where, what)
        gone = self._passing(where)
        for each in gone:
            del self._sightings[each.id]
        self.log(what, sightings=len(gone))
        return len(gone)

    def relabel(self, where: Filter, label: str | None) -> int:
        """As `GalleryStore.relabel`."""
        check_label(where, label)
        chosen = self._passing(where)
        self._sightings |= {each.id: replace(each, label=label) for each in chosen}
        self.log("label", sightings=len(chosen))
        return len(chosen)

    def compact(self) -> None:
        """Nothing to do: there are no files."""

    def count(self, where: Filter = EVERYTHING) -> int:
        """As `GalleryStore.count`."""
        return len(self._passing(where))

    def labels(self, where: Filter = EVERYTHING) -> int:
        """As `GalleryStore.labels`."""
        return len({each.label for each in self._passing(where)} - {None})

    def describe(self) -> Description:
        """As `GalleryStore.describe`."""
        rows = list(self._sightings.values())
        times = [each.time for each in rows if each.time is not None]
        cameras = sorted(each.camera for each in rows)
        return Description(
            address="memory",
            backend="exact",
            card=self.card,
            sightings=len(rows),
            labels=self.labels(),
            cameras={name: cameras.count(name) for name in dict.fromkeys(cameras)},
            first=min(times, default=None),
            last=max(times, default=None),
            bytes=0,
            index="every vector is compared",
        )

    def audit(self) -> list[AuditEntry]:
        """As `GalleryStore.audit`."""
        return list(self._audit)

    def log(self, what: str, **counts: int) -> None:
        """As `GalleryStore.log`."""
        self._audit.append(AuditEntry(self._clock(), self._who, what, counts))

    def close(self) -> None:
        """Forget everything."""
        self._sightings.clear()

    def _passing(self, where: Filter) -> list[Sighting]:
        return [each for each in self._sightings.values() if passes(each, where)]


def _is_from(source: str, file: str) -> bool:
    """Whether a source is the file, or a place in it."""
    return source == file or source.startswith(f"{file}::")


def passes(sighting: Facts, where: Filter) -> bool:
    """Whether a sighting counts: the meaning of `Filter`, condition by condition."""
    seen, enrolled = sighting.time, sighting.enrolled
    return (
        (where.cameras is None or sighting.camera in where.cameras)
        and sighting.camera not in where.not_cameras
        and (where.since is None or (seen is not None and seen >= where.since))
        and (where.until is None or (seen is not None and seen < where.until))
        and (where.labels is None or sighting.label in where.labels)
        and (not where.labeled or sighting.label is not None)
        and (where.ids is None or sighting.id in where.ids)
        and (where.sources is None or any(_is_from(sighting.source, each) for each in where.sources))
        and (where.enrolled_before is None or (enrolled is not None and enrolled < where.enrolled_before))
    )
