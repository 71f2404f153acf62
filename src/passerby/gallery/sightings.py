"""Sightings: what a gallery stores and what a search returns. D embedding width, H W crop height and width."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import GalleryError
from passerby.text import escape_controls, plural
from passerby.types import FloatArray, Result, to_json

Value = str | int | float | bool
LENGTH_TOLERANCE = 1e-3
"""Largest difference of a unit vector's length from 1; rounding to float16 stays within it."""
FIRST_TIME, END_OF_TIME = -62_135_596_800.0, 253_402_300_800.0
"""Years 1 to 9999 in seconds since 1970: the times that can be printed. Today's milliseconds are outside."""
TRACK = "track."
"""Prefix of the attributes that a track from a video has; columns of a table cannot begin with it."""
_MAX_INT = 2**63


@dataclass(frozen=True, kw_only=True, repr=False)
class SightingInfo(Result):
    """Metadata of a sighting: everything but its vector and its crop.

    Attributes:
        camera: Name of the camera, 1 to 255 characters.
        time: Time at which the person was seen, seconds since 1970 UTC; None if unknown.
        label: Identity, 1 to 255 characters; None if unknown.
        source: Origin: a file, or an item in a file as `FILE::ITEM`. Part of the id.
        quality: Quality of the crop, 0 to 1; None if it was not measured.
        attributes: Further values of the caller by name: text, numbers, booleans. Names that begin with `track.` are
            those of `enroll_video`.
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

    @property
    def span(self) -> tuple[float, float] | None:
        """First and last second of a track (attributes `track.start` and `track.end`); None for an image."""
        start, end = self.attributes.get(f"{TRACK}start"), self.attributes.get(f"{TRACK}end")
        return (float(start), float(end)) if _is_number(start) and _is_number(end) else None

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
        check_metadata(self, name)
        for what in ("time", "enrolled", "quality"):
            number = getattr(self, what)
            object.__setattr__(self, what, None if number is None else float(number))
        plain = {
            key: value.item() if isinstance(value, np.generic) else value for key, value in self.attributes.items()
        }
        object.__setattr__(self, "attributes", plain)
        object.__setattr__(self, "vector", _to_unit_vector(self.vector, name))
        if not self.id:
            computed = make_sighting_id(self.source, self.camera, self.time, None if self.source else self.vector)
            object.__setattr__(self, "id", computed)

    @classmethod
    def restore(cls, **values: Any) -> Sighting:
        """Build a stored sighting without the checks of a new one: reading accepts all that was ever stored."""
        sighting = object.__new__(cls)
        for name, value in values.items():
            object.__setattr__(sighting, name, value)
        return sighting


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


def check_metadata(info: SightingInfo, name: str) -> None:
    """Check the values of a new sighting before they are stored.

    Args:
        info: The sighting.
        name: Its name in messages.

    Raises:
        GalleryError: For a value that is outside its range, or that could not be printed.
    """
    if info.camera is None:
        raise GalleryError(f"{name}: camera is None, expected 1 to 255 characters")
    for what in ("camera", "label"):
        require_label(name, what, getattr(info, what))
    for what in ("id", "source"):
        require_text(name, what, getattr(info, what))
    if len(info.id) > 64:
        raise GalleryError(f"{name}: id has {plural(len(info.id), 'character')}, expected at most 64")
    for what in ("time", "enrolled"):
        require_time(name, what, getattr(info, what))
    if info.quality is not None and not (_is_number(info.quality) and 0 <= info.quality <= 1):
        raise GalleryError(f"{name}: quality is {info.quality}, expected 0 to 1, or None")
    if not isinstance(info.attributes, Mapping):
        raise GalleryError(f"{name}: attributes are {_show(info.attributes)}, expected values by name")
    for key, value in info.attributes.items():
        if not isinstance(key, str) or not (isinstance(value, str | bool) or _is_number(value)):
            raise GalleryError(
                f"{name}: attribute {key!r} is {_show(value)}, expected text, a boolean or a finite number of 64 bits"
            )
    for what in (f"{TRACK}start", f"{TRACK}end"):
        if what in info.attributes and not _is_number(info.attributes[what]):
            raise GalleryError(f"{name}: attribute {what} is {_show(info.attributes[what])}, expected seconds")


def require_label(name: str, what: str, text: object) -> None:
    """Raise GalleryError for a text that is not 1 to 255 printable characters, nor None."""
    if text is None:
        return
    if not (isinstance(text, str) and 1 <= len(text) <= 255):
        raise GalleryError(f"{name}: {what} is {text!r}, expected 1 to 255 characters")
    require_text(name, what, text)


def require_text(name: str, what: str, text: object) -> None:
    """Raise GalleryError for a text with characters that `escape_controls` escapes."""
    if not isinstance(text, str) or escape_controls(text) != text:
        raise GalleryError(f"{name}: {what} is {text!r}, expected text without control characters and surrogates")


def require_time(name: str, what: str, seconds: float | None) -> None:
    """Raise GalleryError for a time that is not seconds since 1970 within the years 1 to 9999, nor None."""
    if seconds is None or (_is_number(seconds) and FIRST_TIME <= seconds < END_OF_TIME):
        return
    hint = ""
    if _is_number(seconds) and FIRST_TIME <= seconds / 1000 < END_OF_TIME:
        hint = f"; if it is in milliseconds, give {seconds / 1000:.3f}"
    raise GalleryError(f"{name}: {what} is {_show(seconds)}, expected seconds since 1970, in years 1 to 9999{hint}")


def to_source(path: str | os.PathLike[str]) -> str:
    """Return the absolute path of a file, or an address, as a sighting stores it: escaped where it is not printable."""
    return escape_controls(os.fspath(path) if "://" in str(path) else os.path.realpath(path))


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number that fits 64 bits. A NumPy scalar is one, a boolean is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    return -_MAX_INT <= int(value) < _MAX_INT if isinstance(value, int | np.integer) else math.isfinite(value)


def _show(value: object) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:  # an integer of more than 4,300 digits
        return f"of type {type(value).__name__} and too large to print"


def make_sighting_id(source: str, camera: str, time: float | None, vector: FloatArray | None = None) -> str:
    """Compute the id of a sighting that was given none: 32 hexadecimal digits."""
    key = (source, camera, None if time is None else float(time))
    digest = hashlib.blake2b(repr(key).encode(), digest_size=16)
    if vector is not None:
        digest.update(vector.tobytes())
    return digest.hexdigest()


def _to_unit_vector(vector: ArrayLike, name: str) -> FloatArray:
    """Convert to contiguous float32 and check shape and length."""
    array = np.asarray(vector)
    if array.ndim != 1 or array.dtype.kind != "f" or not array.size:
        raise GalleryError(f"{name}: vector has shape {array.shape} of {array.dtype}, expected (D,) floating point")
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity have no length of 1
        length = float(np.sqrt(np.square(array.astype(np.float64)).sum()))
    if not abs(length - 1) <= LENGTH_TOLERANCE:  # also true for NaN
        raise GalleryError(f"{name}: vector has length {length:.4g}, expected 1; divide it by its length")
    return np.ascontiguousarray(array, dtype=np.float32)
