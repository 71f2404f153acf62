"""What a gallery is handed and hands back. D embedding width."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np

from passerby.errors import GalleryError
from passerby.gallery.card import GalleryCard
from passerby.types import FloatArray

Value = str | int | float | bool
Removal = Literal["remove", "forget", "expire"]
_UNIT = 1e-3  # how far from 1 the length of a unit vector may be; float16 is within it


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a sighting beside its vector and its picture.

    Attributes:
        camera: Name of the camera; 1 to 255 characters.
        time: When the person was seen, seconds since 1970 UTC; None when nobody knows. Time filters then leave it out.
        label: Who it is; 1 to 255 characters, or None when nobody has said.
        source: Where it came from: a file, or a video and a place in it. Part of the id.
        quality: 0 to 1, for pooling and for the best picture of a track; None when not judged.
        attributes: Further values by name, for the caller: text, numbers, booleans.
        enrolled: When the gallery took it in, seconds since 1970 UTC; retention counts from here. None: now.
        id: Which sighting it is. Empty: made from source, camera and time, or from the vector too without a source, so
            that the same image enrolled twice is there once.
    """

    camera: str
    time: float | None = None
    label: str | None = None
    source: str = ""
    quality: float | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)
    enrolled: float | None = None
    id: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sighting(Facts):
    """One person in one camera at one time: an image, or a tracklet pooled to one vector.

    Attributes:
        vector: (D,) float32 of unit length, as `embed` makes it.
        picture: The crop as an encoded image (JPEG, PNG), or None. What is kept of it is the gallery's setting.

    Raises:
        GalleryError: Naming what cannot be.
    """

    vector: FloatArray
    picture: bytes | None = None

    def __post_init__(self) -> None:
        name = f"sighting {self.source or self.label or self.id or ''}".rstrip()
        require_label(name, "camera", self.camera)
        require_label(name, "label", self.label)
        for what, number in (("time", self.time), ("enrolled", self.enrolled)):
            if number is not None and not math.isfinite(number):
                raise GalleryError(f"{name}: {what} is {number}, expected seconds since 1970, or None")
        if self.quality is not None and not 0 <= self.quality <= 1:
            raise GalleryError(f"{name}: quality is {self.quality}, expected 0 to 1, or None")
        for key, value in self.attributes.items():
            if not isinstance(key, str) or not isinstance(value, str | int | float):
                raise GalleryError(f"{name}: attribute {key!r} is {value!r}, expected text, a number or a boolean")
        object.__setattr__(self, "vector", _unit(self.vector, name))
        if not self.id:
            made = sighting_id(self.source, self.camera, self.time, vector=None if self.source else self.vector)
            object.__setattr__(self, "id", made)
        elif len(self.id) > 64:
            raise GalleryError(f"{name}: id has {len(self.id)} characters, expected at most 64")


def require_label(name: str, what: str, text: object) -> None:
    """Raise GalleryError for a text that is not 1 to 255 characters, nor None."""
    if text is not None and not (isinstance(text, str) and 1 <= len(text) <= 255):
        raise GalleryError(f"{name}: {what} is {text!r}, expected 1 to 255 characters")


def sighting_id(source: str, camera: str, time: float | None, *, vector: FloatArray | None = None) -> str:
    """The id that a sighting gets which has none: 32 hexadecimal digits. The vector counts where there is no source."""
    made = hashlib.blake2b(repr((source, camera, time)).encode(), digest_size=16)
    if vector is not None:
        made.update(vector.tobytes())
    return made.hexdigest()


def facts(sighting: Facts) -> dict[str, Any]:
    """What is known of a sighting, by name: no vector, no picture, no distance."""
    return {each.name: getattr(sighting, each.name) for each in fields(Facts)}


def _unit(vector: FloatArray, name: str) -> FloatArray:
    """The vector as contiguous float32, or an error that says what it is instead."""
    given = np.asarray(vector)
    if given.ndim != 1 or given.dtype.kind != "f" or not given.size:
        raise GalleryError(f"{name}: vector has shape {given.shape} of {given.dtype}, expected (D,) floating point")
    length = float(np.sqrt(np.square(given.astype(np.float64)).sum()))
    if not abs(length - 1) <= _UNIT:  # NaN is not within it either
        raise GalleryError(f"{name}: vector has length {length:.4g}, expected 1; divide it by its length")
    return np.ascontiguousarray(given, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Hit(Facts):
    """A sighting that a search found.

    Attributes:
        distance: Cosine distance to the query, 0 to 2, as `passerby.rank` gives it.
    """

    distance: float


@dataclass(frozen=True)
class Filter:
    """Which sightings count; every condition given must hold, and none given means all.

    Attributes:
        cameras: Seen by one of these.
        not_cameras: Seen by none of these.
        since: Seen at this time or later; sightings of unknown time are left out.
        until: Seen before this time; likewise.
        labels: Labeled as one of these.
        labeled: Only sightings with a label, whichever.
        ids: One of these sightings.
        sources: From one of these files, as `Facts.source` has them, or from a place in one (`FILE::PLACE`).
        enrolled_before: Taken in before this time.

    Raises:
        GalleryError: When a name stands alone where several are expected, or a time is not finite.
    """

    cameras: Sequence[str] | None = None
    not_cameras: Sequence[str] = ()
    since: float | None = None
    until: float | None = None
    labels: Sequence[str] | None = None
    labeled: bool = False
    ids: Sequence[str] | None = None
    sources: Sequence[str] | None = None
    enrolled_before: float | None = None

    def __post_init__(self) -> None:
        for name in ("cameras", "not_cameras", "labels", "ids", "sources"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise GalleryError(f"filter: {name} is the text {value!r}, expected several; give [{value!r}]")
        for name in ("since", "until", "enrolled_before"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise GalleryError(f"filter: {name} is {value}, expected seconds since 1970, or None")

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        given = (self.cameras, self.since, self.until, self.labels, self.ids, self.sources, self.enrolled_before)
        return not self.not_cameras and not self.labeled and all(each is None for each in given)


EVERYTHING = Filter()


@dataclass(frozen=True)
class Added:
    """What `add` did, by id.

    Attributes:
        new: Sightings that are durable from now on.
        known: Sightings that were there before, and are as they were.
    """

    new: tuple[str, ...]
    known: tuple[str, ...]


@dataclass(frozen=True)
class AuditEntry:
    """One line of the log: who did what, when, to how many. It names no person, no image and no vector.

    Attributes:
        time: Seconds since 1970 UTC.
        who: Who opened the gallery.
        what: `create`, `enroll`, `search`, `remove`, `forget`, `expire`, `export` or `import`.
        counts: Numbers by name, such as `{"queries": 1, "hits": 10}`.
    """

    time: float
    who: str
    what: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Description:
    """A gallery in numbers.

    Attributes:
        address: Where it is.
        backend: `exact`, `embedded` or `milvus`.
        card: Whose vectors it holds, and its settings.
        sightings: How many.
        labels: How many different labels.
        cameras: Sightings of each camera.
        first: Earliest known time of a sighting, None when there is none.
        last: Latest, likewise.
        bytes: On this machine's disk; 0 in memory, None on a server.
        index: How searches are answered, in words.
    """

    address: str
    backend: str
    card: GalleryCard
    sightings: int
    labels: int
    cameras: Mapping[str, int]
    first: float | None
    last: float | None
    bytes: int | None
    index: str
