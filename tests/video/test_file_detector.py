"""Detectors from files. Oracles: boxes worked by hand in both layouts, and people counted by eye in a real street."""

from pathlib import Path

import numpy as np
import pytest

from passerby.errors import DataError
from passerby.video.file_detector import file_detector
from passerby.video.frames import read_frames
from programs import require_module
from runtime.small_networks import save_constant

require_module("onnx")
require_module("onnxruntime")
require_module("cv2")

SHARED = Path(__file__).parents[2] / "../shared/data"
WEIGHTS = SHARED / "weights/pedestrian-detection-adas-0002/pedestrian-detection-adas-0002.xml"
PIXELS = np.zeros((120, 200, 3), np.uint8)


def test_ssd_outputs_are_scaled_to_the_frame(tmp_path):
    """Rows: a person, a person below the least score, another class, background, and a row after the end."""
    rows = [
        [0, 1, 0.9, 0.1, 0.2, 0.3, 0.7],
        [0, 1, 0.4, 0.5, 0.2, 0.6, 0.7],
        [0, 2, 0.9, 0.1, 0.2, 0.3, 0.7],
        [0, 1, 0.1, 0.1, 0.2, 0.3, 0.7],
        [0, 1, 0.8, 0.3, 0.3, 0.3, 0.7],
        [-1, 0, 0, 0, 0, 0, 0],
        [0, 1, 0.9, 0.6, 0.2, 0.8, 0.7],
    ]
    save_constant(tmp_path / "ssd.onnx", np.array(rows)[None, None])
    detections = file_detector(tmp_path / "ssd.onnx", threads=1)(PIXELS)
    assert detections.xyxy == pytest.approx(np.array([[20, 24, 60, 84]]))
    assert detections.confidence.tolist() == pytest.approx([0.9])
    assert detections.metadata == {"left_out": 1, "flat": 1}
    assert len(file_detector(tmp_path / "ssd.onnx", person=2, threads=1)(PIXELS)) == 1
    assert len(file_detector(tmp_path / "ssd.onnx", min_score=0.3, threads=1)(PIXELS)) == 2


def yolox_rows(*, decoded):
    """Rows for an input of 64 x 64: 64 + 16 + 4 cells. Centers lie in the middle of the cells, sides are the strides.

    Cell (row 2, column 3) of stride 8 holds a person: center (28, 20), 16 x 24 pixels.
    Its neighbor holds the same person, shifted by 2 pixels, with a lower score.
    """
    rows = []
    for stride in (8, 16, 32):
        for row in range(64 // stride):
            for column in range(64 // stride):
                center = np.array([column + 0.5, row + 0.5]) * stride
                sides = np.array([stride, stride], float)
                score, classes = 0.01, (0.5, 0.5)
                if (stride, row) == (8, 2) and column in (3, 4):
                    center, sides = np.array([28.0 + 2 * (column - 3), 20.0]), np.array([16.0, 24.0])
                    score, classes = 0.9 - 0.1 * (column - 3), (1.0, 0.1)
                if (stride, row, column) == (32, 1, 1):
                    score, classes = 0.9, (0.1, 1.0)  # another class
                if not decoded:
                    center, sides = center / stride - [column, row], np.log(sides / stride)
                rows.append([*center, *sides, score, *classes])
    return np.array(rows)[None]


@pytest.mark.parametrize("decoded", [False, True])
def test_yolox_outputs_are_decoded_scaled_and_merged(tmp_path, decoded):
    """A frame of 120 x 200 fits into 64 x 64 at 0.32."""
    save_constant(tmp_path / "yolox.onnx", yolox_rows(decoded=decoded))
    detections = file_detector(tmp_path / "yolox.onnx", threads=1)(PIXELS)
    assert detections.xyxy == pytest.approx(np.array([[20, 8, 36, 32]]) / 0.32, rel=1e-4)
    assert detections.confidence.tolist() == pytest.approx([0.9])
    assert detections.metadata == {"left_out": 0, "flat": 0}
    with pytest.raises(DataError, match="class 2 of 2; expected 0 to 1"):
        file_detector(tmp_path / "yolox.onnx", person=2, threads=1)(PIXELS)


def test_other_layouts_and_settings_raise(tmp_path):
    save_constant(tmp_path / "other.onnx", np.zeros((1, 100, 7)))
    with pytest.raises(DataError, match=r"output of shape \(1, 100, 7\); expected one output.* A = 84 for this input"):
        file_detector(tmp_path / "other.onnx", threads=1)(PIXELS)
    save_constant(tmp_path / "free.onnx", np.zeros((1, 1, 1, 7)), size=("height", "width"))
    with pytest.raises(DataError, match=r"input of shape \(1, 3, None, None\), expected \(1, 3, H, W\) with fixed H"):
        file_detector(tmp_path / "free.onnx")
    with pytest.raises(DataError, match="min_score: got 0, expected a score above 0 and at most 1"):
        file_detector(tmp_path / "other.onnx", min_score=0)


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="needs ../shared/data with the weights of a detector")
def test_a_real_detector_finds_people_on_a_real_street():
    """By visual inspection, frame 0 shows three people, and frame 100 seven, of which five are found at 0.5."""
    require_module("openvino")
    detect = file_detector(WEIGHTS, threads=1)
    frames = [frame for frame in read_frames(SHARED / "vtest.avi", every=50) if frame.number <= 100]
    counts = [len(detect(frame.pixels)) for frame in frames]
    assert (len(counts), counts[2]) == (3, 5)
    assert 2 <= counts[0] <= 3
