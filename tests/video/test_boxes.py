"""Boxes from files and detectors. Oracles: areas counted pixel by pixel, files written here."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import supervision
import torch
from hypothesis import given
from hypothesis import strategies as st

from passerby.errors import DataError
from passerby.video.boxes import hog_detector, make_detections, read_boxes, supervision_detector, torchvision_detector
from passerby.video.frames import read_frames
from passerby.video.pooling import intersect

STREET = Path(__file__).parents[2] / "../shared/data/vtest.avi"
CORNERS = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 8), st.integers(1, 8)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


def painted(box):
    grid = np.zeros((24, 24), bool)
    left, top, right, bottom = box
    grid[top:bottom, left:right] = True
    return grid


@given(st.lists(CORNERS, min_size=1, max_size=4), st.lists(CORNERS, min_size=1, max_size=4))
def test_areas_are_those_of_painted_pixels(a, b):
    """Of our intersection and of supervision's IoU, on which HOG's suppression rests."""
    first, second = np.array(a, float), np.array(b, float)
    iou = supervision.box_iou_batch(first, second)
    for i, one in enumerate(a):
        areas = intersect(first[i], second)
        for j, other in enumerate(b):
            both, either = (painted(one) & painted(other)).sum(), (painted(one) | painted(other)).sum()
            assert areas[j] == both
            assert iou[i, j] == pytest.approx(both / either)


@given(st.lists(st.tuples(CORNERS, st.floats(0, 1)), min_size=1, max_size=8))
def test_suppression_keeps_the_best_and_nothing_that_overlaps_it(boxes):
    limit = 0.30001  # no ratio of areas is that near to it, so rounding decides nothing
    corners, scores = np.array([box for box, _ in boxes], float), np.array([score for _, score in boxes], np.float32)
    detections = make_detections(corners, scores)
    detections.data["index"] = np.arange(len(boxes))
    kept = detections.with_nms(threshold=limit, class_agnostic=True).data["index"].tolist()
    table = supervision.box_iou_batch(corners, corners)
    assert scores[kept].max() == scores.max()
    assert all(table[i, j] <= limit for i in kept for j in kept if i != j)
    assert all(table[i, kept].max() > limit for i in range(len(boxes)) if i not in kept)


def test_a_mot_file_counts_frames_from_one(tmp_path):
    (tmp_path / "mot.txt").write_text("1,3,10,20,5,9,1,-1,-1,-1\n1,-1,1,2,3,4,0.5\n3,3,11,20,5,9,1\n3,4,11,20,5,9,0\n")
    detections = read_boxes(tmp_path / "mot.txt")
    assert sorted(detections) == [0, 2]
    assert detections[0].xyxy.tolist() == [[10, 20, 15, 29], [1, 2, 4, 6]]
    assert detections[0].tracker_id.tolist() == [3, -1]
    assert detections[0].confidence.tolist() == [1, 0.5]
    assert len(detections[2]) == 1


def test_a_csv_with_a_header_counts_from_zero(tmp_path):
    (tmp_path / "b.csv").write_text("frame,score,left,top,width,height\n0,0.7,1,2,3,4\n5,,1,2,3,4\n")
    detections = read_boxes(tmp_path / "b.csv")
    assert (sorted(detections), detections[0].tracker_id, detections[5].confidence.tolist()) == ([0, 5], None, [1.0])
    assert detections[0].confidence[0] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no boxes in the file"),
        ("frame,left,top\n0,1,2\n", "no column width, height; expected frame, left"),
        ("1,1,2,3,4,five,1\n", "row 1: cannot be read"),
        ("frame,left,top,width,height\n0,1,2,-3,4\n", "row 2: cannot be read .*or a negative width or height"),
        ("1,1,2,3,4,5,-0.4\n", "row 1: cannot be read .score -0.4; scores are 0 to 1, or -1 for unknown"),
        ("1,1,2,3,inf,5,1\n", "row 1: cannot be read .a number that is not finite"),
        ("1,1,2,3,1e19,5,1\n", "row 1: cannot be read .a number that is not finite or not below 1,000,000,000"),
        ("1,1,0.5,0.4,0.1,0.2,1\n", "1 box, all within the first 2 pixels.*probably fractions of the frame"),
        ("0,1,2,3,4,5,1\n", "row 1: cannot be read .a frame before the first"),
        ("1,1,2\n", "row 1: cannot be read"),
    ],
)
def test_invalid_box_files_raise(tmp_path, text, message):
    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_boxes(tmp_path / "b.csv")
    with pytest.raises(DataError, match="cannot be read: No such file or directory"):
        read_boxes(tmp_path / "none.csv")


@pytest.mark.parametrize("separator", [" ", "\t", ";", " , ", "   "])
def test_mot_files_with_other_separators(tmp_path, separator):
    (tmp_path / "mot.txt").write_text(
        "\n".join(separator.join(row.split()) for row in ("1 3 10 20 5 9 0.5", "4 3 1 2 3 4 -1"))
    )
    detections = read_boxes(tmp_path / "mot.txt")
    assert (sorted(detections), detections[0].xyxy.tolist()) == ([0, 3], [[10, 20, 15, 29]])
    assert (detections[0].confidence.tolist(), detections[3].confidence.tolist()) == ([0.5], [1.0])


def test_rows_below_the_least_score_are_left_out_and_counted(tmp_path):
    (tmp_path / "mot.txt").write_text(
        "1,-1,1,2,3,4,0.5\n1,-1,1,2,3,4,0.2\n1,-1,1,2,3,4,0\n1,-1,1,2,3,4,-1\n1,-1,1,2,0,4,1\n"
    )
    detections = read_boxes(tmp_path / "mot.txt", min_score=0.3)[0]
    assert detections.confidence.tolist() == [0.5, 1.0]
    assert detections.metadata == {"left_out": 2, "flat": 1}


@pytest.mark.parametrize("score", [-0.1, 1.5, 30, float("nan")])
def test_a_least_score_outside_of_the_scores_is_refused(tmp_path, score):
    (tmp_path / "mot.txt").write_text("1,-1,1,2,3,4,0.5\n")
    with pytest.raises(DataError, match=rf"min_score: got {score:g}, expected a score from 0 to 1"):
        read_boxes(tmp_path / "mot.txt", min_score=score)
    if not score >= 0:
        with pytest.raises(DataError, match=r"min_score: got .*, expected an SVM score of 0 or more"):
            hog_detector(min_score=score)


def test_detectors_without_the_needed_outputs_raise():
    pixels = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(DataError, match="the boxes have no classes and person is 1; person=None takes every box"):
        supervision_detector(lambda _: make_detections([[0, 0, 5, 9]]), person=1)(pixels)
    with pytest.raises(DataError, match=r"returned list, expected supervision\.Detections"):
        supervision_detector(lambda _: [[0, 0, 5, 9]])(pixels)

    class Network(torch.nn.Module):
        def forward(self, _images):
            return [{"boxes": torch.zeros(0, 4)}]

    with pytest.raises(DataError, match="detector: no labels, scores in the result"):
        torchvision_detector(Network())(pixels)


def test_boxes_with_other_shapes_raise_and_flat_boxes_are_skipped():
    with pytest.raises(DataError, match=r"boxes: corners \(1, 4\) and scores \(2,\)"):
        make_detections(np.zeros((1, 4)), np.zeros(2))
    detections = make_detections([[5, 0, 5, 9], [1, 2, 3, 4], [0, 0, np.inf, 9]], [0.4, np.nan, 0.4], [1, 2, 3])
    assert (detections.xyxy.tolist(), detections.tracker_id.tolist()) == ([[1, 2, 3, 4]], [2])
    assert (detections.confidence.tolist(), detections.metadata["flat"]) == ([1.0], 2)


def test_detectors_are_filtered_by_class():
    pixels = np.zeros((20, 30, 3), np.uint8)
    answer = SimpleNamespace(
        xyxy=np.array([[0, 0, 5, 9], [1, 1, 6, 10]]), confidence=np.array([0.4, 0.9]), class_id=np.array([0, 1])
    )
    assert supervision_detector(lambda _: answer, person=1)(pixels).xyxy.tolist() == [[1, 1, 6, 10]]
    unsure = SimpleNamespace(xyxy=answer.xyxy, confidence=None, class_id=None)
    assert supervision_detector(lambda _: unsure)(pixels).confidence.tolist() == [1, 1]

    class Network(torch.nn.Module):
        def forward(self, images):
            assert images[0].shape == (3, 20, 30)
            boxes = torch.tensor([[0.0, 0, 5, 9], [1, 1, 6, 10], [2, 2, 7, 11]])
            return [{"boxes": boxes, "labels": torch.tensor([1, 1, 3]), "scores": torch.tensor([0.9, 0.2, 0.9])}]

    assert torchvision_detector(Network())(pixels).xyxy.tolist() == [[0, 0, 5, 9]]


@pytest.mark.skipif(not STREET.is_file(), reason="needs ../shared/data/vtest.avi, a real street")
def test_hog_finds_people_on_a_real_street():
    """By visual inspection: frame 0 shows people at the right and in the middle; their boxes are taller than wide."""
    frame = next(read_frames(STREET))
    detections = hog_detector()(frame.pixels)
    assert len(detections) >= 2
    sides = detections.xyxy[:, 2:] - detections.xyxy[:, :2]
    assert (sides[:, 1] > 1.5 * sides[:, 0]).all()
    assert ((detections.confidence > 0) & (detections.confidence < 1)).all()
    assert len(hog_detector()(np.full((300, 300, 3), 90, np.uint8))) == 0
