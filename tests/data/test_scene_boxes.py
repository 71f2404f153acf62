"""Boxes of tables. Oracle: slices of the pixels of the written images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.layouts import noise, write_image, write_table
from passerby.data.datasets import load_data
from passerby.data.doctor import check
from passerby.data.fingerprint import fingerprint
from passerby.data.images import read_image
from passerby.data.scene_boxes import crop_box
from passerby.errors import DataError, GalleryError
from passerby.gallery.crops import list_crops


def scene_rows(**changes: Any) -> list[dict[str, Any]]:
    """Two scenes of 60 x 80 pixels with two people each."""
    rows = [
        {"path": f"s{s}.png", "person_id": p, "camera_id": s, "x": 10 * p + s, "y": 5, "width": 20, "height": 40.4}
        for s in (0, 1)
        for p in (1, 2)
    ]
    rows[0].update(changes)
    return rows


def write_scenes(path: Path, **changes: Any) -> Path:
    table = write_table(path, scene_rows(**changes))
    for number in (0, 1):
        write_image(path.parent / f"s{number}.png", content=f"s{number}", size=(60, 80))
    return table


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_with_boxes_crops_its_images(tmp_path: Path, suffix: str) -> None:
    table = write_scenes(tmp_path / f"t{suffix}")
    (data,) = load_data(f"table:{table}?train=1")
    for sample, row in zip(data.train, scene_rows(), strict=True):
        left = row["x"]
        assert np.array_equal(read_image(sample), noise(row["path"][:2], (60, 80))[5:45, left : left + 20])
        assert sample.label == f"{row['path']}:box={left},5,20,40"
    assert len(fingerprint([data])) == 64
    assert [finding.message for finding in check(f"table:{table}?train=1") if finding.severity == "error"] == []


def test_a_row_without_a_box_is_the_whole_image_and_a_box_is_cut_at_the_edge(tmp_path: Path) -> None:
    table = write_scenes(tmp_path / "t.csv", x="", y="", width="", height="")
    assert read_image(load_data(f"table:{table}?train=1")[0].train[0]).shape == (60, 80, 3)
    table = write_scenes(tmp_path / "t.csv", x=-4.2, y=30)
    crop = read_image(load_data(f"table:{table}?train=1")[0].train[0])
    assert np.array_equal(crop, noise("s0", (60, 80))[30:60, 0:16])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": 0.1, "y": 0.1, "width": 0.2, "height": 0.8}, "probably in fractions of the image; multiply them"),
        ({"width": 3}, "below 4 x 4 pixels; the columns are probably in another unit or order"),
        ({"width": 0}, "has no area"),
        ({"height": -40}, "has no area"),
        ({"x": ""}, "x missing, .*expected four numbers of pixels, or none of them"),
        ({"x": "left"}, "x left, .*expected four numbers"),
        ({"x": "inf"}, "expected numbers of pixels up to 1,000,000"),
        ({"x": "nan"}, "expected numbers of pixels up to 1,000,000"),
        ({"x": 1e30}, "expected numbers of pixels up to 1,000,000"),
    ],
)
def test_other_boxes_are_refused_with_row_and_cause(tmp_path: Path, changes: dict, message: str) -> None:
    table = write_scenes(tmp_path / "t.csv", **changes)
    with pytest.raises(DataError, match=rf"row 1: box .*{message}"):
        load_data(f"table:{table}")
    table.write_text(table.read_text().replace("camera_id", "camera").replace("person_id", "label"))
    with pytest.raises(GalleryError, match=rf"row 1: box .*{message}"):
        list_crops(table)


def test_x_and_y_without_width_are_refused(tmp_path: Path) -> None:
    table = write_scenes(tmp_path / "t.csv")
    table.write_text(table.read_text().replace("width", "w").replace("height", "h"))
    with pytest.raises(DataError, match="columns x and y, but no width and height; a box needs x, y, width and height"):
        load_data(f"table:{table}")
    with pytest.raises(GalleryError, match="columns x and y, but no width and height"):
        list_crops(table, camera="north")


def test_a_box_outside_of_its_image_names_the_image_and_the_cause(tmp_path: Path) -> None:
    table = write_scenes(tmp_path / "t.csv", x=75)
    (data,) = load_data(f"table:{table}?train=1")
    with pytest.raises(
        DataError, match=r"s0.png: box x 75, y 5, .*outside of the image of 80 x 60 pixels by more than"
    ):
        read_image(data.train[0])
    (finding,) = [finding for finding in check(f"table:{table}?train=1") if finding.severity == "error"]
    assert (finding.message, finding.count) == ("images that cannot be read", 1)
    with pytest.raises(DataError, match=r"a.png: key 'box=1'; expected one like box=12,30,64,128"):
        crop_box(np.zeros((4, 4, 3), np.uint8), "box=1", "a.png")


def test_a_table_with_boxes_is_enrolled_as_crops(tmp_path: Path) -> None:
    table = write_scenes(tmp_path / "t.csv")
    table.write_text(table.read_text().replace("camera_id", "camera").replace("person_id", "label"))
    crops = list_crops(table)
    assert [crop.attributes for crop in crops] == [{}] * 4
    assert crops[1].source == f"{tmp_path / 's0.png'}::box=20,5,20,40"
    assert np.array_equal(read_image(crops[1].image), noise("s0", (60, 80))[5:45, 20:40])
    assert crops[1].label == "2"
