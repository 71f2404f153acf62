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
from passerby.video.tracks import intersect

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
        ("frame,left,top,width,height\n0,1,2,0,4\n", "row 2: cannot be read .a frame before the first, or no area"),
        ("0,1,2,3,4,5,1\n", "row 1: cannot be read .a frame before the first"),
        ("1,1,2\n", "row 1: cannot be read"),
    ],
)
def test_invalid_box_files_raise(tmp_path, text, message):
    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_boxes(tmp_path / "b.csv")
    with pytest.raises(DataError, match="no such file; expected boxes as MOT or CSV"):
        read_boxes(tmp_path / "none.csv")


def test_boxes_without_area_or_with_other_shapes_raise():
    with pytest.raises(DataError, match=r"boxes: corners \(1, 4\) and scores \(2,\)"):
        make_detections(np.zeros((1, 4)), np.zeros(2))
    with pytest.raises(DataError, match=r"\[5.0, 0.0, 5.0, 9.0\] is left, top, right, bottom without an area"):
        make_detections([[5, 0, 5, 9]], np.zeros(1))


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
