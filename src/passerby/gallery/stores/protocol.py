"""Interface of the stores of a gallery. D embedding width, Q queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from numpy.typing import ArrayLike

from passerby.gallery.card import GalleryCard, GalleryModel
from passerby.gallery.filters import EVERYTHING, Filter, Removal
from passerby.gallery.results import AddResult, AuditEntry, GalleryStats
from passerby.gallery.sightings import Hit, Sighting
from passerby.gallery.stores.proposals import Candidates, Key, ScoredPart
from passerby.gallery.stores.sqlite_answers import SqliteAnswers


class GalleryStore(Protocol):
    """Sightings that can be added, searched and removed. All stores return the same values.

    A store belongs to one thread; open one per thread or process.
    """

    address: str
    """Folder or address, without a password."""

    @property
    def folder(self) -> Path | None:
        """Folder with the lists of shards and adapted runs; None in memory and on a server, which have none."""

    user: str
    """Name in the audit log."""

    @property
    def card(self) -> GalleryCard:
        """Model and settings of the gallery."""

    keeps_answers: bool
    """Whether `answers` can be used."""

    @property
    def answers(self) -> SqliteAnswers:
        """Answers of reviewers and the identities that follow.

        Raises:
            GalleryError: If the store keeps none.
        """

    def add(self, sightings: Sequence[Sighting]) -> AddResult:
        """Add sightings: all are durable on return, or none is added after an error or a crash.

        Sightings whose id is present stay unchanged, so a call that was interrupted can be repeated.

        Raises:
            GalleryError: For a vector of another width, a crop that cannot be decoded, or a store that cannot be
                written.
        """

    def stored_labels(self, ids: Sequence[str]) -> dict[str, str | None]:
        """Return the labels of those of the ids that are stored; no vector or crop is read."""

    def search(
        self, vectors: ArrayLike, *, top: int = 10, where: Filter = EVERYTHING, record: bool = True
    ) -> list[list[Hit]]:
        """Find the nearest sightings of each query.

        Args:
            vectors: (Q, D) or (D,) floating point, of any length above 0.
            top: Hits per query; fewer if fewer sightings pass the filter.
            where: Sightings to search.
            record: Add a line to the audit log; False for a part of a search that the caller records.

        Returns:
            Hits of each query, nearest first, equal distances in the order of their ids.

        Raises:
            GalleryError: For vectors of another width, not finite or all zero, or `top` below 1.
        """

    def propose(self, parts: Sequence[ScoredPart], *, count: int) -> list[list[Key]]:
        """Find the sightings with the best scores for each query without computing exact distances.

        Args:
            parts: Parts of the gallery, none of which have a sighting in common, and their scores.
            count: Largest number of keys per query.

        Returns:
            Keys of each query's best, best first. Scores are computed from approximate cosine similarities.
        """

    def read_proposed(self, keys: Sequence[Key]) -> Candidates:
        """Read the sightings of keys from `propose`, without crops; those that were removed since are missing."""

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        """Return sightings with vectors and crops, in the order of `ids`.

        Raises:
            GalleryError: If an id is not stored.
        """

    def walk(
        self, where: Filter = EVERYTHING, *, batch: int = 1000, crops: bool = True, after: str = ""
    ) -> Iterator[list[Sighting]]:
        """Iterate over the sightings that pass a filter in the order of their ids.

        Args:
            where: Sightings to return.
            batch: Sightings at a time.
            crops: Read crops; without them `crop` is None.
            after: Begin after this id.
        """

    def find_ids(self, where: Filter) -> list[str]:
        """Return the ids of the sightings that an erasure with a filter erases: also those that a review removed."""

    def remove(self, where: Filter, *, action: Removal = "remove") -> int:
        """Remove the sightings that pass a filter; `forget` and `expire` also erase them from the files.

        Returns:
            Number of removed sightings.

        Raises:
            GalleryError: For a filter without conditions.
        """

    def relabel(self, where: Filter, label: str | None) -> int:
        """Set the label of the sightings that pass a filter; None removes it.

        Returns:
            Number of sightings that pass.

        Raises:
            GalleryError: For a filter without conditions, or a label that is not 1 to 255 characters.
        """

    def set_retention(self, days: float | None) -> None:
        """Change the retention in the card; None keeps everything. Nothing is erased.

        Raises:
            GalleryError: For a number that is not above 0, or a store whose card cannot be changed.
        """

    def accept_model(self, model: GalleryModel) -> None:
        """Record in the card that vectors of another model of the same network are accepted; see `GalleryCard.accept`.

        Raises:
            GalleryError: For a store whose card cannot be changed.
        """

    def compact(self) -> None:
        """Rewrite the files without removed sightings."""

    def count(self, where: Filter = EVERYTHING) -> int:
        """Count the sightings that pass a filter."""

    def count_labels(self, where: Filter = EVERYTHING) -> int:
        """Count the different labels of the sightings that pass a filter."""

    def stats(self) -> GalleryStats:
        """Return size, contents and settings."""

    def audit(self) -> list[AuditEntry]:
        """Return the audit log, oldest entry first."""

    def log(self, action: str, **counts: int) -> None:
        """Add a line to the audit log."""

    def close(self) -> None:
        """Release files and connections; added sightings are durable before."""
