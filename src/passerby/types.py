"""Types that the packages exchange: frozen dataclasses over NumPy arrays. This module does not import torch.

Dimension legend, used in every file of the package:
    B batch   C channels   H W map height and width   P parts (stripes)   D embedding width
    N images  Q queries    G gallery items            K ranks kept        I identities
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import DataError

JUNK = -1
"""Identity of a detection that shows no person of the data set. Readers drop such images."""
DISTRACTOR = 0
"""Identity of a gallery image that matches no query. Readers number identities from 1."""
MAX_ID = 2**63 - 1
"""Largest id of an identity or a camera."""
DEFAULT = "default"
"""Name of the model that comes with the package; accepted wherever a model is named."""

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
ProtocolName = Literal["market", "single-gallery-shot", "multi-query"]
ApRule = Literal["step", "trapezoid"]


class Result:
    """Base of the result dataclasses: a `repr` of one line and a dictionary for JSON."""

    def __repr__(self) -> str:
        """Format the fields in one line: numbers with four digits, arrays by their shape."""
        values = (f"{field.name}={_format(getattr(self, field.name))}" for field in fields(cast("Any", self)))
        return f"{type(self).__name__}({', '.join(values)})"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serializable values; NaN and infinity become None."""
        return {field.name: to_json(getattr(self, field.name)) for field in fields(cast("Any", self))}


def to_json(value: Any) -> Any:
    """Convert arrays, paths, tuples, mappings and results for `json.dumps`; NaN and infinity become None."""
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {name: to_json(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return to_json(value.tolist())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _format(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array{value.shape}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_format, value))})"
    return repr(value)


def as_array(values: ArrayLike) -> NDArray[Any]:
    """Convert array-like values to an array; a torch tensor is detached and copied from its device first."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of one person in one camera, not decoded yet.

    Attributes:
        path: File that holds the image.
        person_id: `DISTRACTOR` (0), or an identity of the data set (from 1). Never `JUNK`.
        camera_id: Camera, from 0.
        key: Entry of the file, when the file is a container (`cuhk-03.mat`), or box of the image (`box=12,30,64,128`);
            None for the whole image.
        timestamp: Time in seconds, None for a data set without times.
        track: Number of the track that the image belongs to, None for a data set of single images. An evaluation
            compares tracks, each by the mean of the embeddings of its images.

    Example:
        >>> Sample(Path("a.jpg"), person_id=1, camera_id=0).label
        'a.jpg'
    """

    path: Path
    person_id: int
    camera_id: int
    key: str | None = None
    timestamp: float | None = None
    track: int | None = None

    @property
    def label(self) -> str:
        """Name of the image in messages and plots: file name and key."""
        return self.path.name if self.key is None else f"{self.path.name}:{self.key}"


OWN_LAYOUTS = ("folder", "table")
"""Readers that name a layout and no data set."""


@dataclass(frozen=True, repr=False)
class DataSet:
    """A data set, split as its protocol defines. `passerby data check` verifies that identities do not overlap.

    Attributes:
        name: Name of the reader, such as `market1501`.
        root: Folder or file that was read.
        spec: Text that addressed the data set, options included.
        train: Training images.
        query: Query images.
        gallery: Gallery images, with distractors and without junk.
        multi_query: Further images of the query identities in the query cameras (Market-1501's `gt_bbox`).
        protocol: Protocol under which results on this data set are reported.
        variant: Variant that must be stated with a result, such as `labeled, new protocol`; empty if there is only one.
        junk: Number of junk images that were dropped.
        distractors: Number of distractors in the gallery.

    Example:
        >>> (data,) = passerby.load_data("market1501:people")
        >>> data.title, len(data.query)
        ('market1501 (synthetic)', 24)
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

    def __repr__(self) -> str:
        counts = f"train={len(self.train)}, query={len(self.query)}, gallery={len(self.gallery)}"
        return f"DataSet({self.spec!r}, {counts}, protocol={self.protocol!r})"

    @property
    def title(self) -> str:
        """Name and variant, for tables. Own data are named by their last folder or file: `folder:ours`."""
        place = os.path.basename(os.path.abspath(self.root)) if self.name in OWN_LAYOUTS else ""
        name = f"{self.name}:{place}" if place else self.name
        return f"{name} ({self.variant})" if self.variant else name

    @property
    def is_synthetic(self) -> bool:
        """Whether all people of the data set are synthetic, as written by `passerby synth`."""
        return self.name == "synth" or (self.root / "synth.json").is_file()


@dataclass(frozen=True, init=False, repr=False)
class Labels(Result):
    """Identities and cameras of N images, for functions that are given distances instead of embeddings.

    Attributes:
        person_ids: (N,) integers, at least 0; 0 marks a distractor.
        camera_ids: (N,) integers, at least 0.

    Raises:
        DataError: (a ValueError) naming the argument, for wrong shapes or lengths, or negative ids.

    Example:
        >>> Labels([1, 2, 2], [0, 0, 1])
        Labels(person_ids=array(3,), camera_ids=array(3,))
    """

    person_ids: IntArray
    camera_ids: IntArray

    def __init__(self, person_ids: ArrayLike, camera_ids: ArrayLike) -> None:
        object.__setattr__(self, "person_ids", _check_ids(person_ids, "person_ids"))
        object.__setattr__(self, "camera_ids", _check_ids(camera_ids, "camera_ids", count=len(self.person_ids)))

    def __len__(self) -> int:
        return len(self.person_ids)


@dataclass(frozen=True, init=False, repr=False)
class Embeddings(Result):
    """Embeddings of N images with their identities and cameras.

    Attributes:
        vectors: (N, D) floating point, finite, of any length: cosine distance normalizes them. float16 and
            memory-mapped arrays are kept as they are.
        person_ids: (N,) integers, at least 0; 0 marks a distractor.
        camera_ids: (N,) integers, at least 0.

    Raises:
        DataError: (a ValueError) naming the argument, for wrong shapes or lengths, NaN or infinity, negative ids.

    Example:
        >>> Embeddings([[0.6, 0.8], [1.0, 0.0]], person_ids=[1, 2], camera_ids=[0, 0])
        Embeddings(vectors=array(2, 2), person_ids=array(2,), camera_ids=array(2,))
    """

    vectors: FloatArray
    person_ids: IntArray
    camera_ids: IntArray

    def __init__(self, vectors: ArrayLike, person_ids: ArrayLike, camera_ids: ArrayLike) -> None:
        array = as_array(vectors)
        if array.ndim != 2 or array.dtype.kind != "f":
            raise DataError(f"vectors: got shape {array.shape} of {array.dtype}, expected (N, D) floating point")
        rows = max(1, 2**20 // max(1, array.shape[1]))  # a million vectors are checked in a few megabytes
        for start in range(0, len(array), rows):
            bad = np.flatnonzero(~np.isfinite(array[start : start + rows]).all(axis=1))
            if len(bad):
                raise DataError(f"vectors: NaN or infinity, first in row {start + bad[0]}; expected finite numbers")
        object.__setattr__(self, "vectors", array)
        object.__setattr__(self, "person_ids", _check_ids(person_ids, "person_ids", count=len(array)))
        object.__setattr__(self, "camera_ids", _check_ids(camera_ids, "camera_ids", count=len(array)))

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, indices: ArrayLike) -> Embeddings:
        """Return the rows at `indices`, in that order."""
        rows = as_array(indices)
        return Embeddings(self.vectors[rows], self.person_ids[rows], self.camera_ids[rows])


def _check_ids(values: ArrayLike, name: str, *, count: int | None = None) -> IntArray:
    """Return (count,) ids as int64, or raise an error that names the argument; None is any count."""
    ids = as_array(values)
    expected = (ids.size if count is None else count,)
    if ids.shape != expected or (ids.size and ids.dtype.kind not in "iu"):
        raise DataError(f"{name}: got shape {ids.shape} of {ids.dtype}, expected {expected} integers, one per image")
    if ids.size and ids.min() < 0:
        raise DataError(f"{name}: got {ids.min()}, expected 0 or more; drop junk images before scoring")
    if ids.size and ids.max() > MAX_ID:
        raise DataError(f"{name}: got {ids.max()}, expected at most {MAX_ID} (64 bits with a sign)")
    return ids.astype(np.int64)


@dataclass(frozen=True, repr=False)
class Ranking(Result):
    """The first K gallery items of each query, nearest first, without items of its identity in its own camera.

    Attributes:
        indices: (Q, K) gallery index, -1 where a query has fewer than K items left.
        distances: (Q, K) distance, NaN where `indices` is -1.
        matches: (Q, K) true where the item has the query's identity.

    Example:
        >>> query = Embeddings([[1.0, 0.0]], person_ids=[1], camera_ids=[0])
        >>> gallery = Embeddings([[0.0, 1.0], [1.0, 0.0]], person_ids=[2, 1], camera_ids=[1, 1])
        >>> passerby.rank(query, gallery, top=2).indices.tolist()
        [[1, 0]]
    """

    indices: IntArray
    distances: FloatArray
    matches: BoolArray
