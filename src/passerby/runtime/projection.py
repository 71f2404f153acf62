"""Projection of a model's vectors to fewer numbers: a linear map to the directions of largest variation, and length 1.

The directions are the eigenvectors of the second moment of unit vectors, a principal component analysis without
centering: of all sets of K directions they keep most of the vectors' squared length (Eckart and Young 1936).
docs/scale.md has what it costs in accuracy.

N vectors   D embedding width   K dimensions that are kept
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from passerby.errors import DataError, argument, explain
from passerby.runtime.tensor_file import format_tensors, parse_tensors
from passerby.runtime.weights_hash import hash_tensors
from passerby.text import plural
from passerby.types import FloatArray

PROJECTION_FILE = "projection.safetensors"
"""Name of the file in the folder of a model."""
_FORMAT = "1"
_ROUNDING = 1e-12  # fraction of the largest eigenvalue; the rounding of float32 vectors is some 1e-14
_ORTHONORMAL = 0.01  # largest error of a product of two components; half precision has 0.0005


@dataclass(frozen=True, eq=False)
class Projection:
    """Linear map of unit vectors to K numbers.

    Attributes:
        components: (K, D) float32, orthonormal rows, the direction of the largest variation first.
        data: What it was fitted to, as text.
        images: Number of images that it was fitted to.

    Raises:
        DataError: For components of another shape, not finite, or not orthonormal.

    Example:
        >>> vectors = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 1, 2]]
        >>> projection = fit_projection([vectors], data="example")
        >>> projection
        Projection(3 of 4 dimensions, fitted to 6 images of example)
        >>> projection.take(2).apply([[3.0, 4.0, 0.0, 0.0]]).round(2)
        array([[0.6, 0.8]], dtype=float32)
    """

    components: FloatArray
    data: str
    images: int

    def __post_init__(self) -> None:
        rows = np.asarray(self.components, np.float32)
        object.__setattr__(self, "components", rows)
        valid = rows.ndim == 2 and 0 < len(rows) <= rows.shape[1] and bool(np.isfinite(rows).all())
        if not valid or np.abs(rows @ rows.T - np.eye(len(rows), dtype=np.float32)).max() > _ORTHONORMAL:
            raise DataError(f"projection: components of shape {rows.shape}, expected orthonormal rows")

    def __repr__(self) -> str:
        return (
            f"Projection({self.dims:,} of {plural(self.width, 'dimension')}, fitted to "
            f"{plural(self.images, 'image')} of {self.data})"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Projection) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    @property
    def width(self) -> int:
        """Width D of the model's vectors."""
        return int(self.components.shape[1])

    @property
    def dims(self) -> int:
        """Width K of the projected vectors."""
        return len(self.components)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the components, hexadecimal."""
        return hash_tensors([("components", self.components)])

    def take(self, dims: int) -> Projection:
        """Return the projection to the first `dims` dimensions.

        Raises:
            DataError: For a number below 1, not below D, or above K.
        """
        require_narrower(dims, self.width)
        if dims > self.dims:
            raise DataError(
                f"{argument('dims')}: got {dims}, the model's projection has {plural(self.dims, 'dimension')}, fitted "
                f"to {plural(self.images, 'image')}; give fewer, or fit it again to more images"
            )
        return replace(self, components=self.components[:dims])

    def apply(self, vectors: ArrayLike) -> FloatArray:
        """Project (N, D) vectors to (N, K) float32 of unit length; a vector without a part in K stays zero."""
        projected = np.asarray(vectors, np.float32) @ self.components.T
        lengths = np.linalg.norm(projected, axis=1, keepdims=True)
        return np.asarray(projected / np.maximum(lengths, 1e-12), np.float32)

    def describe(self) -> dict[str, Any]:
        """Return everything but the components as JSON-serializable values."""
        return {"sha256": self.sha256, "width": self.width, "data": self.data, "images": self.images}


def require_narrower(dims: int, width: int) -> None:
    """Check a number of dimensions to keep.

    Args:
        dims: The number.
        width: Width of the model's vectors.

    Raises:
        DataError: If it is below 1, or not below the width.
    """
    if not 1 <= dims < width:
        raise DataError(
            f"{argument('dims')}: got {dims}, expected 1 to {width - 1}: the model's vectors have "
            f"{plural(width, 'dimension')}, which are kept without {argument('dims')}"
        )


def calibration_file(dims: int | None) -> str:
    """Return the name of the calibration of a model's vectors, or of those that are projected to `dims`.

    Example:
        >>> calibration_file(None), calibration_file(256)
        ('calibration.json', 'calibration-256.json')
    """
    return "calibration.json" if dims is None else f"calibration-{dims}.json"


def fit_projection(groups: Iterable[FloatArray], *, data: str) -> Projection:
    """Fit a projection to vectors: at most min(N, D) components.

    Args:
        groups: Parts of the N vectors, each (n, D) of unit length.
        data: Name of the images.

    Raises:
        DataError: Without a vector.
    """
    parts = [np.asarray(group, np.float64) for group in groups]
    count = sum(map(len, parts))
    if not count:
        raise DataError(f"projection: {data} has no image, expected at least one")
    moment = sum(part.T @ part for part in parts)
    values, directions = np.linalg.eigh(moment)  # ascending
    kept = values > _ROUNDING * values[-1]
    components = directions[:, kept][:, ::-1].T
    signs = np.sign(components[np.arange(len(components)), np.abs(components).argmax(axis=1)])
    return Projection((components * signs[:, None]).astype(np.float32), data, count)


def format_projection(projection: Projection, *, network: str, half: bool = False) -> bytes:
    """Return the content of a projection's file.

    Args:
        projection: The projection.
        network: Fingerprint of the network whose vectors it is for.
        half: Store half precision.
    """
    components = projection.components.astype(np.float16) if half else projection.components
    metadata = {"format": _FORMAT, "network": network, "data": projection.data, "images": str(projection.images)}
    return format_tensors({"components": components}, metadata)


def read_projection(folder: Path, *, network: str) -> Projection | None:
    """Read the projection in the folder of a model; None if there is none.

    Args:
        folder: Folder of a run, or of the default model.
        network: Fingerprint of its network.

    Raises:
        DataError: If the file is damaged, or of another network.

    Example:
        >>> read_projection(Path("runs/m"), network="") is None
        True
    """
    path = folder / PROJECTION_FILE
    if not path.is_file():
        return None
    advice = f"delete it and run `passerby calibrate {folder} --dims N` again"
    try:
        tensors, metadata = parse_tensors(path.read_bytes())
        if metadata["format"] != _FORMAT:
            raise ValueError(f"format {metadata['format']!r}, this version reads {_FORMAT}")
        projection = Projection(tensors["components"], metadata["data"], int(metadata["images"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a projection ({explain(error)}); {advice}") from None
    if metadata["network"] != network:
        raise DataError(f"{path}: the projection of another model (weights {metadata['network'][:12]}); {advice}")
    return projection
