"""What is handed from room to room. Plain frozen dataclasses over NumPy arrays; nothing here imports torch.

Dimension legend, used in every file of the package:
    B batch   C channels   H W map height and width   P parts (stripes)   D embedding width
    N images  Q queries    G gallery items            K ranks kept        I identities
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError

JUNK = -1
"""Person id of a detection that is nobody: readers drop it."""
DISTRACTOR = 0
"""Person id of a gallery image that matches no query. Readers give real people ids from 1."""
DEFAULT = "default"
"""The word, wherever a model is named, for the one that comes with the package."""

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
ProtocolName = Literal["market", "single-gallery-shot", "multi-query"]
ApRule = Literal["step", "trapezoid"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of one person in one camera, not yet decoded.

    Attributes:
        path: The file that holds the image.
        person_id: `DISTRACTOR` (0), or a person of this data set (from 1). Never `JUNK`.
        camera_id: 0-based camera.
        key: Where in the file, when the file is a container (`cuhk-03.mat`); None for an image file.
        timestamp: Seconds, when the data set tells; None otherwise.
    """

    path: Path
    person_id: int
    camera_id: int
    key: str | None = None
    timestamp: float | None = None

    @property
    def label(self) -> str:
        """What messages and pictures call this image."""
        return self.path.name if self.key is None else f"{self.path.name}:{self.key}"


@dataclass(frozen=True)
class DataSet:
    """A data set as its protocol splits it. Train and test identities are disjoint where `check` says so.

    Attributes:
        name: The reader's name, such as `market1501`.
        root: The folder or file that was read.
        spec: The text that addressed it, options included.
        train: Images to learn from.
        query: Images to look for.
        gallery: Images to look in, distractors included, junk dropped.
        multi_query: More images of the queries' people in the queries' cameras (Market-1501's `gt_bbox`).
        protocol: The rule that its figures are reported with.
        variant: What a figure must say beside the name (`labeled, new protocol`); empty when there is one only.
        junk: How many junk images were dropped.
        distractors: How many gallery images are distractors.
    """

    name: str
    root: Path
    spec: str
    train: tuple[Sample, ...]
    query: tuple[Sample, ...]
    gallery: tuple[Sample, ...]
    multi_query: tuple[Sample, ...] = ()
    protocol: ProtocolName = "market"
    variant: str = ""
    junk: int = 0
    distractors: int = 0

    @property
    def title(self) -> str:
        """Name and variant, as tables print it."""
        return f"{self.name} ({self.variant})" if self.variant else self.name


@dataclass(frozen=True)
class Labels:
    """Whose N images they are and which camera saw them, for figures of distances that somebody else made.

    Attributes:
        person_ids: (N,) integers, at least 0.
        camera_ids: (N,) integers, at least 0.

    Raises:
        DataError: (a ValueError) naming the argument, for wrong shapes or lengths, or negative ids.
    """

    person_ids: IntArray
    camera_ids: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "person_ids", _ids(self.person_ids, "person_ids", count=np.size(self.person_ids)))
        object.__setattr__(self, "camera_ids", _ids(self.camera_ids, "camera_ids", count=len(self.person_ids)))

    def __len__(self) -> int:
        return len(self.person_ids)


@dataclass(frozen=True)
class Embeddings:
    """Vectors of N images with whose they are and which camera saw them.

    Attributes:
        vectors: (N, D) floating point, finite. Any length; `score` normalizes when it compares by cosine. float16 and
            memory-mapped vectors stay what they are.
        person_ids: (N,) integers, at least 0.
        camera_ids: (N,) integers, at least 0.

    Raises:
        DataError: (a ValueError) naming the argument, for wrong shapes or lengths, NaN or infinity, negative ids.
    """

    vectors: FloatArray
    person_ids: IntArray
    camera_ids: IntArray

    def __post_init__(self) -> None:
        vectors = np.asarray(self.vectors)
        if vectors.ndim != 2 or vectors.dtype.kind != "f":
            raise DataError(f"vectors: got shape {vectors.shape} of {vectors.dtype}, expected (N, D) floating point")
        rows = max(1, 2**20 // max(1, vectors.shape[1]))  # a million vectors are checked in a few megabytes
        for start in range(0, len(vectors), rows):
            bad = np.flatnonzero(~np.isfinite(vectors[start : start + rows]).all(axis=1))
            if len(bad):
                raise DataError(f"vectors: NaN or infinity, first in row {start + bad[0]}; find out what made it")
        object.__setattr__(self, "vectors", vectors)
        for name in ("person_ids", "camera_ids"):
            object.__setattr__(self, name, _ids(getattr(self, name), name, count=len(vectors)))

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, places: IntArray) -> Embeddings:
        """The rows at `places`, in that order."""
        return Embeddings(self.vectors[places], self.person_ids[places], self.camera_ids[places])


def _ids(values: object, name: str, *, count: int) -> IntArray:
    """(count,) ids as int64, or an error that names the argument."""
    ids = np.asarray(values)
    if ids.shape != (count,) or (ids.size and ids.dtype.kind not in "iu"):
        raise DataError(
            f"{name}: got shape {ids.shape} of {ids.dtype}, expected ({count},) integers, one for each image"
        )
    if ids.size and ids.min() < 0:
        raise DataError(f"{name}: got {ids.min()}, expected 0 or more; drop junk images before scoring")
    return ids.astype(np.int64)


@dataclass(frozen=True)
class Ranking:
    """The first K gallery items of each query, nearest first, same-person-same-camera items already removed.

    Attributes:
        indices: (Q, K) gallery index, -1 where a query has fewer than K items left.
        distances: (Q, K) distance, NaN where `indices` is -1.
        matches: (Q, K) true where the item shows the query's person.
    """

    indices: IntArray
    distances: FloatArray
    matches: BoolArray


@dataclass(frozen=True)
class Scores:
    """Figures of one evaluation; everything that must stand beside a figure stands beside it.

    Attributes:
        cmc: (K,) share of valid queries with a match among the first k; index 0 is rank 1.
        mAP: Mean average precision over valid queries, 0 to 1.
        mINP: Mean inverse negative penalty, 0 to 1.
        queries: Queries given.
        valid_queries: Queries that have a match left under the protocol.
        gallery: Gallery size.
        protocol: Rule of who counts.
        ap: Rule of average precision.
        intervals: 95 % bootstrap interval over identities of `rank1`, `rank5`, `rank10`, `mAP`, `mINP`; may be empty.
        average_precision: (Q,) each query's AP, NaN where the query is not valid.
        first_match: (Q,) rank of each query's first match, from 1; 0 where the query is not valid.
    """

    cmc: FloatArray
    mAP: float
    mINP: float
    queries: int
    valid_queries: int
    gallery: int
    protocol: ProtocolName
    ap: ApRule
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    average_precision: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    first_match: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def rank(self, k: int) -> float:
        """CMC at rank k (from 1); beyond the kept ranks, the last one's."""
        return float(self.cmc[min(k, len(self.cmc)) - 1])

    @property
    def rank1(self) -> float:
        """CMC at rank 1, 0 to 1."""
        return self.rank(1)
