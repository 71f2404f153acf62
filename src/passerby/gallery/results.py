"""Results of a gallery's methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from passerby.gallery.card import GalleryCard
from passerby.gallery.sightings import Hit, SightingInfo
from passerby.text import plural
from passerby.types import Result

IdentifyAnswer = Literal["identified", "unknown", "not sure"]


@dataclass(frozen=True)
class LabelConflict(Result):
    """A crop that was enrolled again with another label.

    Attributes:
        source: File of the crop.
        stored: Label in the gallery, which stays; None without one.
        given: Label with which it was enrolled again.
    """

    source: str
    stored: str | None
    given: str


@dataclass(frozen=True)
class EnrollResult(Result):
    """Counts of `Gallery.enroll` and `enroll_video`.

    Attributes:
        new: Sightings that were added.
        known: Crops that were enrolled before: same file, camera and time.
        unreadable: (source, reason) of each image that could not be read or stored; all others are enrolled.
        conflicts: Known crops that were given another label than the stored one, which is unchanged.
    """

    new: int
    known: int
    unreadable: tuple[tuple[str, str], ...] = ()
    conflicts: tuple[LabelConflict, ...] = ()

    def __repr__(self) -> str:
        conflicts = f", conflicts={len(self.conflicts)}" if self.conflicts else ""
        return f"EnrollResult(new={self.new}, known={self.known}, unreadable={len(self.unreadable)}{conflicts})"


@dataclass(frozen=True)
class AddResult(Result):
    """Ids of the sightings given to `GalleryStore.add`.

    Attributes:
        new: Added; durable.
        known: Present before; unchanged.
    """

    new: tuple[str, ...]
    known: tuple[str, ...]

    def __repr__(self) -> str:
        return f"AddResult({len(self.new)} new, {len(self.known)} known)"


@dataclass(frozen=True, repr=False)
class Candidate(Result):
    """A label that a query may show.

    Attributes:
        label: Identity.
        probability: Probability that the query shows it, 0 to 1.
        hit: Its nearest sighting.
    """

    label: str
    probability: float
    hit: Hit


@dataclass(frozen=True)
class IdentifyResult(Result):
    """Open-set identification of one query.

    Attributes:
        label: Identity; None for unknown and not sure.
        probability: Probability of `label`, or of showing no label of the gallery where `label` is None; 0 to 1.
        candidates: The nearest labels, most probable first.
        answer: `identified`, `unknown`, or `not sure` where neither reaches the least probability for an answer.
    """

    label: str | None
    probability: float
    candidates: tuple[Candidate, ...] = ()
    answer: IdentifyAnswer = "unknown"

    def __repr__(self) -> str:
        count = len(self.candidates)
        return f"IdentifyResult(label={self.label!r}, probability={self.probability:.3f}, candidates={count})"


@dataclass(frozen=True)
class ClusterResult(Result):
    """Sightings grouped by identity.

    Attributes:
        clusters: Sightings of each identity by time; the largest cluster first.
        threshold: Largest mean cosine distance at which two clusters were joined.
        b_cubed_precision: B-cubed precision against the labels, 0 to 1; None if no sighting has a label.
        b_cubed_recall: B-cubed recall against the labels, likewise.
    """

    clusters: tuple[tuple[SightingInfo, ...], ...]
    threshold: float
    b_cubed_precision: float | None = None
    b_cubed_recall: float | None = None

    def __repr__(self) -> str:
        sightings = plural(sum(map(len, self.clusters)), "sighting")
        clusters = plural(len(self.clusters), "cluster")
        return f"ClusterResult({clusters} of {sightings}, threshold={self.threshold:.3f})"


@dataclass(frozen=True, repr=False)
class AuditEntry(Result):
    """One line of the audit log. It contains no label, no image and no vector.

    Attributes:
        time: Seconds since 1970 UTC.
        user: User that opened the gallery.
        action: `create`, `enroll`, `search`, `label`, `remove`, `forget`, `expire`, `export`, `import`, `upgrade`,
            or one of a review: `answer`, `merge`, `split`, `rename`, `undo`.
        counts: Numbers by name, such as `{"queries": 1, "hits": 10}`.
    """

    time: float
    user: str
    action: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class GalleryStats(Result):
    """Size, contents and settings of a gallery.

    Attributes:
        address: Folder, `memory`, or `milvus://host:port/name`.
        store: `memory`, `sqlite` or `milvus`.
        card: Model and settings.
        sightings: Number of sightings.
        labels: Number of different labels.
        cameras: Number of sightings of each camera.
        first: Earliest time of a sighting, seconds since 1970 UTC; None if no time is known.
        last: Latest time, likewise.
        bytes: Size on this machine's disk; 0 in memory, None on a server.
        index: How searches are computed.
    """

    address: str
    store: str
    card: GalleryCard
    sightings: int
    labels: int
    cameras: Mapping[str, int]
    first: float | None
    last: float | None
    bytes: int | None
    index: str

    def __repr__(self) -> str:
        counts = f"sightings={self.sightings}, labels={self.labels}, cameras={len(self.cameras)}"
        return f"GalleryStats({self.address!r}, {counts})"
