"""MSMT17's lists and folders. Oracle: the miniatures, numbered by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data.layouts import MARKET, write_images, write_msmt17
from passerby.data.datasets import load_data
from passerby.data.fingerprint import fingerprint
from passerby.data.images import read_image
from passerby.errors import DataError
from passerby.types import Sample


def rows_of(samples: tuple[Sample, ...]) -> list[tuple[str, int, int]]:
    return [(sample.path.name, sample.person_id, sample.camera_id) for sample in samples]


@pytest.mark.parametrize("folders", [("train", "test"), ("mask_train_v2", "mask_test_v2")])
def test_msmt17_joins_train_and_val_and_separates_test_identities(tmp_path: Path, folders: tuple[str, str]) -> None:
    """The lists number train identities 0, 1 and test identities 0, 1: four identities, 1 to 4."""
    (data,) = load_data(f"msmt17:{write_msmt17(tmp_path, folders=folders)}")
    assert rows_of(data.train) == [
        ("0000_000_01_0303morning_0015_0.jpg", 1, 0),
        ("0000_010_05_0303morning_0020_0.jpg", 1, 4),
        ("0001_000_15_0113noon_0021_1.jpg", 2, 14),
    ]
    assert rows_of(data.query) == [("0000_000_02_0303afternoon_0201_0.jpg", 3, 1)]
    assert [(s.person_id, s.camera_id) for s in data.gallery] == [(3, 13), (4, 2)]
    assert all(s.path.is_file() for s in (*data.train, *data.query, *data.gallery))


def test_msmt17_without_a_list_or_folder_is_refused(tmp_path: Path) -> None:
    write_msmt17(tmp_path)
    (tmp_path / "list_val.txt").write_text("0000/0000_000_x_0303.jpg 0\n0000/0000_000_01_a.jpg zero\n")
    with pytest.raises(DataError, match=r"2 entries .*list_val.txt:1: '0000/0000_000_x_0303.jpg 0' does not parse"):
        load_data(f"msmt17:{tmp_path}")
    (tmp_path / "test").rename(tmp_path / "tests")
    with pytest.raises(DataError, match=r"no folder .*test; expected .*list_train.txt.*holds .*tests/"):
        load_data(f"msmt17:{tmp_path}")
    (tmp_path / "list_query.txt").unlink()
    with pytest.raises(DataError, match=r"no file .*list_query.txt; expected .*holds list_gallery.txt"):
        load_data(f"msmt17:{tmp_path}")


def write_persons(root: Path, persons: str, *, cameras: str = "door hall", images: int = 2) -> Path:
    for person in persons.split():
        write_images(root / person, [f"{camera}_{image}.png" for camera in cameras.split() for image in range(images)])
    return root


def test_folder_without_a_split_trains_half_of_the_identities(tmp_path: Path) -> None:
    """Four identities; `default_rng(0).permutation(4)` is 2, 0, 1, 3: identities 3 and 1 train."""
    (data,) = load_data(f"folder:{write_persons(tmp_path, 'p10 p2 bob anna')}")
    assert {s.path.parent.name: s.person_id for s in (*data.train, *data.query)} == {
        "anna": 1,
        "bob": 2,
        "p2": 3,
        "p10": 4,
    }
    assert rows_of(data.train)[:4] == [
        ("door_0.png", 1, 0),
        ("door_1.png", 1, 0),
        ("hall_0.png", 1, 1),
        ("hall_1.png", 1, 1),
    ]
    assert {s.person_id for s in data.train} == {1, 3}
    assert {s.path.name for s in data.query} == {"door_0.png", "hall_0.png"}
    assert {s.path.name for s in data.gallery} == {"door_1.png", "hall_1.png"}
    assert data.title == f"folder:{tmp_path.name} (2/2 identities, permuted)"


@pytest.mark.parametrize(("fraction", "train", "test"), [("0", 0, 4), ("0.25", 1, 3), ("1", 4, 0), ("1.0", 4, 0)])
def test_folder_trains_the_requested_fraction(tmp_path: Path, fraction: str, train: int, test: int) -> None:
    (data,) = load_data(f"folder:{write_persons(tmp_path, 'a b c d')}?train={fraction}")
    assert len({s.person_id for s in data.train}) == train
    assert len({s.person_id for s in data.query}) == len({s.person_id for s in data.gallery}) == test


def test_folder_with_splits_keeps_them_and_identities_are_shared_by_name(tmp_path: Path) -> None:
    write_persons(tmp_path / "train", "1 2")
    write_persons(tmp_path / "query", "3", cameras="door", images=1)
    write_persons(tmp_path / "gallery", "3 4 20")
    (data,) = load_data(f"folder:{tmp_path}")
    assert {s.person_id for s in data.train} == {1, 2}
    assert {s.person_id for s in data.query} == {3}
    assert {s.person_id for s in data.gallery} == {3, 4, 5}
    assert data.title == f"folder:{tmp_path.name}"


def test_folder_with_train_only_has_no_test_split(tmp_path: Path) -> None:
    write_persons(tmp_path / "train", "1 2")
    (data,) = load_data(f"folder:{tmp_path}")
    assert (len(data.train), data.query, data.gallery) == (8, (), ())


def test_folder_with_queries_and_no_gallery_is_refused(tmp_path: Path) -> None:
    write_persons(tmp_path / "query", "1 2")
    with pytest.raises(DataError, match=r"the gallery split of .* is empty"):
        load_data(f"folder:{tmp_path}")


def test_another_folder_beside_splits_is_named(tmp_path: Path) -> None:
    write_persons(tmp_path / "train", "1 2")
    write_persons(tmp_path / "val", "3")
    with pytest.raises(DataError, match="has val/ beside train/; expected train/, query/ and gallery/ only"):
        load_data(f"folder:{tmp_path}")


def test_folder_parses_the_camera_of_market_names(tmp_path: Path) -> None:
    for person in ("0002", "0007"):
        write_images(tmp_path / person, [name for name in MARKET["bounding_box_train"] if name.startswith(person)])
    (data,) = load_data(f"folder:{tmp_path}?camera=market&train=1")
    assert rows_of(data.train) == [
        ("0002_c12s1_000301_01.jpg", 1, 3),
        ("0002_c1s1_000451_03.jpg", 1, 0),
        ("0002_c2s1_000301_01.jpg", 1, 1),
        ("0007_c1s6_028546_01.jpg", 2, 0),
        ("0007_c3s3_077419_03.jpg", 2, 2),
    ]


def test_folder_without_cameras_drops_no_match(tmp_path: Path) -> None:
    """Each image of an identity has a camera of its own; one of them is the query, the others are the gallery."""
    for person in ("a", "b"):
        write_images(tmp_path / person, ["x.jpg", "y.jpg", "z.jpg"])
    (data,) = load_data(f"folder:{tmp_path}?camera=none&train=0")
    assert rows_of(data.query) == [("x.jpg", 1, 0), ("x.jpg", 2, 0)]
    assert rows_of(data.gallery) == [("y.jpg", 1, 1), ("z.jpg", 1, 2), ("y.jpg", 2, 1), ("z.jpg", 2, 2)]
    assert data.variant == "0/2 identities, permuted, cameras unknown"


def test_folder_names_without_a_camera_are_refused_with_advice(tmp_path: Path) -> None:
    write_images(tmp_path / "a", ["door_1.jpg", "img2.jpg", "_x.jpg"])
    with pytest.raises(DataError, match=r"2 entries .*a/_x.jpg: no camera before an underscore.*camera=none"):
        load_data(f"folder:{tmp_path}")
    with pytest.raises(DataError, match=r"3 entries .*no camera in the name; expected one like 0002_c1s1"):
        load_data(f"folder:{tmp_path}?camera=market")


def test_folder_drops_junk_and_keeps_the_named_distractor_in_the_gallery(tmp_path: Path) -> None:
    write_persons(tmp_path / "train", "0002 0007 -1")
    write_persons(tmp_path / "query", "0001", images=1)
    write_persons(tmp_path / "gallery", "0001 0000 -1")
    (data,) = load_data(f"folder:{tmp_path}?distractor=0000")
    assert [s.person_id for s in data.gallery] == [0] * 4 + [1] * 4
    assert (data.junk, data.distractors) == (8, 4)
    with pytest.raises(DataError, match=r"4 entries .*a distractor in train"):
        load_data(f"folder:{tmp_path}?distractor=0002")
    assert load_data(f"folder:{tmp_path}?junk=0000")[0].junk == 4


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    with pytest.raises(DataError, match="folder: no image in"):
        load_data(f"folder:{tmp_path}")
    with pytest.raises(DataError, match=r"option train='1.5'; expected a number from 0 to 1"):
        load_data(f"folder:{write_persons(tmp_path, 'a b')}?train=1.5")


def test_capital_splits_are_named_as_the_cause(tmp_path: Path) -> None:
    write_persons(tmp_path / "Train", "1 2")
    with pytest.raises(DataError, match="has Train/; rename it to train/"):
        load_data(f"folder:{tmp_path}")


def test_msmt17_lists_with_backslashes_and_ids_beyond_64_bits_are_refused(tmp_path: Path) -> None:
    write_msmt17(tmp_path)
    (tmp_path / "list_val.txt").write_text("0000\\0000_010_05_0303morning_0020_0.jpg 0\n")
    with pytest.raises(DataError, match=r"with / and not .* between folder and file"):
        load_data(f"msmt17:{tmp_path}")
    (tmp_path / "list_val.txt").write_text(f"0000/0000_010_05_0303morning_0020_0.jpg {2**63}\n")
    with pytest.raises(DataError, match=r"ids of people are below 9223372036854775807"):
        load_data(f"msmt17:{tmp_path}")


def test_names_that_are_not_utf8_are_read_and_labels_are_refused(tmp_path: Path) -> None:
    for person in ("a", "b"):
        write_persons(tmp_path, person)
        (tmp_path / person / "door_0.png").rename(tmp_path / person / os.fsdecode(b"door_\xff.png"))
    (data,) = load_data(f"folder:{tmp_path}?train=1")
    assert read_image(data.train[1]).shape == (40, 20, 3)
    assert len(fingerprint([data])) == 64
    (tmp_path / "a").rename(tmp_path / os.fsdecode(b"\xff"))
    with pytest.raises(DataError, match=r"identity '.udcff' has a control character or is not UTF-8"):
        load_data(f"folder:{tmp_path}")
