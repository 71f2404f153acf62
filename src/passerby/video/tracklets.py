"""Tracklets of a video, and their joining over short gaps by appearance.

D embedding width
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from passerby.types import FloatArray

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
    path: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 6)))

    def __repr__(self) -> str:
        return f"Tracklet({self.start:.1f} to {self.end:.1f} s, {self.boxes} boxes, quality={self.quality:.2f})"


def join_tracklets(tracklets: Sequence[Tracklet], *, threshold: float, gap: float) -> list[Tracklet]:
    """Join tracklets of one video that follow each other within `gap` seconds and look alike, the nearest first.

    At most one tracklet follows another, so a person who was lost several times becomes one tracklet and tracklets that
    overlap in time are never joined.

    Args:
        tracklets: Tracklets of one camera.
        threshold: Largest cosine distance between two consecutive tracklets.
        gap: Longest time in seconds between the end of one and the start of the next.

    Returns:
        Tracklets in the order of their start.
    """
    links = sorted(
        (1 - float(a.vector @ b.vector), i, j)
        for i, a in enumerate(tracklets)
        for j, b in enumerate(tracklets)
        if i != j and 0 <= b.start - a.end <= gap
    )
    following: dict[int, int] = {}
    for distance, before, after in links:
        if distance <= threshold and before not in following and after not in following.values():
            following[before] = after
    chains = []
    for first in sorted(set(range(len(tracklets))) - set(following.values())):
        chain = [first]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        chains.append([tracklets[index] for index in chain])
    return sorted(map(_merge, chains), key=by_start)


def _merge(chain: Sequence[Tracklet]) -> Tracklet:
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
