"""Boxes around people: from a file, or from a detector that somebody else made.

A detector is anything that takes (H, W, 3) RGB pixels and gives `Boxes`. `hog_detector` needs no download and misses
many; `supervision_detector` and `torchvision_detector` turn the two common kinds into one.

N boxes in a frame
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.video.frames import require_cv2

if TYPE_CHECKING:
    import torch

COLUMNS = ("frame", "left", "top", "width", "height")


@dataclass(frozen=True, eq=False)
class Boxes:
    """People in one frame.

    Attributes:
        corners: (N, 4) float32 left, top, right, bottom in pixels; right and bottom lie outside the person.
        scores: (N,) float32, 0 to 1: how sure the detector is.
        tracks: (N,) int64 number of each box's track, -1 for none; or None where nobody has tracked them.

    Raises:
        DataError: For shapes that differ, or a box without an area.
    """

    corners: NDArray[np.float32]
    scores: NDArray[np.float32]
    tracks: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.corners.shape != (count, 4) or (self.tracks is not None and self.tracks.shape != (count,)):
            raise DataError(
                f"boxes: corners {self.corners.shape} and scores {self.scores.shape}, expected (N, 4) and (N,)"
            )
        flat = (self.corners[:, 2:] <= self.corners[:, :2]).any(axis=1) | ~np.isfinite(self.corners).all(axis=1)
        if flat.any():
            raise DataError(f"boxes: {self.corners[flat][0].tolist()} is left, top, right, bottom without an area")

    def __len__(self) -> int:
        return len(self.scores)


Detector = Callable[[NDArray[np.uint8]], Boxes]
NONE = Boxes(np.empty((0, 4), np.float32), np.empty(0, np.float32))


def hog_detector(*, least: float = 0.3, enlarge: float = 1.0) -> Detector:
    """OpenCV's people detector: histograms of gradients and a linear SVM (Dalal and Triggs 2005). No download.

    It finds whole, upright people of 96 pixels' height and more, and calls poles people now and then.

    Args:
        least: SVM score below which a box is left out.
        enlarge: The frame, before looking: 2 finds people half as high, in four times the time.
    """
    cv2 = require_cv2()
    finder = cv2.HOGDescriptor()
    finder.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())

    def detect(pixels: NDArray[np.uint8]) -> Boxes:
        gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        if enlarge != 1:
            gray = cv2.resize(gray, None, fx=enlarge, fy=enlarge)
        found, weights = finder.detectMultiScale(gray, hitThreshold=0.0, winStride=(8, 8), padding=(8, 8), scale=1.05)
        scores = np.asarray(weights, np.float32).reshape(-1)
        boxes = np.asarray(found, np.float32).reshape(-1, 4) / enlarge
        # The window has a sixth of its height free above and below the person, and a quarter of its width at the sides.
        left, top, width, height = boxes.T
        corners = np.stack([left + width * 0.15, top + height * 0.06, left + width * 0.85, top + height * 0.96], axis=1)
        kept = suppress(corners, scores, overlap=0.55)
        kept = kept[scores[kept] >= least]
        return Boxes(corners[kept].astype(np.float32), 1 - np.exp(-scores[kept]))

    return detect


def supervision_detector(predict: Callable[[NDArray[np.uint8]], Any], *, person: int | None = None) -> Detector:
    """Anything that gives `supervision.Detections`: RF-DETR (`model.predict`), Ultralytics, Inference and others.

    Args:
        predict: Takes (H, W, 3) RGB pixels; what it returns has `xyxy`, `confidence` and `class_id`.
        person: Number of the class `person` (1 in RF-DETR, 0 in most others); None takes every box.
    """

    def detect(pixels: NDArray[np.uint8]) -> Boxes:
        found = predict(pixels)
        corners = np.asarray(found.xyxy, np.float32).reshape(-1, 4)
        known = found.confidence is not None
        scores = np.asarray(found.confidence if known else np.ones(len(corners)), np.float32)
        kept = np.ones(len(corners), bool) if person is None else np.asarray(found.class_id) == person
        return Boxes(corners[kept], scores[kept])

    return detect


def torchvision_detector(network: torch.nn.Module, *, least: float = 0.5, person: int = 1) -> Detector:
    """A detection network of torchvision with its weights, such as `fasterrcnn_resnet50_fpn`.

    Args:
        network: Gives boxes, labels and scores of a list of (3, H, W) images, 0 to 1.
        least: Score below which a box is left out.
        person: Number of the class `person`; 1 in COCO's.
    """
    import torch

    network.eval()

    def detect(pixels: NDArray[np.uint8]) -> Boxes:
        with torch.inference_mode():
            (found,) = network([torch.from_numpy(pixels).permute(2, 0, 1).float() / 255])
        kept = (found["labels"] == person) & (found["scores"] >= least)
        return Boxes(found["boxes"][kept].numpy().astype(np.float32), found["scores"][kept].numpy().astype(np.float32))

    return detect


def suppress(
    corners: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]], *, overlap: float
) -> NDArray[np.int64]:
    """Places of the boxes that stay when, best first, each takes out those that it overlaps by more (IoU)."""
    kept: list[int] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        if not kept or iou(corners[place : place + 1], corners[kept]).max() <= overlap:
            kept.append(place)
    return np.array(kept, dtype=np.int64)


def iou(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Intersection over union of (M, 4) and (N, 4) corners: (M, N), 0 to 1."""
    shared = shared_area(a, b)
    areas = [((each[:, 2:] - each[:, :2]).prod(axis=1)) for each in (a, b)]
    found: NDArray[np.floating[Any]] = shared / (areas[0][:, None] + areas[1] - shared)
    return found


def shared_area(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Area that (M, 4) and (N, 4) corners share: (M, N) square pixels."""
    low, high = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    area: NDArray[np.floating[Any]] = np.clip(high - low, 0, None).prod(axis=2)
    return area


def read_boxes(path: Path) -> dict[int, Boxes]:
    """Boxes of a video by frame, from 0: a MOT Challenge file, or a CSV with a header.

    MOT: `frame, track, left, top, width, height, score, ...` without a header, frames from 1, track -1 for none, rows
    of score 0 left out. CSV: columns frame (from 0), left, top, width, height, and if wanted track and score.

    Raises:
        DataError: When it is missing, or a row cannot be read, naming it.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected boxes as MOT or CSV")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a text file of boxes ({error})") from None
    if not rows:
        raise DataError(f"{path}: no boxes in it")
    header = [cell.strip() for cell in rows[0]]
    if "frame" in header:
        missing = [name for name in COLUMNS if name not in header]
        if missing:
            raise DataError(f"{path}: no column {', '.join(missing)}; expected {', '.join(COLUMNS)}, track, score")
        records: Iterable[Mapping[str, str]] = [dict(zip(header, row, strict=False)) for row in rows[1:]]
        first = 0
    else:
        names = ("frame", "track", "left", "top", "width", "height", "score")
        records = [dict(zip(names, row, strict=False)) for row in rows]
        first = 1
    by_frame: dict[int, list[tuple[float, ...]]] = {}
    for number, record in enumerate(records, start=2 - first):
        try:
            frame = int(float(record["frame"])) - first
            left, top, width, height = (float(record[name]) for name in COLUMNS[1:])
            score = float(record.get("score") or 1)
            track = int(float(record.get("track") or -1))
            if frame < 0 or width <= 0 or height <= 0:
                raise ValueError("a frame before the first, or no area")
        except (KeyError, ValueError) as error:
            raise DataError(
                f"{path}: row {number}: cannot be read ({error}); expected numbers: {', '.join(record)}"
            ) from None
        if score != 0:
            by_frame.setdefault(frame, []).append((left, top, left + width, top + height, min(score, 1.0), track))
    return {frame: _boxes(np.array(found)) for frame, found in sorted(by_frame.items())}


def _boxes(rows: NDArray[np.float64]) -> Boxes:
    tracks = rows[:, 5].astype(np.int64)
    return Boxes(rows[:, :4].astype(np.float32), rows[:, 4].astype(np.float32), tracks if (tracks >= 0).any() else None)
