"""Limit on the movement between two tracklets of one camera that may show the same person.

The position at the start of the second tracklet is predicted from the end of the first: between standing still and
walking on with the velocity of its last second. The permitted error grows with the gap and with the person's height.

B boxes of a tracklet
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEARNED = 1.0
"""Seconds at the end of a tracklet from which its velocity is computed."""
_ERROR = 0.5
"""Error of the predicted position without a gap, in heights of the person."""
_ERROR_PER_SECOND = 0.5
"""Further error for each second of the gap, in heights of the person."""
_SCALE = 1.3
"""Factor between the heights before and after, without a gap."""
_SCALE_PER_SECOND = 1.15
"""Further factor for each second of the gap."""


def is_reachable(before: NDArray[np.float64], after: NDArray[np.float64], *, gap: float, frame: float) -> bool:
    """Decide whether a person can have moved from the end of one path to the start of another.

    Positions are the centers of the boxes' upper edges, because legs are hidden more often than heads. The second path
    may start at most 0.5 heights of the person, and 0.5 more for each second of the gap, from the line between the last
    position of the first path and the predicted one. The heights differ by at most a factor of 1.3, times 1.15 for each
    second.

    Args:
        before: (B, 6) frame, left, top, right, bottom in pixels, score; the path that ends first.
        after: (B, 6) the path that starts later.
        gap: Seconds between the last box of `before` and the first of `after`.
        frame: Seconds between two frames.

    Returns:
        True if both limits are met.

    Example:
        >>> before = np.array([[n, 10 * n, 50, 10 * n + 40, 150, 0.9] for n in range(10)], float)
        >>> is_reachable(before, before[-1:] + [20, 200, 0, 200, 0, 0], gap=2.0, frame=0.1)
        True
        >>> is_reachable(before, before[-1:] + [20, -200, 0, -200, 0, 0], gap=2.0, frame=0.1)
        False
    """
    last, first = before[-1], after[0]
    heights = last[4] - last[2], first[4] - first[2]
    height = float(np.sqrt(heights[0] * heights[1]))
    if max(heights) > min(heights) * _SCALE * _SCALE_PER_SECOND**gap:
        return False
    recent = before[before[:, 0] >= last[0] - _LEARNED / frame] if frame > 0 else before[-1:]
    seconds = (last[0] - recent[0, 0]) * frame
    velocity = (_head(last) - _head(recent[0])) / seconds if seconds > 0 else np.zeros(2)  # pixels per second
    step, moved = velocity * gap, _head(first) - _head(last)
    length = float(step @ step)
    fraction = float(np.clip(moved @ step / length, 0, 1)) if length > 0 else 0.0
    return float(np.linalg.norm(moved - fraction * step)) <= (_ERROR + _ERROR_PER_SECOND * gap) * height


def _head(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (2,) center of the upper edge of a row of a path."""
    return np.array([(box[1] + box[3]) / 2, box[2]])
