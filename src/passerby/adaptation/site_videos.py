"""Crops of a site from videos: people are tracked, and some crops of each track are cut."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from passerby.adaptation.site import NamedLink, SiteCrop
from passerby.errors import DataError, argument
from passerby.progress import ProgressCallback, no_progress
from passerby.video.frames import read_frames, read_video_info
from passerby.video.tracklets import Tracklet
from passerby.video.tracks import track_people

if TYPE_CHECKING:
    from passerby.video.boxes import Detector

logger = logging.getLogger(__name__)

LEAST_RATE = 5.0
"""Frames per second below which the tracks of people who walk fast break."""
CROPS_PER_TRACK = 8
"""Largest number of crops of a track, evenly spread over its boxes."""


def list_video_crops(
    videos: Sequence[tuple[str | Path, str]],
    *,
    detector: Detector,
    every: int = 1,
    progress: ProgressCallback = no_progress,
) -> tuple[list[SiteCrop], list[NamedLink]]:
    """Track the people in videos and cut crops of the tracks.

    Args:
        videos: Files with their cameras; several files may be of one camera.
        detector: Finds people in frames.
        every: Use every n-th frame.
        progress: Callback, as for `track_people`.

    Returns:
        Crops, and a cannot-link between the first crops of two tracks of a camera at one moment.

    Raises:
        DataError: For a video that is given twice or cannot be read, or if no person was tracked.
    """
    paths = [Path(video).resolve() for video, _ in videos]
    if len(set(paths)) < len(paths):
        raise DataError(f"videos: {max(paths, key=paths.count)} is given twice; give each file once")
    for path in paths:  # before the work on the first one
        rate = read_video_info(path).rate
        if every > 1 and rate / every < LEAST_RATE:
            logger.warning(
                "%s: %s uses %.1f frames per second; below %g the tracks of people who walk fast break: use %s",
                path.name, argument("every", every), rate / every, LEAST_RATE,
                argument("every", max(1, int(rate / LEAST_RATE))),
            )  # fmt: skip
    crops: list[SiteCrop] = []
    links: list[NamedLink] = []
    for path, (_, camera) in zip(paths, videos, strict=True):
        tracked = track_people(path, None, boxes=detector, every=every, gap=0, progress=progress)
        names = [f"{path.name}:{number}" for number in range(1, len(tracked.tracklets) + 1)]
        found = _cut_crops(path, camera, dict(zip(names, tracked.tracklets, strict=True)), every=every)
        first = {crop.track: crop.name for crop in reversed(found)}
        crops += found
        links += [
            NamedLink(first[a], first[b], same=False)
            for number, a in enumerate(names)
            for b in names[:number]
            if a in first and b in first and _overlap(tracked.tracklets[number], tracked.tracklets[names.index(b)])
        ]
    if not crops:
        raise DataError(
            f"videos: no person was tracked in {len(paths)} of them; expected people who are 64 pixels tall or more, "
            "or give another detector"
        )
    return crops, links


def _overlap(first: Tracklet, second: Tracklet) -> bool:
    return first.start < second.end and second.start < first.end


def _cut_crops(path: Path, camera: str, tracks: Mapping[str, Tracklet], *, every: int) -> list[SiteCrop]:
    """Read the video again and cut the chosen boxes."""
    wanted: dict[int, list[tuple[str, tuple[int, ...]]]] = {}
    for name, track in tracks.items():
        chosen = np.unique(np.linspace(0, len(track.path) - 1, CROPS_PER_TRACK).round().astype(int))
        for frame, left, top, right, bottom, _ in track.path[chosen].tolist():
            corners = (int(left), int(top), int(np.ceil(right)), int(np.ceil(bottom)))
            wanted.setdefault(int(frame), []).append((name, corners))
    crops = []
    for frame in read_frames(path, every=every):
        for name, (left, top, right, bottom) in wanted.get(frame.number, ()):
            pixels = frame.pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
            if pixels.size:
                crops.append(SiteCrop(pixels.copy(), camera, track=name, name=f"{name}@{frame.number}"))
    return crops
