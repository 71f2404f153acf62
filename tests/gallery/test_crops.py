"""Crops of folders, tables and data sets. Oracle: the layouts written here."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import SIMPLE
from passerby.errors import DataError, GalleryError
from passerby.gallery.crops import Crop, list_crops, list_data_crops


@pytest.fixture
def folder(tmp_path):
    """north/Alice/1.png, north/Bob/2.png, south/Alice/3.jpg, a text and a hidden image."""
    for name in ("north/Alice/1.png", "north/Bob/2.png", "south/Alice/3.jpg", "south/Alice/.4.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 4, 3), np.uint8)).save(path)
    (tmp_path / "in" / "north" / "notes.txt").write_text("no image")
    return tmp_path / "in"


def metadata_of(crops):
    return [(crop.image.name, crop.camera, crop.label, crop.time) for crop in crops]


def test_folders_contain_camera_and_label(folder):
    assert metadata_of(list_crops(folder, camera="c")) == [
        (f"{i}.{e}", "c", None, None) for i, e in ((1, "png"), (2, "png"), (3, "jpg"))
    ]
    assert metadata_of(list_crops(folder, folders="camera", label="L", time=5.0)) == [
        ("1.png", "north", "L", 5.0),
        ("2.png", "north", "L", 5.0),
        ("3.jpg", "south", "L", 5.0),
    ]
    assert [crop.label for crop in list_crops(folder, folders="camera/label")] == ["Alice", "Bob", "Alice"]
    assert [crop.camera for crop in list_crops(folder, folders="label/camera")] == ["Alice", "Bob", "Alice"]


def test_one_file_is_one_crop_with_its_absolute_path_as_source(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (by_name,) = list_crops("north/Alice/1.png", camera="c")
    (by_path,) = list_crops(folder / "south" / ".." / "north" / "Alice" / "1.png", camera="c")
    assert by_name.source == by_path.source == str((folder / "north/Alice/1.png").resolve())


def test_a_table_contains_camera_time_label_and_attributes(folder):
    table = folder / "people.csv"
    table.write_text(
        "path,camera,time,label,door\nnorth/Alice/1.png,c1,2026-01-02T03:04:05,Alice,left\nnorth/Bob/2.png,c2,,,\n"
    )
    first, second = list_crops(table)
    assert metadata_of([first, second]) == [("1.png", "c1", "Alice", 1767323045.0), ("2.png", "c2", None, None)]
    assert first.image == folder / "north/Alice/1.png"
    assert (first.attributes, second.attributes) == ({"door": "left"}, {})


@pytest.mark.parametrize(
    ("where", "options", "message"),
    [
        ("", {}, r"1\.png: no camera; give camera or folders, or a table with a column camera"),
        ("", {"folders": "camera", "camera": "c"}, "camera is given for all, and folders='camera' contains it"),
        ("", {"folders": "person"}, "folders: got 'person', expected one of camera, label, camera/label, label/camera"),
        ("north", {"folders": "camera/label"}, r"inside 1 folder of .*north, folders='camera/label' expects 2"),
        ("north/Alice/1.png", {"folders": "camera"}, "is for a folder, this is a file"),
    ],
)
def test_invalid_folders_raise(folder, where, options, message):
    with pytest.raises(GalleryError, match=message):
        list_crops(folder / where, **options)


def test_files_of_a_folder_that_are_no_images_are_counted_in_a_warning(folder, caplog):
    (folder / "south" / "Alice" / "5.heic").touch()
    (folder / "south" / "Alice" / "3.jpg").rename(folder / "south" / "Alice" / "3.JFIF")
    assert [crop.image.name for crop in list_crops(folder, camera="c")] == ["1.png", "2.png", "3.JFIF"]
    assert caplog.messages == [f"{folder}: left out 1 .heic, 1 .txt, such as north/notes.txt"]


def test_a_folder_without_images_raises_with_its_content(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(GalleryError, match=r"no image in it; expected .*\.png.*; it contains notes\.txt"):
        list_crops(tmp_path, camera="c")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("file,camera\na,b\n", {}, "no column path; expected path, camera, time, label and others, found file, camera"),
        ("path\na.png\n", {}, "row 1: no camera"),
        ("path,camera\n,b\n", {}, "row 1: no path"),
        ("path,camera,time\na.png,b,noon\n", {}, "row 1: timestamp 'noon'; expected seconds or ISO 8601"),
        ("path,camera\na.png,b\n", {"camera": "c"}, "camera is given for all, and the table has a column of that name"),
        ("path,camera\na.png,b\n", {"folders": "camera"}, "is for a folder; a table has columns"),
        ("path,camera\n", {}, "the table has no rows"),
        ("path,camera,track.start\na.png,b,1\n", {}, r"columns that begin with track\. are those of videos"),
        (
            "path,camera,time\na.png,b,1700000000000\n",
            {},
            r"row 1: time is 1700000000000\.0, expected seconds since 1970, in years 1 to 9999; if it is in "
            r"milliseconds, give 1700000000\.000",
        ),
        ("path,camera,label\na.png,b,Al\x1b[31mice\n", {}, r"row 1: label is 'Al\\x1b\[31mice', expected text without"),
    ],
)
def test_invalid_tables_raise(tmp_path, text, options, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(GalleryError, match=message):
        list_crops(tmp_path / "t.csv", **options)


def test_a_data_set_s_split_is_labeled_by_person_ids():
    crops = list_data_crops(SIMPLE, split="query")
    assert {crop.camera for crop in crops} == {"c1", "c2"}
    assert all(crop.label == str(crop.image.person_id) for crop in crops)
    assert {crop.label for crop in list_data_crops(SIMPLE, split="query", labeled=False)} == {None}
    with pytest.raises(GalleryError, match="split: got 'test', expected one of train, query, gallery"):
        list_data_crops(SIMPLE, split="test")
    with pytest.raises(GalleryError, match="2 data sets"):
        list_data_crops(f"{SIMPLE}+{SIMPLE}")


def test_file_names_that_are_not_printable_utf8_are_escaped_in_the_source(tmp_path):
    folder = os.fsencode(tmp_path)
    for name in (b"caf\xe9.png", b"bell\x07.png", "M\u00fcller.png".encode()):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(b"")
    sources = sorted(Path(crop.source).name for crop in list_crops(tmp_path, camera="c"))
    assert sources == ["M\u00fcller.png", r"bell\x07.png", r"caf\udce9.png"]
    with pytest.raises(GalleryError, match=r"label is '\\udce9', expected text without control characters"):
        Crop(image=Path("a.jpg"), camera="c", label="\udce9")


def test_a_path_that_is_missing_is_named_with_what_is_beside_it(tmp_path):
    (tmp_path / "crops").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    states = {"nowhere": "does not exist", "no/where.jpg": "does not exist", "link": "is a broken link"}
    for name, state in states.items():
        with pytest.raises(DataError) as raised:
            list_crops(tmp_path / name, camera="c")
        assert str(raised.value) == (
            f"{tmp_path / name}: {state}; expected an image, a folder of images, or a .csv or .parquet table; "
            f"{tmp_path} holds crops/, link"
        )


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "crops.jpg")
    with pytest.raises(GalleryError, match=r"crops\.jpg: is a pipe, a device or a socket; expected an image, a folder"):
        list_crops(tmp_path / "crops.jpg", camera="c")
