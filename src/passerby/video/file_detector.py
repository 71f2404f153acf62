"""A detector of people from a network file: ONNX or OpenVINO IR, with outputs of SSD or YOLOX.

B batch   H, W input size   A boxes of an output   N boxes in a frame
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError, argument
from passerby.runtime.networks import load_network
from passerby.text import plural
from passerby.video.boxes import Detector, make_detections
from passerby.video.frames import require_cv2

if TYPE_CHECKING:
    from supervision import Detections

_STRIDES = (8, 16, 32)  # input pixels of a cell in the three grids of YOLOX
_PADDING = 114  # gray of the part of YOLOX's input that the frame does not cover
_NMS_OVERLAP = 0.45  # IoU above which YOLOX's boxes are the same person
_COUNTED = 0.5  # fraction of the least score below which a box is background and not counted

Rows = NDArray[np.float32]
"""(N, 5): left, top, right, bottom in pixels of the frame, score."""


def file_detector(
    path: str | Path, *, min_score: float = 0.5, person: int | None = None, threads: int | None = None
) -> Detector:
    """Make a detector from a network file, `.onnx` or `.xml` (OpenVINO IR).

    The input is (1, 3, H, W) of fixed H and W, in the order blue, green, red, 0 to 255. The shape of the output decides
    between two layouts:

    - SSD, (1, 1, A, 7): image, class, score, left, top, right, bottom as fractions of the frame. The frame is stretched
      to the input. Networks of the Open Model Zoo have this layout.
    - YOLOX, (1, A, 5 + classes): center x, center y, width, height, score of an object, scores of the classes; as the
      official export writes it, with or without `--decode_in_inference`. The frame is scaled to fit into the upper left
      corner of the input and padded. Ge et al., "YOLOX: Exceeding YOLO Series in 2021" (2021).

    Boxes with a score from `min_score` / 2 to `min_score` are counted as left out; those below are background.

    Args:
        path: The file.
        min_score: Least score of a box, above 0, at most 1.
        person: Number of the class `person`; None is 1 for SSD and 0 for YOLOX.
        threads: Number of threads; None lets the runtime choose.

    Raises:
        DataError: If the file is missing or no such network, or `min_score` is outside its range; while detecting, if
            the output has neither layout.
        MissingExtraError: Without the extra `video`, or `openvino` for `.xml`.

    Example:
        >>> file_detector("detector.onnx")
        Traceback (most recent call last):
        ...
        passerby.errors.DataError: detector.onnx: no such file; expected a network
    """
    if not 0 < min_score <= 1:
        raise DataError(f"{argument('min_score')}: got {min_score}, expected a score above 0 and at most 1")
    network = load_network(path, threads=threads)
    shape = network.input_shape
    if len(shape) != 4 or shape[0] not in (1, None) or shape[1] != 3 or shape[2] is None or shape[3] is None:
        raise DataError(f"{path}: input of shape {shape}, expected (1, 3, H, W) with fixed H and W; export it so")
    height, width = shape[2], shape[3]
    cv2 = require_cv2()
    yolox: list[bool] = []  # the layout, when the first output has shown it

    def detect(pixels: NDArray[np.uint8]) -> Detections:
        image = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        if not yolox:
            output = _run(cv2.resize(image, (width, height)))
            yolox.append(_is_yolox(output, (height, width), str(path)))
        if yolox[0]:
            scale = min(height / image.shape[0], width / image.shape[1])
            scaled = cv2.resize(image, (round(image.shape[1] * scale), round(image.shape[0] * scale)))
            padded = np.full((height, width, 3), _PADDING, np.uint8)
            padded[: scaled.shape[0], : scaled.shape[1]] = scaled
            rows = _read_yolox(_run(padded), (height, width), person or 0, str(path))
            rows[:, :4] /= scale
        else:
            rows = _read_ssd(_run(cv2.resize(image, (width, height))), 1 if person is None else person)
            rows[:, :4] *= np.tile(image.shape[1::-1], 2)
        rows = rows[rows[:, 4] >= _COUNTED * min_score]
        detections = make_detections(rows[:, :4], rows[:, 4])
        if yolox[0]:
            detections = detections.with_nms(threshold=_NMS_OVERLAP, class_agnostic=True)
        scores = np.asarray(detections.confidence)
        kept = scores >= min_score
        chosen = make_detections(detections.xyxy[kept], scores[kept], left_out=int((~kept).sum()))
        chosen.metadata["flat"] = detections.metadata["flat"]
        return chosen

    def _run(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        outputs = network(image.transpose(2, 0, 1)[None])  # (1, 3, H, W)
        if len(outputs) != 1:
            raise DataError(
                f"{path}: {plural(len(outputs), 'output')} of shapes {[x.shape for x in outputs]}; {_LAYOUTS}"
            )
        return np.asarray(outputs[0], np.float32)

    return detect


_LAYOUTS = "expected one output, (1, 1, A, 7) of SSD or (1, A, 5 + classes) of YOLOX"


def _is_yolox(output: NDArray[np.float32], size: tuple[int, int], name: str) -> bool:
    """Tell the layouts apart by the shape of an output: True for YOLOX, False for SSD."""
    cells = sum((size[0] // stride) * (size[1] // stride) for stride in _STRIDES)
    if output.ndim == 4 and output.shape[:2] == (1, 1) and output.shape[3] == 7:
        return False
    if output.ndim == 3 and output.shape[:2] == (1, cells) and output.shape[2] >= 6:
        return True
    raise DataError(f"{name}: output of shape {output.shape}; {_LAYOUTS}, A = {cells} for this input")


def _read_ssd(output: NDArray[np.float32], person: int) -> Rows:
    """Read (1, 1, A, 7); a negative image number ends the list. Corners stay fractions of the frame."""
    rows = output.reshape(-1, 7)
    ends = np.flatnonzero(rows[:, 0] < 0)
    rows = rows[: ends[0]] if len(ends) else rows
    rows = rows[np.rint(rows[:, 1]) == person]
    return np.concatenate([rows[:, 3:7], rows[:, 2:3]], axis=1)  # (N, 5)


def _read_yolox(output: NDArray[np.float32], size: tuple[int, int], person: int, name: str) -> Rows:
    """Read (1, A, 5 + classes). Corners are in pixels of the input."""
    rows = output[0]
    if person >= rows.shape[1] - 5:
        raise DataError(f"{name}: class {person} of {rows.shape[1] - 5}; expected 0 to {rows.shape[1] - 6}")
    centers, sides = rows[:, :2], rows[:, 2:4]
    if np.median(np.abs(centers)) < _STRIDES[0]:  # offsets in cells; decoded centers are spread over the input
        grids, strides = _make_grids(size)
        centers, sides = (centers + grids) * strides, np.exp(np.clip(sides, None, 20)) * strides
    scores = rows[:, 4:5] * rows[:, 5 + person : 6 + person]
    return np.concatenate([centers - sides / 2, centers + sides / 2, scores], axis=1)  # (A, 5)


def _make_grids(size: tuple[int, int]) -> tuple[NDArray[np.float32], Any]:
    """Return the (A, 2) columns and rows of the cells and their (A, 1) strides."""
    grids, strides = [], []
    for stride in _STRIDES:
        rows, columns = np.mgrid[: size[0] // stride, : size[1] // stride]
        grids.append(np.stack([columns.ravel(), rows.ravel()], axis=1))
        strides.append(np.full((rows.size, 1), stride))
    return np.concatenate(grids).astype(np.float32), np.concatenate(strides).astype(np.float32)
