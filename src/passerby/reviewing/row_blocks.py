"""Blocks of rows of a matrix that is too large to be held: memory is bounded while its width grows."""

from __future__ import annotations

from collections.abc import Iterator

from passerby.types import IntArray

CELLS = 2**21
"""Largest number of cells of a block: 16 MiB of 64-bit numbers."""


def iter_blocks(rows: IntArray, columns: int) -> Iterator[IntArray]:
    """Yield consecutive parts of row numbers, so that rows x columns of each part has at most `CELLS` cells.

    Args:
        rows: (R,) row numbers.
        columns: Width of the matrix.

    Example:
        >>> import numpy as np
        >>> [len(part) for part in iter_blocks(np.arange(5), CELLS // 2)]
        [2, 2, 1]
    """
    step = max(CELLS // max(columns, 1), 1)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
