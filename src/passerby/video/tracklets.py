"""Tracklets of a video, and their joining over short gaps by appearance and movement.

D embedding width
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from passerby.text import plural
from passerby.types import FloatArray
from passerby.video.movement import is_reachable

Corners = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Tracklet:
    """One person in one camera, as far as the person could be tracked.

    Attributes:
        start: Time of the first box, seconds from the beginning of the video.
        end: Time of the last box.
        boxes: Number of pooled boxes.
        vector: (D,) of unit length: mean of the crops' vectors, weighted by quality.
        quality: Quality of the best crop, 0 to 1.
        crop: Best crop, as a JPEG file.
        corners: Left, top, right, bottom of the best crop in pixels.
        frame: Frame of the best crop.
        path: (boxes, 6) frame, left, top, right, bottom in pixels, score; in the order of the frames.
    """

    start: float
    end: float
    boxes: int
    vector: FloatArray
    quality: float
    crop: bytes
    corners: Corners
    frame: int
    path: NDArray[np.float64]

    def __repr__(self) -> str:
        return (
            f"Tracklet({self.start:.1f} to {self.end:.1f} s, {plural(self.boxes, 'box')}, quality={self.quality:.2f})"
        )


def join_tracklets(tracklets: Sequence[Tracklet], *, threshold: float, gap: float) -> list[Tracklet]:
    """Join tracklets of one video that follow each other; see `find_links`.

    Args:
        tracklets: Tracklets of one camera.
        threshold: Largest cosine distance between two consecutive tracklets.
        gap: Longest time in seconds between the end of one and the start of the next.

    Returns:
        Tracklets in the order of their start.
    """
    following = find_links(tracklets, threshold=threshold, gap=gap)
    chains = []
    for first in sorted(set(range(len(tracklets))) - set(following.values())):
        chain = [first]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        chains.append([tracklets[index] for index in chain])
    return sorted(map(merge_tracklets, chains), key=by_start)


def find_links(tracklets: Sequence[Tracklet], *, threshold: float, gap: float) -> dict[int, int]:
    """Find which tracklet follows which: within `gap` seconds, alike, and within reach (`is_reachable`).

    The nearest pairs are linked first. At most one tracklet follows another, so a person who was lost several times
    becomes one tracklet; tracklets that share a frame are never joined.

    Args:
        tracklets: Tracklets of one camera.
        threshold: Largest cosine distance between two consecutive tracklets.
        gap: Longest time in seconds between the end of one and the start of the next.

    Returns:
        Index of the following tracklet by index.
    """
    pairs = sorted(
        (1 - float(a.vector @ b.vector), i, j)
        for i, a in enumerate(tracklets)
        for j, b in enumerate(tracklets)
        if 0 < b.start - a.end <= gap
    )
    following: dict[int, int] = {}
    taken: set[int] = set()
    for distance, i, j in pairs:
        if distance > threshold:
            break
        if i not in following and j not in taken and _can_follow(tracklets[i], tracklets[j]):
            following[i] = j
            taken.add(j)
    return following


def _can_follow(before: Tracklet, after: Tracklet) -> bool:
    frames = before.path[-1, 0] - before.path[0, 0]
    seconds = (before.end - before.start) / frames if frames > 0 else 0.0
    return is_reachable(before.path, after.path, gap=after.start - before.end, frame=seconds)


def merge_tracklets(chain: Sequence[Tracklet]) -> Tracklet:
    """Merge consecutive tracklets; the crop is the best one's."""
    if len(chain) == 1:
        return chain[0]
    total = np.sum([tracklet.boxes * tracklet.vector for tracklet in chain], axis=0)
    return replace(
        max(chain, key=lambda tracklet: tracklet.quality),
        start=min(tracklet.start for tracklet in chain),
        end=max(tracklet.end for tracklet in chain),
        boxes=sum(tracklet.boxes for tracklet in chain),
        path=np.concatenate([tracklet.path for tracklet in chain]),
        vector=(total / np.linalg.norm(total)).astype(np.float32),
    )


def by_start(tracklet: Tracklet) -> tuple[float, int]:
    """Sort key: start, then frame of the best crop."""
    return tracklet.start, tracklet.frame
