"""Take the people of a video into a gallery: one sighting for each tracklet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from passerby.gallery.cluster import threshold_of
from passerby.gallery.gallery import EnrollResult, Gallery
from passerby.gallery.sightings import Sighting
from passerby.progress import ProgressOption
from passerby.video.boxes import Boxes, Detector
from passerby.video.tracks import FEWEST, tracklets_of

_ALIKE = 0.2
"""Share of pairs of tracks with a short gap between them that are taken for one person before looks are seen."""


def enroll_video(
    gallery: Gallery,
    video: str | Path,
    *,
    camera: str,
    boxes: Detector | Mapping[int, Boxes],
    started: float | None = None,
    every: int = 1,
    fewest: int = FEWEST,
    gap: float = 3.0,
    progress: ProgressOption = False,
) -> EnrollResult:
    """Follow the people of a video and take each into the gallery, with the best crop.

    A sighting's attributes say how it came about: `start` and `end` in seconds (since 1970 where `started` is given,
    else from the video's beginning), `video`, `boxes`, and `left`, `top`, `right`, `bottom` in `frame` for the crop.

    Args:
        gallery: Where to; its model makes the vectors.
        video: A file that OpenCV reads.
        camera: Which camera took it.
        boxes: A detector, or boxes by frame.
        started: When the video begins, seconds since 1970; None: nobody knows, and filters by time leave it out.
        every: Looks at every so many frames.
        fewest: Boxes that a track must have to count.
        gap: Seconds within which a track may be found again by its looks; 0 for never.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        How many were new; the same video with the same boxes and settings is taken once.

    Raises:
        DataError: As `tracklets_of`.
        GalleryError: As `GalleryStore.add`; when the model is not calibrated and `gap` is above 0.
    """
    threshold = threshold_of(gallery.calibration, prior=_ALIKE) if gap > 0 else None
    path = Path(video).resolve()
    found = tracklets_of(
        path, gallery.embedder, boxes=boxes, every=every, fewest=fewest, gap=gap, threshold=threshold, progress=progress
    )
    zero = started or 0.0
    sightings = [
        Sighting(
            vector=each.vector,
            picture=each.picture,
            camera=camera,
            time=None if started is None else started + each.start,
            source=f"{path}::{each.start:.2f}-{each.end:.2f} s at {','.join(f'{x:.0f}' for x in each.corners)}",
            quality=each.quality,
            attributes={
                "video": str(path),
                "start": zero + each.start,
                "end": zero + each.end,
                "boxes": each.boxes,
                "frame": each.frame,
                **dict(zip(("left", "top", "right", "bottom"), each.corners, strict=True)),
            },
        )
        for each in found
    ]
    added = gallery.store.add(sightings)
    return EnrollResult(len(added.new), len(added.known), ())
