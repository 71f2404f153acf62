"""The words that every store of a gallery answers to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from passerby.gallery.card import GalleryCard
from passerby.gallery.sightings import EVERYTHING, Added, AuditEntry, Description, Filter, Hit, Removal, Sighting
from passerby.types import FloatArray


class GalleryStore(Protocol):
    """Sightings that can be added, searched and removed. Every store returns the same values.

    A store belongs to one thread; open one per thread or process.
    """

    @property
    def card(self) -> GalleryCard:
        """Whose vectors these are, and the gallery's settings."""

    def add(self, sightings: Sequence[Sighting]) -> Added:
        """Take sightings in: all of them are durable on return, or none after an error or a crash.

        Sightings whose id is there already stay as they are: repeating an `add` that was cut off is safe.

        Raises:
            GalleryError: For a vector of another width, a picture that is none, a store that cannot be written.
        """

    def search(
        self, vectors: FloatArray, *, top: int = 10, where: Filter = EVERYTHING, record: bool = True
    ) -> list[list[Hit]]:
        """The nearest sightings of each query, nearest first, equal distances by id.

        Args:
            vectors: (Q, D) or (D,) floating point, of any length above 0.
            top: Hits per query, fewer when fewer sightings pass the filter.
            where: Which sightings count.
            record: Add a line to the audit log; False where this is a part of a search that the caller records.

        Raises:
            GalleryError: For vectors of another width, not finite or all zero, or `top` below 1.
        """

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        """Whole sightings, in the order of `ids`.

        Raises:
            GalleryError: Naming ids that are not there.
        """

    def walk(self, where: Filter = EVERYTHING, *, batch: int = 1000) -> Iterator[list[Sighting]]:
        """All sightings that pass, whole, in the order of their ids, `batch` at a time."""

    def remove(self, where: Filter, *, what: Removal = "remove") -> int:
        """Take out the sightings that pass, and say how many; `forget` also erases them from the files.

        Raises:
            GalleryError: For a filter that leaves nothing out.
        """

    def relabel(self, where: Filter, label: str | None) -> int:
        """Say who is on the sightings that pass, None for nobody knows, and return how many there are.

        Raises:
            GalleryError: For a filter that leaves nothing out, or a label that is not 1 to 255 characters.
        """

    def compact(self) -> None:
        """Rewrite the files without what was removed."""

    def count(self, where: Filter = EVERYTHING) -> int:
        """How many sightings pass."""

    def labels(self, where: Filter = EVERYTHING) -> int:
        """How many different labels pass."""

    def describe(self) -> Description:
        """The gallery in numbers."""

    def audit(self) -> list[AuditEntry]:
        """Everything that was done here, oldest first."""

    def log(self, what: str, **counts: int) -> None:
        """Add a line to the audit log."""

    def close(self) -> None:
        """Let go of files and connections; what was acknowledged is durable already."""
