"""Identity of each new track of live cameras, by the rules of `identify` and `cluster`.

1. With labels in the gallery: the label that `identify` names, if any.
2. Otherwise the identity of an earlier track whose mean distance is smallest and at most the threshold of `cluster`
   (average linkage of one track to a cluster). The mean is over those of the identity's tracks of the last 24 hours
   that are among the 100 nearest sightings.
3. Otherwise a new identity, named by the id of the track's sighting.

In all three, two tracks of one camera that overlap in time never have one identity. The identity is the attribute
`track.identity`; the label of a sighting is not changed, so that errors do not count as enrolled labels.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass

from passerby.errors import GalleryError
from passerby.gallery.cluster import find_pair_threshold
from passerby.gallery.filters import Filter
from passerby.gallery.gallery import IDENTIFY_HITS, Gallery
from passerby.gallery.identify import identify_hits
from passerby.gallery.sightings import TRACK, Hit, Sighting
from passerby.types import Result

IDENTITY = f"{TRACK}identity"
_WITHIN = 24 * 3600.0
"""Seconds for which the appearance of an identity without a label is compared: people change their clothes."""
_NEAREST = 100
_RECENT = 1000
"""Tracks per camera that are kept for their overlap in time."""


@dataclass(frozen=True)
class IdentityMatch(Result):
    """Identity of a track.

    Attributes:
        identity: A label, or the id of the first sighting of the identity; None for a new one.
        label: Label that `identify` named; None without.
        probability: Probability of the label; None without.
        distance: Mean distance to the identity's tracks; None for a label and for a new identity.
    """

    identity: str | None
    label: str | None = None
    probability: float | None = None
    distance: float | None = None


class IdentityMatcher:
    """Match tracks with the sightings of a gallery. Other processes may add sightings at the same time.

    Args:
        gallery: Its model is calibrated.

    Raises:
        GalleryError: If it is not.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._store = gallery.store
        self._threshold = find_pair_threshold(gallery.calibration)
        line = gallery.calibration.identification
        if line is None:
            raise GalleryError(f"{gallery}: its model's calibration has no identification; calibrate the model again")
        self._line = line
        self._recent: dict[str, deque[tuple[float, float, str]]] = defaultdict(lambda: deque(maxlen=_RECENT))

    def match(self, track: Sighting) -> IdentityMatch:
        """Find the identity of a track that is not stored yet."""
        excluded = self._find_simultaneous(track)
        labels = self._store.count_labels(Filter(labeled=True))
        if labels:
            (hits,) = self._store.search(track.vector, top=IDENTIFY_HITS, where=Filter(labeled=True), record=False)
            result = identify_hits(hits, labels=labels, line=self._line)
            if result.label is not None and result.label not in excluded:
                return IdentityMatch(result.label, result.label, result.probability)
        distances: dict[str, list[float]] = {}
        assert track.time is not None
        recent = Filter(since=track.time - _WITHIN)
        for hit in self._store.search(track.vector, top=_NEAREST, where=recent, record=False)[0]:
            distances.setdefault(_identity_of(hit), []).append(hit.distance)
        means = {name: sum(values) / len(values) for name, values in distances.items() if name not in excluded}
        nearest = min(means, key=lambda name: means[name], default=None)
        if nearest is None or means[nearest] > self._threshold:
            return IdentityMatch(None)
        return IdentityMatch(nearest, distance=means[nearest])

    def remember(self, track: Sighting, identity: str) -> None:
        """Remember the span of a track, for tracks that overlap with it."""
        assert track.span is not None
        self._recent[track.camera].append((*track.span, identity))

    def _find_simultaneous(self, track: Sighting) -> set[str]:
        """Return the identities of tracks that the camera saw at the same time."""
        assert track.span is not None
        start, end = track.span
        return {name for first, last, name in self._recent[track.camera] if first < end and start < last}


def _identity_of(hit: Hit) -> str:
    return str(hit.attributes.get(IDENTITY) or hit.label or hit.id)
