"""Compiled loop of `depthwise.weight_gradient`."""

from __future__ import annotations

from passerby.compiled import njit


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def accumulate(planes, slopes, first, last, sums):  # type: ignore[no-untyped-def]
    """Add the part of images `first` to `last` to (K, K, C) `sums`; the innermost loop runs over adjacent memory."""
    _, height, width, channels = planes.shape
    size = sums.shape[0]
    middle = size // 2
    for n in range(first, last):
        for h in range(height):
            for i in range(max(0, middle - h), min(size, height + middle - h)):
                for w in range(width):
                    for j in range(max(0, middle - w), min(size, width + middle - w)):
                        for c in range(channels):
                            sums[i, j, c] += planes[n, h + i - middle, w + j - middle, c] * slopes[n, h, w, c]
