"""Sightings: what a gallery stores and what a search returns. D embedding width, H W crop height and width."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import GalleryError
from passerby.types import FloatArray, Result, to_json

Value = str | int | float | bool
LENGTH_TOLERANCE = 1e-3
"""Largest difference of a unit vector's length from 1; rounding to float16 stays within it."""


@dataclass(frozen=True, kw_only=True, repr=False)
class SightingInfo(Result):
    """Metadata of a sighting: everything but its vector and its crop.

    Attributes:
        camera: Name of the camera, 1 to 255 characters.
        time: Time at which the person was seen, seconds since 1970 UTC; None if unknown.
        label: Identity, 1 to 255 characters; None if unknown.
        source: Origin: a file, or an item in a file as `FILE::ITEM`. Part of the id.
        quality: Quality of the crop, 0 to 1; None if it was not measured.
        attributes: Further values of the caller by name: text, numbers, booleans.
        enrolled: Time of enrollment, seconds since 1970 UTC; retention counts from here. None: now.
        id: At most 64 characters. If empty, it is computed from source, camera and time, and without a source from the
            vector as well, so that an image that is enrolled twice is stored once.
    """

    camera: str
    time: float | None = None
    label: str | None = None
    source: str = ""
    quality: float | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)
    enrolled: float | None = None
    id: str = ""

    @property
    def info(self) -> dict[str, Any]:
        """The metadata by name, without vector, crop and distance."""
        return {attribute.name: getattr(self, attribute.name) for attribute in fields(SightingInfo)}

    def to_dict(self) -> dict[str, Any]:
        """Return everything but vector and crop as JSON-serializable values."""
        names = [attribute.name for attribute in fields(self) if attribute.name not in ("vector", "crop")]
        return {name: to_json(getattr(self, name)) for name in names}

    def __repr__(self) -> str:
        given = [f"{name}={value!r}" for name, value in self.to_dict().items() if value not in (None, "", {})]
        return f"{type(self).__name__}({', '.join(given)})"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Sighting(SightingInfo):
    """One person in one camera at one time: an image, or a track pooled to one vector.

    Attributes:
        vector: (D,) floating point of unit length, as `Embedder.embed` returns it; stored as float32.
        crop: Image of the person: an encoded file (JPEG, PNG), (H, W, 3) uint8 RGB pixels, or None. The gallery's
            setting `keep` determines what is stored of it.

    Raises:
        GalleryError: For a value outside its range.

    Example:
        >>> Sighting(vector=[0.6, 0.8], camera="north", label="Ada", id="s1")
        Sighting(camera='north', label='Ada', id='s1')
    """

    vector: FloatArray
    crop: bytes | NDArray[np.uint8] | None = None

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
        object.__setattr__(self, "vector", _to_unit_vector(self.vector, name))
        if not self.id:
            computed = make_sighting_id(self.source, self.camera, self.time, None if self.source else self.vector)
            object.__setattr__(self, "id", computed)
        elif len(self.id) > 64:
            raise GalleryError(f"{name}: id has {len(self.id)} characters, expected at most 64")


@dataclass(frozen=True, kw_only=True, repr=False)
class Hit(SightingInfo):
    """A sighting that a search returns.

    Attributes:
        distance: Cosine distance to the query, 0 to 2, as `passerby.rank` computes it.

    Example:
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     result = gallery.enroll(passerby.list_crops("crops", folders="camera"))
        ...     ((hit,),) = gallery.search("a.jpg", top=1)
        >>> hit.camera, 0 <= hit.distance <= 2
        ('...', True)
    """

    distance: float


def require_label(name: str, what: str, text: object) -> None:
    """Raise GalleryError for a text that is not 1 to 255 characters, nor None."""
    if text is not None and not (isinstance(text, str) and 1 <= len(text) <= 255):
        raise GalleryError(f"{name}: {what} is {text!r}, expected 1 to 255 characters")


def make_sighting_id(source: str, camera: str, time: float | None, vector: FloatArray | None = None) -> str:
    """Compute the id of a sighting that was given none: 32 hexadecimal digits."""
    digest = hashlib.blake2b(repr((source, camera, time)).encode(), digest_size=16)
    if vector is not None:
        digest.update(vector.tobytes())
    return digest.hexdigest()


def _to_unit_vector(vector: ArrayLike, name: str) -> FloatArray:
    """Convert to contiguous float32 and check shape and length."""
    array = np.asarray(vector)
    if array.ndim != 1 or array.dtype.kind != "f" or not array.size:
        raise GalleryError(f"{name}: vector has shape {array.shape} of {array.dtype}, expected (D,) floating point")
    length = float(np.sqrt(np.square(array.astype(np.float64)).sum()))
    if not abs(length - 1) <= LENGTH_TOLERANCE:  # also true for NaN
        raise GalleryError(f"{name}: vector has length {length:.4g}, expected 1; divide it by its length")
    return np.ascontiguousarray(array, dtype=np.float32)
