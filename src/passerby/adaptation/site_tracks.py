"""Tracks as units: crops of one group in one camera.

N crops   T tracks   D width of the embedding
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.adaptation.site import Site, number
from passerby.adaptation.track_links import TrackLinks, link_tracks
from passerby.metric.covariance import UNKNOWN
from passerby.types import IntArray

LEAST = 0.5
"""Least probability of a link that is found."""


@dataclass(frozen=True)
class SiteTracks:
    """Tracks of the groups that are not held out.

    Attributes:
        rows: (n,) crops.
        labels: (n,) track of each, 0 to T - 1.
        camera_ids: (T,).
        groups: (T,) group of each track; tracks of one group in two cameras are linked from the start.
        persons: (T,) identity, or `UNKNOWN`; for the precision of links alone.
        cannot: (L, 2) tracks of two people by the answers of a review.
    """

    rows: IntArray
    labels: IntArray
    camera_ids: IntArray
    groups: IntArray
    persons: IntArray
    cannot: IntArray

    def mean(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the (T, D) unit mean of (N, D) vectors over the crops of each track."""
        sums = np.zeros((len(self.camera_ids), vectors.shape[1]))
        np.add.at(sums, self.labels, vectors[self.rows])
        return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12))

    @property
    def known_links(self) -> IntArray:
        """(L, 2) tracks of one group in two cameras."""
        first, second = np.nonzero(np.triu(self.groups[:, None] == self.groups[None], k=1))
        return np.stack([first, second], axis=1)

    def link(self, vectors: NDArray[np.floating] | None) -> TrackLinks:
        """Return the known links, of probability 1, and those that are found.

        Args:
            vectors: (N, D), normalized per camera; None finds no link.
        """
        known = self.known_links
        if vectors is None:
            return TrackLinks(known, np.ones(len(known)))
        found = link_tracks(self.mean(vectors), self.camera_ids, least=LEAST, known=known, cannot=self.cannot)
        return TrackLinks(
            np.concatenate([known, found.pairs]), np.concatenate([np.ones(len(known)), found.probabilities])
        )

    def measure(self, links: TrackLinks) -> dict[str, float]:
        """Count links, with their mean probability, and their precision and recall if the identities are known."""
        pairs = links.pairs
        values: dict[str, float] = {"links": len(pairs)}
        if not len(pairs):
            return values
        values["link_probability"] = float(links.probabilities.mean())
        if (self.persons == UNKNOWN).any():
            return values
        right = int((self.persons[pairs[:, 0]] == self.persons[pairs[:, 1]]).sum())
        same = np.triu(self.persons[:, None] == self.persons[None], k=1)
        same &= self.camera_ids[:, None] != self.camera_ids[None]
        return values | {"link_precision": right / len(pairs), "link_recall": right / max(int(same.sum()), 1)}


def find_tracks(site: Site, numbers: IntArray) -> SiteTracks:
    """Return the tracks of groups: the crops of one group in one camera.

    Args:
        site: The crops.
        numbers: (N,) group of each crop, or `UNKNOWN`.
    """
    rows = np.flatnonzero(numbers != UNKNOWN)
    labels = number(list(zip(numbers[rows].tolist(), site.camera_ids[rows].tolist(), strict=True)))
    first = rows[np.unique(labels, return_index=True)[1]]
    groups = numbers[first]
    return SiteTracks(
        rows,
        labels,
        site.camera_ids[first],
        groups,
        site.persons[first],
        _list_cannot(groups, numbers[site.links.cannot]),
    )


def _list_cannot(groups: IntArray, cannot: IntArray) -> IntArray:
    """Return the pairs of tracks whose groups (L, 2) are of two people; a group of no track has none."""
    pairs = [
        (track, other)
        for first, second in np.unique(cannot, axis=0).tolist()
        for track in np.flatnonzero(groups == first).tolist()
        for other in np.flatnonzero(groups == second).tolist()
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)
