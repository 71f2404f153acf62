"""A video to tracklets: boxes are tracked by their motion, joined over short gaps by their looks, pooled by quality.

Motion is `trackers`' BoT-SORT (Aharon et al. 2022), which knows where a person should be next and not what they look
like. Two tracks with a short gap between them are one where the model finds them alike: behind a lamp post a person
keeps their clothes.

D embedding width
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.errors import DataError
from passerby.progress import ProgressOption, open_progress
from passerby.types import FloatArray
from passerby.video.boxes import NONE, Boxes, Detector, shared_area
from passerby.video.frames import Frame, read_frames, require_cv2, video_facts

if TYPE_CHECKING:
    from passerby.model.embed import Embedder

FEWEST = 5
"""Boxes of a track that is taken for a person."""
_FULL_HEIGHT = 128.0  # pixels from which on a crop cannot become better by size
_BATCH = 64


@dataclass(frozen=True, eq=False)
class Tracklet:
    """One person's way through one camera, as far as it could be followed.

    Attributes:
        start: Seconds from the video's beginning.
        end: Likewise, of the last box.
        boxes: How many boxes were pooled.
        vector: (D,) of unit length: the crops' mean, weighed by quality.
        quality: Of the best crop, 0 to 1.
        picture: The best crop, JPEG.
        corners: Of the best crop: left, top, right, bottom in pixels.
        frame: Where the best crop was.
    """

    start: float
    end: float
    boxes: int
    vector: FloatArray
    quality: float
    picture: bytes
    corners: tuple[float, float, float, float]
    frame: int


@dataclass
class _Track:
    """What gathers while a video is read."""

    start: float
    end: float
    boxes: int = 0
    total: Any = 0.0
    best: float = -1.0
    crop: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    corners: tuple[float, float, float, float] = (0, 0, 0, 0)
    frame: int = 0


def tracklets_of(
    video: str | Path,
    embedder: Embedder,
    *,
    boxes: Detector | Mapping[int, Boxes],
    every: int = 1,
    fewest: int = FEWEST,
    gap: float = 3.0,
    threshold: float | None = None,
    progress: ProgressOption = False,
) -> list[Tracklet]:
    """Follow the people of a video.

    Args:
        video: A file that OpenCV reads.
        embedder: Makes the vectors.
        boxes: A detector, or boxes by frame (`read_boxes`). Where they are tracked already, those tracks are kept.
        every: Looks at every so many frames. People who walk fast need 5 looks a second or more.
        fewest: Boxes that a track must have to count.
        gap: Seconds within which a track may be found again by its looks.
        threshold: Cosine distance up to which it is; None joins nothing.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        In order of their start.

    Raises:
        DataError: For a video or boxes that cannot be read, boxes beyond the video's end, or settings out of range.
    """
    path = Path(video)
    if fewest < 1 or gap < 0:
        raise DataError(f"tracklets: fewest is {fewest} and gap {gap}, expected at least 1 box and 0 s")
    facts = video_facts(path)
    detect: Detector = boxes if callable(boxes) else lambda _pixels: NONE
    given: Mapping[int, Boxes] = {} if callable(boxes) else boxes
    known = any(each.tracks is not None for each in given.values())
    number = None if known else _numbering(facts.rate / every)
    found: dict[int, _Track] = {}
    waiting: list[tuple[int, Frame, NDArray[np.float32], float]] = []
    last = -1
    with open_progress(progress) as report:
        for frame in read_frames(path, every=every):
            last = frame.number
            seen = given.get(frame.number, NONE) if given else detect(frame.pixels)
            tracks = seen.tracks if number is None else number(seen, frame.time)
            if tracks is not None:
                waiting += [
                    (int(tracks[place]), frame, seen.corners[place], crop_quality(seen, place, frame))
                    for place in np.flatnonzero(tracks >= 0).tolist()
                ]
            if len(waiting) >= _BATCH:
                _gather(found, waiting, embedder)
                waiting = []
            report("track", frame.number + 1, max(facts.frames, frame.number + 1))
    _gather(found, waiting, embedder)
    if given and max(given) > last + every:
        raise DataError(f"{path}: has {last + 1} frames, the boxes are of {max(given) + 1}; are they of another video?")
    whole = sorted(
        (_finish(track) for track in found.values() if track.boxes >= fewest), key=lambda each: (each.start, each.frame)
    )
    return whole if threshold is None else stitch(whole, threshold=threshold, gap=gap)


def crop_quality(boxes: Boxes, place: int, frame: Frame) -> float:
    """How much a crop tells, 0 to 1: sure, large, whole, and with nobody before it.

    The product of the detector's score, the height up to 128 pixels, the share of the box inside the frame, and the
    share that no box reaching further down (somebody nearer to the camera) covers.
    """
    corners = boxes.corners[place : place + 1].astype(np.float64)
    height, width = frame.pixels.shape[:2]
    area = float((corners[0, 2:] - corners[0, :2]).prod())
    inside = float(shared_area(corners, np.array([[0.0, 0.0, width, height]]))[0, 0]) / area
    nearer = boxes.corners[boxes.corners[:, 3] > corners[0, 3]].astype(np.float64)
    hidden = float(shared_area(corners, nearer).max()) / area if len(nearer) else 0.0
    tall = min(1.0, float(corners[0, 3] - corners[0, 1]) / _FULL_HEIGHT)
    return float(np.clip(boxes.scores[place], 0, 1)) * tall * inside * (1 - hidden)


def stitch(tracklets: Sequence[Tracklet], *, threshold: float, gap: float) -> list[Tracklet]:
    """Join tracklets of one video that follow each other within `gap` seconds and look alike, the most alike first.

    Each is followed by one other at most: a person who was lost several times is one, and nobody is in two places.

    Args:
        tracklets: Of one camera.
        threshold: Largest cosine distance between two that follow each other.
        gap: Seconds between the end of one and the start of the next; those that overlap never follow each other.

    Returns:
        In order of their start.
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
        chains.append([tracklets[place] for place in chain])
    return sorted(map(_one_of, chains), key=lambda each: (each.start, each.frame))


def _one_of(group: Sequence[Tracklet]) -> Tracklet:
    if len(group) == 1:
        return group[0]
    best = max(group, key=lambda each: each.quality)
    total = np.sum([each.boxes * each.vector for each in group], axis=0)
    return replace(
        best,
        start=min(each.start for each in group),
        end=max(each.end for each in group),
        boxes=sum(each.boxes for each in group),
        vector=(total / np.linalg.norm(total)).astype(np.float32),
    )


def _numbering(rate: float) -> Callable[[Boxes, float], NDArray[np.int64]]:
    """A tracker: boxes of the next frame and its time in, the number of each box's track out, -1 for none yet."""
    require_cv2()
    import supervision
    from trackers import BoTSORTTracker

    tracker = BoTSORTTracker(
        frame_rate=rate,
        lost_track_buffer=30,  # a second
        track_activation_threshold=0.4,
        high_conf_det_threshold=0.3,
        minimum_iou_threshold_first_assoc=0.1,
        enable_cmc=False,
        instant_first_frame_activation=False,
    )

    def number(boxes: Boxes, time: float) -> NDArray[np.int64]:
        asked = supervision.Detections(
            xyxy=boxes.corners, confidence=boxes.scores, data={"place": np.arange(len(boxes))}
        )
        answer = tracker.update(asked, timestamp=time)
        numbers = np.full(len(boxes), -1, np.int64)
        if len(answer):
            numbers[answer.data["place"]] = np.asarray(answer.tracker_id)
        return numbers

    return number


def _gather(
    found: dict[int, _Track],
    waiting: Iterable[tuple[int, Frame, NDArray[np.float32], float]],
    embedder: Embedder,
) -> None:
    """Embed the crops that wait, and add each to its track."""
    crops = [(number, frame, corners, quality, _cut(frame, corners)) for number, frame, corners, quality in waiting]
    crops = [each for each in crops if each[4].size]
    vectors = embedder.embed([each[4] for each in crops], batch=_BATCH)
    for (number, frame, corners, quality, crop), vector in zip(crops, vectors, strict=True):
        track = found.setdefault(number, _Track(frame.time, frame.time))
        track.end = frame.time
        track.boxes += 1
        track.total = track.total + max(quality, 1e-3) * vector.astype(np.float64)
        if quality > track.best:
            left, top, right, bottom = map(float, corners)
            track.best, track.crop, track.corners, track.frame = quality, crop, (left, top, right, bottom), frame.number


def _cut(frame: Frame, corners: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The box's part of the frame; empty where it lies outside."""
    height, width = frame.pixels.shape[:2]
    left, top = np.clip(np.floor(corners[:2]), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(corners[2:]), 0, (width, height)).astype(int)
    return np.ascontiguousarray(frame.pixels[top:bottom, left:right])


def _finish(track: _Track) -> Tracklet:
    out = io.BytesIO()
    Image.fromarray(track.crop).save(out, "JPEG", quality=95)
    return Tracklet(
        start=track.start,
        end=track.end,
        boxes=track.boxes,
        vector=(track.total / np.linalg.norm(track.total)).astype(np.float32),
        quality=track.best,
        picture=out.getvalue(),
        corners=track.corners,
        frame=track.frame,
    )
