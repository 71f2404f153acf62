"""Distances of every query to every gallery item, a strip of queries at a time; the Q x G matrix never exists.

Products are summed in float64 and rounded to float32 once. That costs twice the time of a float32 product, and buys
what figures need: equal images are at equal distances wherever they stand in the gallery, so that ties are ties, and
two machines rank alike. The arithmetic is the same lines for NumPy on the CPU and torch on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.types import FloatArray

if TYPE_CHECKING:
    import torch

Metric = Literal["cosine", "euclidean"]
Vectors = NDArray[np.floating[Any]]

_STRIP = 2**22  # distances in a strip (16 MB) while that is at least _ROWS queries
_DEVICE_STRIP = 2**27  # the same on a GPU (512 MB), where a gallery has to travel for every strip
_ROWS = 128  # fewer would read a large gallery too often
_TILE = 2**20  # float64 numbers in each array of one product (8 MB)
_NOTHING = 1e-14  # what is left of 1 - 1 after rounding, relative to 1


def distance_blocks(
    query_vectors: Vectors,
    gallery_vectors: Vectors,
    *,
    metric: Metric = "cosine",
    block: int | None = None,
    device: str = "cpu",
) -> Iterator[tuple[int, FloatArray]]:
    """Distances of consecutive queries to the whole gallery.

    Args:
        query_vectors: (Q, D) floating point, finite.
        gallery_vectors: (G, D) of the same dtype, finite; may be float16 or memory-mapped, it is read in slices.
        metric: `cosine` is 1 - cos, 0 to 2; `euclidean` is the length of the difference.
        block: Queries at a time; None keeps a strip at 16 MB (512 MB on a GPU), or at 512 bytes per gallery item if
            that is more.
        device: `cpu`, or a CUDA device of torch, such as `cuda` or `cuda:1`.

    Returns:
        Iterator of (first, distances): the place of the first query, and (q, G) float32 distances, at least 0: a NumPy
        array, on a GPU a tensor there. It is scratch: the caller may change it, and the next step overwrites it.

    Raises:
        DataError: At the call, naming the argument: wrong shape, empty, widths or dtypes that differ, NaN or infinity,
            all-zero vectors under cosine, vectors too long for float32 distances, a device that is not there.
    """
    if metric not in get_args(Metric):
        raise DataError(f"metric: got {metric!r}, expected one of {', '.join(get_args(Metric))}")
    if block is not None and block < 1:
        raise DataError(f"block: got {block}, expected at least 1 query at a time")
    for name, vectors in (("query", query_vectors), ("gallery", gallery_vectors)):
        if vectors.ndim != 2 or vectors.dtype.kind != "f" or 0 in vectors.shape:
            raise DataError(
                f"{name}: got vectors of shape {vectors.shape} and {vectors.dtype}, "
                "expected (N, D) floating point with at least one row and one column"
            )
    if query_vectors.shape[1] != gallery_vectors.shape[1]:
        raise DataError(
            f"query: vectors are {query_vectors.shape[1]} wide, gallery's are {gallery_vectors.shape[1]}; "
            "embed both with the same model"
        )
    if query_vectors.dtype != gallery_vectors.dtype:
        raise DataError(
            f"query: vectors are {query_vectors.dtype}, gallery's are {gallery_vectors.dtype}; they may come from "
            f"different programs: if not, give query.astype({gallery_vectors.dtype.name!r})"
        )
    query_lengths = _lengths(query_vectors, name="query", metric=metric)
    gallery_lengths = _lengths(gallery_vectors, name="gallery", metric=metric)
    place = _torch_device(device)
    cells = _STRIP if place is None else _DEVICE_STRIP
    rows = min(block or max(_ROWS, cells // len(gallery_vectors)), len(query_vectors))
    lengths = query_lengths, gallery_lengths
    return _strips(query_vectors, gallery_vectors, *lengths, metric=metric, rows=rows, place=place)


def _strips(
    query: Vectors,
    gallery: Vectors,
    query_lengths: Vectors,
    gallery_lengths: Vectors,
    *,
    metric: Metric,
    rows: int,
    place: torch.device | None,
) -> Iterator[tuple[int, FloatArray]]:
    """The strips themselves; what was checked above is not checked again. `place` None is NumPy."""
    tile = _tile_rows(max(gallery.shape[1], rows))
    strip: Any = np.empty((rows, len(gallery)), dtype=np.float32)
    if place is not None:
        import torch

        strip = torch.empty(strip.shape, dtype=torch.float32, device=place)
    for first in range(0, len(query), rows):
        lengths = _float64(query_lengths[first : first + rows, None], place)  # (q, 1)
        some = _float64(query[first : first + rows], place)  # (q, D)
        if metric == "cosine":
            some /= lengths
        filled = strip[: len(some)]
        for start in range(0, len(gallery), tile):
            others = _float64(gallery[start : start + tile], place)  # (g, D)
            other_lengths = _float64(gallery_lengths[start : start + tile], place)  # (g,)
            if metric == "cosine":
                others /= other_lengths[:, None]
                apart = 1.0 - some @ others.T  # (q, g)
                apart[apart < _NOTHING] = 0.0
            else:
                longest = lengths**2 + other_lengths**2  # (q, g)
                apart = longest - 2.0 * (some @ others.T)
                apart[apart < _NOTHING * longest] = 0.0
                apart **= 0.5
            filled[:, start : start + tile] = apart
        yield first, filled


def _torch_device(device: str) -> torch.device | None:
    """Where to compute: None is NumPy on the CPU."""
    if device == "cpu":
        return None
    import torch

    kind, _, index = device.partition(":")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind != "cuda" or (index and not index.isdecimal()) or int(index or 0) >= there:
        raise DataError(
            f"device: got {device!r}, expected cpu or one of {there} CUDA devices (others have no float64); use 'cpu'"
        )
    return torch.device(device)


def _float64(part: Vectors, place: torch.device | None) -> Any:
    """A float64 copy of a slice, where it is needed; it travels in the width that it is stored in."""
    if place is None:
        return part.astype(np.float64)
    import torch

    return torch.from_numpy(np.array(part)).to(place, torch.float64)


def _lengths(vectors: Vectors, *, name: str, metric: Metric) -> NDArray[np.float64]:
    """(N,) Euclidean length of each row, which also shows every row that cannot be compared."""
    lengths = np.empty(len(vectors))
    tile = _tile_rows(vectors.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(vectors), tile):
            some = vectors[start : start + tile].astype(np.float64)
            lengths[start : start + tile] = np.sqrt(np.einsum("nd,nd->n", some, some))
    limit = np.finfo(np.float64).max if metric == "cosine" else np.finfo(np.float32).max / 4
    bad = np.flatnonzero(~(lengths <= limit))  # NaN is never at most the limit
    if len(bad):
        raise DataError(
            f"{name}: {len(bad)} vectors hold NaN or infinity or are too long to compare, the first is row {bad[0]}"
        )
    zero = np.flatnonzero(lengths == 0)
    if metric == "cosine" and len(zero):
        raise DataError(
            f"{name}: {len(zero)} vectors are all zero, the first is row {zero[0]}; cosine needs a direction: "
            "drop them, or use metric='euclidean'"
        )
    return lengths


def _tile_rows(width: int) -> int:
    """Gallery rows of this width that fill a tile."""
    return max(1, _TILE // width)
