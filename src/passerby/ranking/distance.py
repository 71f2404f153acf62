"""Distances of every query to every gallery item, in blocks of queries; the Q x G matrix is never held.

Products are summed in float64 and rounded to float32 once. This takes twice the time of a float32 product, and it makes
metrics reproducible: equal images have equal distances at every index of the gallery, so that ties are exact, and
machines agree on the ranks. NumPy on the CPU and torch on a GPU run the same lines.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import DataError
from passerby.text import plural
from passerby.types import FloatArray, as_array

if TYPE_CHECKING:
    import torch

Metric = Literal["cosine", "euclidean"]
Vectors = NDArray[np.floating[Any]]

_BLOCK = 2**22  # distances of a block (16 MB), while that is at least _ROWS queries
_DEVICE_BLOCK = 2**27  # the same on a GPU (512 MB), because the gallery is copied to it for every block
_ROWS = 128  # with fewer queries a large gallery would be read too often
_TILE = 2**20  # float64 numbers in each array of one product (8 MB)
_ROUNDING = 1e-14  # remainder of 1 - 1 after rounding, relative to 1


def distance_blocks(
    query_vectors: ArrayLike,
    gallery_vectors: ArrayLike,
    *,
    metric: Metric = "cosine",
    block: int | None = None,
    device: str = "cpu",
) -> Iterator[tuple[int, FloatArray]]:
    """Compute the distances of consecutive queries to the whole gallery.

    Args:
        query_vectors: (Q, D) floating point, finite.
        gallery_vectors: (G, D) of the same dtype, finite. May be float16 or memory-mapped; it is read in slices.
        metric: `cosine` is 1 - cos, 0 to 2; `euclidean` is the length of the difference.
        block: Queries per block. None: 16 MB of distances (512 MB on a GPU), or 512 bytes per gallery item if that is
            more.
        device: `cpu`; a CUDA device of torch, such as `cuda` or `cuda:1`; or `auto`: `cuda` if torch is imported and
            has a CUDA device, else `cpu`.

    Returns:
        Iterator of (first, distances): the index of the first query, and (q, G) float32 distances, at least 0, as an
        array, on a GPU as a tensor. The caller may overwrite a block; the next step reuses its memory.

    Raises:
        DataError: At the call, naming the argument: wrong shape, empty, different widths or dtypes, NaN or infinity,
            all-zero vectors under cosine, vectors too long for float32 distances, a missing device.

    Example:
        >>> for first, distances in distance_blocks([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]):
        ...     print(first, distances.astype(float).round(2).tolist())
        0 [[0.0, 0.29], [1.0, 0.29]]
    """
    if metric not in get_args(Metric):
        raise DataError(f"metric: got {metric!r}, expected one of {', '.join(get_args(Metric))}")
    if block is not None and block < 1:
        raise DataError(f"block: got {block}, expected at least 1 query at a time")
    query, gallery = as_array(query_vectors), as_array(gallery_vectors)
    for name, vectors in (("query", query), ("gallery", gallery)):
        if vectors.ndim != 2 or vectors.dtype.kind != "f" or 0 in vectors.shape:
            raise DataError(
                f"{name}: got vectors of shape {vectors.shape} and {vectors.dtype}, "
                "expected (N, D) floating point with at least one row and one column"
            )
    if query.shape[1] != gallery.shape[1]:
        raise DataError(
            f"query: vectors are {query.shape[1]} wide, gallery's are {gallery.shape[1]}; "
            "embed both with the same model"
        )
    if query.dtype != gallery.dtype:
        raise DataError(
            f"query: vectors are {query.dtype}, gallery's are {gallery.dtype}; embed both with the same program, or "
            f"convert one with query.astype({gallery.dtype.name!r})"
        )
    lengths = _measure_lengths(query, "query", metric=metric), _measure_lengths(gallery, "gallery", metric=metric)
    torch_device = _choose_device(device)
    cells = _BLOCK if torch_device is None else _DEVICE_BLOCK
    rows = min(block or max(_ROWS, cells // len(gallery)), len(query))
    return _compute_blocks(query, gallery, *lengths, metric=metric, rows=rows, device=torch_device)


def _compute_blocks(
    query: Vectors,
    gallery: Vectors,
    query_lengths: Vectors,
    gallery_lengths: Vectors,
    *,
    metric: Metric,
    rows: int,
    device: torch.device | None,
) -> Iterator[tuple[int, FloatArray]]:
    """Compute the blocks of checked vectors; `device` None is NumPy."""
    tile = _rows_per_tile(max(gallery.shape[1], rows))
    memory: Any = np.empty((rows, len(gallery)), dtype=np.float32)
    if device is not None:
        import torch

        memory = torch.empty(memory.shape, dtype=torch.float32, device=device)
    for first in range(0, len(query), rows):
        a_lengths = _to_float64(query_lengths[first : first + rows, None], device)  # (q, 1)
        a = _to_float64(query[first : first + rows], device)  # (q, D)
        if metric == "cosine":
            a /= a_lengths
        block = memory[: len(a)]
        for start in range(0, len(gallery), tile):
            b = _to_float64(gallery[start : start + tile], device)  # (g, D)
            b_lengths = _to_float64(gallery_lengths[start : start + tile], device)  # (g,)
            if metric == "cosine":
                b /= b_lengths[:, None]
                distances = 1.0 - a @ b.T  # (q, g)
                distances[distances < _ROUNDING] = 0.0
            else:
                squares = a_lengths**2 + b_lengths**2  # (q, g)
                distances = squares - 2.0 * (a @ b.T)
                distances[distances < _ROUNDING * squares] = 0.0
                distances **= 0.5
            block[:, start : start + tile] = distances
        yield first, block


def _choose_device(device: str) -> torch.device | None:
    """Return the torch device; None is NumPy on the CPU."""
    if device == "auto":
        # Embeddings on a GPU come from torch, which is imported then. Importing it here would take seconds.
        loaded = sys.modules.get("torch")
        device = "cuda" if loaded is not None and loaded.cuda.is_available() else "cpu"
    if device == "cpu":
        return None
    import torch

    kind, _, index = device.partition(":")
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind != "cuda" or (index and not index.isdecimal()) or int(index or 0) >= devices:
        raise DataError(
            f"device: got {device!r}, expected auto, cpu or one of {devices} CUDA devices (others have no float64)"
        )
    return torch.device(device)


def _to_float64(part: Vectors, device: torch.device | None) -> Any:
    """Copy a slice as float64 to its device; it is sent in its own dtype."""
    if device is None:
        return part.astype(np.float64)
    import torch

    return torch.from_numpy(np.array(part)).to(device, torch.float64)


def _measure_lengths(vectors: Vectors, name: str, *, metric: Metric) -> NDArray[np.float64]:
    """(N,) Euclidean length of each row; raise DataError for rows that have no distance."""
    lengths = np.empty(len(vectors))
    tile = _rows_per_tile(vectors.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(vectors), tile):
            rows = vectors[start : start + tile].astype(np.float64)
            lengths[start : start + tile] = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    limit = np.finfo(np.float64).max if metric == "cosine" else np.finfo(np.float32).max / 4
    bad = np.flatnonzero(~(lengths <= limit))  # also NaN, which is never at most the limit
    if len(bad):
        raise DataError(
            f"{name}: {plural(len(bad), 'vector')} with NaN or infinity, or too long to compare, the first is row "
            f"{bad[0]}"
        )
    zero = np.flatnonzero(lengths == 0)
    if metric == "cosine" and len(zero):
        raise DataError(
            f"{name}: {plural(len(zero), 'vector')} of zeros only, the first is row {zero[0]}; cosine needs a "
            "direction: drop them, or use metric='euclidean'"
        )
    return lengths


def _rows_per_tile(width: int) -> int:
    """Gallery rows of this width that fill a tile."""
    return max(1, _TILE // width)
