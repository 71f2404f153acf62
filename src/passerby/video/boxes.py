"""Detections of people in video frames: read from a file, or computed by a detector.

A detector is a function from (H, W, 3) uint8 RGB pixels to `supervision.Detections`. `hog_detector` needs no download
and misses many people; `supervision_detector` and `torchvision_detector` adapt other detectors.

N boxes in a frame
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import DataError, argument, explain
from passerby.extras import require_extra
from passerby.files import read_bytes
from passerby.text import plural
from passerby.video.frames import require_cv2

if TYPE_CHECKING:
    import torch
    from supervision import Detections

Detector = Callable[[NDArray[np.uint8]], "Detections"]
COLUMNS = ("frame", "left", "top", "width", "height")
_MOT_COLUMNS = ("frame", "track", "left", "top", "width", "height", "score")
LEFT_OUT = "left_out"
"""Key of `Detections.metadata`: number of boxes of the frame below the least score."""
FLAT = "flat"
"""Key of `Detections.metadata`: number of boxes of the frame without an area."""
_LARGEST = 1_000_000_000  # absolute value of a number in a file
_UNKNOWN = -1.0  # score of a box without a score in MOT files
_NMS_OVERLAP = 0.55  # IoU above which HOG's boxes are the same person


def make_detections(
    corners: ArrayLike, scores: ArrayLike | None = None, tracks: ArrayLike | None = None, *, left_out: int = 0
) -> Detections:
    """Make detections from arrays. Boxes without an area or with coordinates that are not finite are skipped.

    Args:
        corners: (N, 4) left, top, right, bottom in pixels; right and bottom are outside the person.
        scores: (N,) confidence, 0 to 1; None, -1 and NaN are unknown and count as 1.
        tracks: (N,) integer track number of each box, -1 for none; None if the boxes are not tracked.
        left_out: Number of boxes that a threshold has removed already, for the counts of `track_people`.

    Returns:
        Detections; `metadata` holds `left_out` and the number of skipped boxes, `flat`.

    Raises:
        DataError: If the shapes differ.
        MissingExtraError: Without the extra `video`.

    Example:
        >>> len(make_detections([[10, 20, 34, 80], [5, 5, 5, 9]], scores=[0.9, 0.8]))
        1
    """
    supervision = require_extra("supervision")
    boxes = np.asarray(corners, np.float32).reshape(-1, 4)
    confidence = np.ones(len(boxes), np.float32) if scores is None else np.asarray(scores, np.float32)
    numbers = None if tracks is None else np.asarray(tracks, np.int64)
    if confidence.shape != (len(boxes),) or (numbers is not None and numbers.shape != (len(boxes),)):
        raise DataError(f"boxes: corners {boxes.shape} and scores {confidence.shape}, expected (N, 4) and (N,)")
    confidence = np.where(np.isnan(confidence) | (confidence == _UNKNOWN), np.float32(1), confidence)
    kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & np.isfinite(boxes).all(axis=1)
    detections = supervision.Detections(
        xyxy=boxes[kept],
        confidence=confidence[kept],
        tracker_id=None if numbers is None else numbers[kept],
        metadata={LEFT_OUT: left_out, FLAT: int((~kept).sum())},
    )
    return cast("Detections", detections)


def hog_detector(*, min_score: float = 0.3, scale: float = 1.0) -> Detector:
    """Make OpenCV's people detector, histograms of oriented gradients with a linear SVM, which needs no download.

    It finds whole, upright people of at least 96 pixels height, and sometimes detects poles. Dalal and Triggs,
    "Histograms of Oriented Gradients for Human Detection" (2005).

    Args:
        min_score: Least SVM score, at least 0.
        scale: Factor by which frames are enlarged; 2 finds people of half the height in four times the time.

    Raises:
        DataError: For a lower `min_score`.
        MissingExtraError: Without the extra `video`.

    Example:
        >>> detect = hog_detector()
        >>> len(detect(np.full((240, 320, 3), 90, np.uint8)))
        0
    """
    if not min_score >= 0:
        raise DataError(f"{argument('min_score')}: got {min_score:g}, expected an SVM score of 0 or more")
    cv2 = require_cv2()
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())

    def detect(pixels: NDArray[np.uint8]) -> Detections:
        gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        if scale != 1:
            gray = cv2.resize(gray, None, fx=scale, fy=scale)
        windows, weights = hog.detectMultiScale(gray, hitThreshold=0.0, winStride=(8, 8), padding=(8, 8), scale=1.05)
        scores = np.asarray(weights, np.float32).reshape(-1)
        left, top, width, height = (np.asarray(windows, np.float32).reshape(-1, 4) / scale).T
        # The window has margins: 4 to 6 % of its height above and below the person, 15 % of its width on each side.
        corners = np.stack([left + width * 0.15, top + height * 0.06, left + width * 0.85, top + height * 0.96], axis=1)
        kept = scores >= min_score
        detections = make_detections(corners[kept], 1 - np.exp(-scores[kept]), left_out=int((~kept).sum()))
        return detections.with_nms(threshold=_NMS_OVERLAP, class_agnostic=True)

    return detect


def supervision_detector(predict: Callable[[NDArray[np.uint8]], Any], *, person: int | None = None) -> Detector:
    """Adapt a function that returns `supervision.Detections`, such as RF-DETR's `model.predict`.

    Args:
        predict: Takes (H, W, 3) uint8 RGB pixels; its result has `xyxy`, `confidence` and `class_id`.
        person: Number of the class `person` (1 in RF-DETR, 0 in most others); None takes every box.

    Raises:
        DataError: While detecting, if the result has no boxes, or no classes and `person` is given.

    Example:
        >>> detect = supervision_detector(lambda pixels: make_detections([[10, 20, 34, 80]]))
        >>> len(detect(np.zeros((240, 320, 3), np.uint8)))
        1
    """

    def detect(pixels: NDArray[np.uint8]) -> Detections:
        result = predict(pixels)
        if not hasattr(result, "xyxy"):
            raise DataError(f"detector: returned {type(result).__name__}, expected supervision.Detections")
        if person is not None and result.class_id is None:
            raise DataError(f"detector: the boxes have no classes and person is {person}; person=None takes every box")
        kept = np.ones(len(result.xyxy), bool) if person is None else np.asarray(result.class_id) == person
        scores = None if result.confidence is None else np.asarray(result.confidence)[kept]
        detections = make_detections(np.asarray(result.xyxy)[kept], scores)
        for name in (LEFT_OUT, FLAT):  # counts of a detector that calls `make_detections`
            detections.metadata[name] += getattr(result, "metadata", {}).get(name, 0)
        return detections

    return detect


def torchvision_detector(network: torch.nn.Module, *, min_score: float = 0.5, person: int = 1) -> Detector:
    """Adapt a detection network of torchvision with its weights, such as `fasterrcnn_resnet50_fpn`.

    Args:
        network: Takes a list of (3, H, W) images, 0 to 1; returns a list of dicts with boxes, labels and scores.
        min_score: Least score of a box, 0 to 1.
        person: Number of the class `person`; 1 in COCO.

    Raises:
        DataError: If `min_score` is outside of its range; while detecting, if the result lacks boxes, labels or scores.

    Example:
        >>> import torch
        >>> class Network(torch.nn.Module):
        ...     def forward(self, images):
        ...         box = torch.tensor([[10.0, 20.0, 34.0, 80.0]])
        ...         return [{"boxes": box, "labels": torch.tensor([1]), "scores": torch.tensor([0.9])}]
        >>> len(torchvision_detector(Network())(np.zeros((240, 320, 3), np.uint8)))
        1
    """
    import torch

    _require_fraction(min_score)
    network.eval()

    def detect(pixels: NDArray[np.uint8]) -> Detections:
        with torch.inference_mode():
            (result,) = network([torch.from_numpy(pixels).permute(2, 0, 1).float() / 255])
        if missing := [name for name in ("boxes", "labels", "scores") if name not in result]:
            raise DataError(f"detector: no {', '.join(missing)} in the result; expected boxes, labels and scores")
        of_person, likely = result["labels"] == person, result["scores"] >= min_score
        kept = of_person & likely
        left_out = int((of_person & ~likely).sum())
        return make_detections(result["boxes"][kept].numpy(), result["scores"][kept].numpy(), left_out=left_out)

    return detect


def read_boxes(path: str | Path, *, min_score: float = 0.0) -> dict[int, Detections]:
    """Read the boxes of a video: a MOT Challenge file, or a CSV file with a header.

    MOT: `frame, track, left, top, width, height, score, ...` without a header, separated by commas or spaces, frames
    from 1, track -1 for none. CSV: columns frame (from 0), left, top, width, height, and optionally track and score.
    A score of -1 or an empty score is unknown and counts as 1; rows of score 0 are left out.

    Args:
        path: The file.
        min_score: Least score, 0 to 1; rows below it are left out and counted.

    Returns:
        Detections by frame, from 0.

    Raises:
        DataError: If the file is missing, a row cannot be read, the boxes are fractions of the frame, or `min_score` is
            outside of its range.
        MissingExtraError: Without the extra `video`.

    Example:
        >>> _ = Path("mot.txt").write_text("1,7,10,20,24,60,0.9")
        >>> read_boxes("mot.txt")[0].xyxy.tolist()
        [[10.0, 20.0, 34.0, 80.0]]
    """
    _require_fraction(min_score)
    path = Path(path)
    names, rows, first = _read_table(path)
    by_frame: dict[int, list[tuple[float, ...]]] = {}
    for number, row in enumerate(rows, start=2 - first):
        record = dict(zip(names, row, strict=False))
        try:
            frame, *box, score = _parse_row(record, first)
        except (KeyError, ValueError) as error:
            expected = ", ".join(record)
            raise DataError(
                f"{path}: row {number}: cannot be read ({explain(error)}); expected numbers: {expected}"
            ) from None
        by_frame.setdefault(int(frame), []).append((*box, min(score, 1.0)))
    check_pixels(np.array([row[1:5] for boxes in by_frame.values() for row in boxes]), str(path))
    detections = {}
    for frame, boxes in sorted(by_frame.items()):
        table = np.array(boxes)  # (N, 6): track, left, top, right, bottom, score
        kept = (table[:, 5] != 0) & (table[:, 5] >= min_score)
        left_out = int((~kept).sum())
        tracks = table[kept, 0].astype(np.int64)
        given = tracks if (tracks >= 0).any() else None
        detections[frame] = make_detections(table[kept, 1:5], table[kept, 5], given, left_out=left_out)
    return detections


def _require_fraction(min_score: float) -> None:
    if not 0 <= min_score <= 1:
        raise DataError(f"{argument('min_score')}: got {min_score:g}, expected a score from 0 to 1")


def check_pixels(corners: NDArray[np.floating[Any]], name: str) -> None:
    """Check that boxes are in pixels and not in fractions of the frame.

    Args:
        corners: (N, 4) left, top, right, bottom.
        name: File or detector, for the message.

    Raises:
        DataError: If all N boxes end within the first two pixels of the frame.

    Example:
        >>> check_pixels(np.array([[10, 20, 34, 80]]), "boxes.csv")
    """
    if len(corners) and np.max(corners) <= 2:
        raise DataError(
            f"{name}: {plural(len(corners), 'box')}, all within the first 2 pixels, such as "
            f"{np.round(corners[0].astype(float), 3).tolist()} (left, top, right, bottom); they are probably fractions "
            "of the frame: multiply them by its width and height"
        )


def _read_table(path: Path) -> tuple[Sequence[str], list[list[str]], int]:
    """Return the names of the columns, the rows, and the number of the first frame."""
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
        first = next((line for line in lines if line.strip()), "")
        separated = csv.reader(lines) if "," in first else (re.split(r"[;\s]+", line.strip()) for line in lines)
        rows = [row for row in separated if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a text file of boxes ({explain(error)})") from None
    if not rows:
        raise DataError(f"{path}: no boxes in the file")
    header = [cell.strip() for cell in rows[0]]
    if "frame" not in header:
        return _MOT_COLUMNS, rows, 1
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; expected {', '.join(COLUMNS)}, track, score")
    return header, rows[1:], 0


def _parse_row(record: dict[str, str], first: int) -> tuple[float, ...]:
    """Return frame from 0, track, left, top, right, bottom, score."""
    frame, left, top, width, height = (float(record[name]) for name in COLUMNS)
    track, score = float(record.get("track") or -1), float(record.get("score") or _UNKNOWN)
    if not all(abs(number) < _LARGEST for number in (frame, left, top, width, height, track, score)):
        raise ValueError(f"a number that is not finite or not below {_LARGEST:,}")
    if int(frame) < first or width < 0 or height < 0:
        raise ValueError("a frame before the first, or a negative width or height")
    if score < 0 and score != _UNKNOWN:
        raise ValueError(f"score {score:g}; scores are 0 to 1, or -1 for unknown")
    return int(frame) - first, int(track), left, top, left + width, top + height, 1.0 if score < 0 else score
