"""Matches of a query in the gallery, and their ranks. Needs the extra `eval` (numba)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from passerby.compiled import njit
from passerby.types import DISTRACTOR, IntArray

_NONE = np.empty(0, dtype=np.int64)
_CELLS = 2**26  # distances that a GPU compares at a time


@dataclass(frozen=True)
class IdentityIndex:
    """Gallery indices of each identity.

    Attributes:
        by_identity: Gallery indices, ascending, of each identity; distractors are left out.
        camera_ids: (G,) camera of each gallery item.
    """

    by_identity: dict[int, IntArray]
    camera_ids: IntArray

    @classmethod
    def from_labels(cls, person_ids: IntArray, camera_ids: IntArray) -> IdentityIndex:
        """Build the index of a gallery from (G,) identities and cameras."""
        order = np.argsort(person_ids, kind="stable")
        identities, starts = np.unique(person_ids[order], return_index=True)
        groups = zip(identities, np.split(order, starts[1:]), strict=True)
        return cls({int(identity): group for identity, group in groups if identity != DISTRACTOR}, camera_ids)

    def split(self, person_id: int, camera_id: int, *, drop_same_camera: bool = True) -> tuple[IntArray, IntArray]:
        """Return gallery indices of an identity: those to ignore (the camera of the query), and the matches."""
        indices = self.by_identity.get(int(person_id), _NONE)
        if not drop_same_camera:
            return _NONE, indices
        same = self.camera_ids[indices] == camera_id
        return indices[same], indices[~same]


def rank_matches(block: Any, rows: IntArray, columns: IntArray) -> Any:
    """Compute the ranks of matches without sorting.

    An item is ahead of another when its distance is smaller, or equal at a smaller gallery index; this is the order of
    a stable sort. The items ahead of one match are counted in a single pass over its row.

    Args:
        block: (q, G) distances of q queries, contiguous float32 or float64; infinity excludes an item. An array, on a
            GPU a tensor.
        rows: (T,) query of each match, as a row of the block.
        columns: (T,) gallery index of each match, at a finite distance.

    Returns:
        (T,) int64 ranks from 1; a tensor if `block` is one, so that the call does not wait for the GPU.
    """
    if isinstance(block, np.ndarray):
        ranks = np.empty(len(rows), dtype=np.int64)
        _count(block, rows, columns, ranks)
        return ranks
    import torch

    indices = torch.arange(block.shape[1], device=block.device)
    parts = []
    chunk = max(1, _CELLS // block.shape[1])
    for start in range(0, len(rows), chunk):
        row, column = (torch.from_numpy(a[start : start + chunk]).to(block.device) for a in (rows, columns))
        distances, thresholds = block[row], block[row, column][:, None]  # (t, G), (t, 1)
        earlier = indices < column[:, None]
        parts.append(1 + ((distances < thresholds) | ((distances == thresholds) & earlier)).sum(dim=1))
    return torch.cat(parts)


@njit(nogil=True, cache=True)
def _count(block: Any, rows: Any, columns: Any, ranks: Any) -> None:
    """Fill `ranks` with two loops over 32-bit counters, which the compiler turns into vector instructions."""
    for i in range(len(rows)):
        row, column = block[rows[i]], columns[i]
        threshold = row[column]
        earlier, later = row[:column], row[column:]
        count = np.int32(1)
        for g in range(earlier.shape[0]):
            if earlier[g] <= threshold:
                count = np.int32(count + 1)
        for g in range(later.shape[0]):
            if later[g] < threshold:
                count = np.int32(count + 1)
        ranks[i] = count
