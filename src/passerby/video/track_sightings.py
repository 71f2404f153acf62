"""Sightings of tracks, and the counts of their enrollment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from passerby.gallery.results import EnrollResult
from passerby.gallery.sightings import TRACK, Sighting, Value
from passerby.video.tracklets import Tracklet
from passerby.video.tracks import VideoCounts

GAP_PRIOR = 0.2
"""Prior probability that two tracks with a short gap between them show one person."""
_SIDES = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class EnrollVideoResult(EnrollResult):
    """Counts of `enroll_video` and `enroll_live`.

    Attributes:
        new: Tracks that were added.
        known: Tracks that were enrolled before.
        unreadable: Empty.
        counts: Frames and boxes of the video.
    """

    counts: VideoCounts = field(default_factory=VideoCounts)

    def __repr__(self) -> str:
        return f"EnrollVideoResult(new={self.new}, known={self.known}, {self.counts})"


def make_sighting(
    tracklet: Tracklet, *, camera: str, video: str, number: int, to_wall: Callable[[float], float] | None
) -> Sighting:
    """Make the sighting of a track; `enroll_video` describes its attributes.

    Args:
        tracklet: The track.
        camera: Its camera.
        video: File or address, as `to_source` returns it.
        number: Number of the track, from 1.
        to_wall: Converts the track's times to seconds since 1970; None if they are unknown.
    """
    start, end = (tracklet.start, tracklet.end) if to_wall is None else map(to_wall, (tracklet.start, tracklet.end))
    corners = ",".join(f"{x:.0f}" for x in tracklet.corners)
    attributes: dict[str, Value] = {
        "video": video,
        "start": start,
        "end": end,
        "number": number,
        "boxes": tracklet.boxes,
        "frame": tracklet.frame,
        **dict(zip(_SIDES, tracklet.corners, strict=True)),
    }
    return Sighting(
        vector=tracklet.vector,
        crop=tracklet.crop,
        camera=camera,
        time=None if to_wall is None else start,
        source=f"{video}::{tracklet.start:.2f}-{tracklet.end:.2f} s at {corners}",
        quality=tracklet.quality,
        attributes={TRACK + name: value for name, value in attributes.items()},
    )
