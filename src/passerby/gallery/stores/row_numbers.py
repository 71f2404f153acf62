"""Row numbers of an index, in arrays of up to millions."""

from __future__ import annotations

import numpy as np

from passerby.types import IntArray

NO_ROWS: IntArray = np.empty(0, np.int64)


def subtract_rows(rows: IntArray, removed: IntArray) -> IntArray:
    """Return the row numbers that are not in `removed`, in their order.

    NumPy's `setdiff1d` takes half a second for a million row numbers, because it looks for equal ones.

    Example:
        >>> subtract_rows(np.array([1, 4, 6]), np.array([6, 9]))
        array([1, 4])
    """
    return rows[np.isin(rows, removed, invert=True)]
