"""MSMT17's lists, folders and tables. Oracle: the miniatures, numbered by hand."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from data.layouts import MARKET, write_image, write_images, write_msmt17, write_table
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


def rows(**changes: Any) -> list[dict[str, Any]]:
    table = [
        {"path": "i/1.jpg", "person_id": "bob", "camera_id": "10", "split": "train", "timestamp": 1.5},
        {"path": "i/2.jpg", "person_id": "bob", "camera_id": "9", "split": "train", "timestamp": 2.5},
        {"path": "i/3.jpg", "person_id": "anna", "camera_id": "9", "split": "query", "timestamp": None},
        {"path": "i/4.jpg", "person_id": "anna", "camera_id": "10", "split": "gallery", "timestamp": 3.0},
        {"path": "i/5.jpg", "person_id": "-1", "camera_id": "10", "split": "gallery", "timestamp": 3.0},
    ]
    table[0].update(changes)
    return table


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_table_columns_become_samples(tmp_path: Path, suffix: str) -> None:
    path = write_table(tmp_path / f"t{suffix}", rows())
    (data,) = load_data(f"table:{path}")
    assert data.train == (
        Sample(tmp_path / "i/1.jpg", 2, 1, timestamp=1.5),
        Sample(tmp_path / "i/2.jpg", 2, 0, timestamp=2.5),
    )
    assert data.query == (Sample(tmp_path / "i/3.jpg", 1, 0),)
    assert data.gallery == (Sample(tmp_path / "i/4.jpg", 1, 1, timestamp=3.0),)
    assert (data.junk, data.title) == (1, f"table:t{suffix}")


@pytest.mark.parametrize("link", [False, True])
def test_a_query_is_not_matched_with_its_own_file(tmp_path: Path, link: bool) -> None:
    """Query and gallery are the same folder: both files of a person have the same camera, and the others have not."""
    write_images(tmp_path / "query" / "a", ["1.png", "2.png"])
    if link:
        (tmp_path / "gallery" / "a").mkdir(parents=True)
        for name in ("1.png", "2.png"):
            (tmp_path / "gallery" / "a" / name).symlink_to(tmp_path / "query" / "a" / name)
    else:
        (tmp_path / "gallery").symlink_to("query")
    (data,) = load_data(f"folder:{tmp_path}?camera=none")
    assert rows_of(data.query) == rows_of(data.gallery) == [("1.png", 1, 0), ("2.png", 1, 1)]


def test_copies_of_a_query_are_excluded_by_an_option(tmp_path: Path) -> None:
    for split in ("query", "gallery"):
        write_images(tmp_path / split / "a", ["x_1.png"])
        write_image(tmp_path / split / "a" / "y_2.png", content="the same in both")
    (tmp_path / "gallery" / "a" / "z_3.png").write_bytes((tmp_path / "query" / "a" / "y_2.png").read_bytes())
    (data,) = load_data(f"folder:{tmp_path}?camera=none")
    assert [s.camera_id for s in (*data.query, *data.gallery)] == [0, 1, 2, 3, 4]
    (data,) = load_data(f"folder:{tmp_path}?camera=none&copies=exclude")
    assert [s.camera_id for s in (*data.query, *data.gallery)] == [0, 1, 2, 1, 1]
    assert data.title == f"folder:{tmp_path.name} (copies excluded, cameras unknown)"
    (data,) = load_data(f"folder:{tmp_path}?copies=exclude")
    assert rows_of(data.gallery) == [("x_1.png", 1, 0), ("y_2.png", 1, 1)]


def test_the_file_of_a_query_under_another_camera_is_left_out(tmp_path: Path) -> None:
    table = rows()
    table[3]["path"] = table[2]["path"]
    table.append({**table[3], "path": "i/9.jpg"})
    (data,) = load_data(f"table:{write_table(tmp_path / 't.csv', table)}")
    assert [s.path.name for s in data.query] == ["3.jpg"]
    assert [s.path.name for s in data.gallery] == ["9.jpg"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_whole_floats_are_ids_and_minus_one_is_junk(tmp_path: Path, suffix: str) -> None:
    """A column of integers with a missing value is a float column in pandas."""
    table = [{"path": f"{i}.png", "person_id": p} for i, p in enumerate([7.0, 7.0, 8.0, 8.0, -1.0])]
    (data,) = load_data(f"table:{write_table(tmp_path / f't{suffix}', table)}?train=1")
    assert [s.person_id for s in data.train] == [1, 1, 2, 2]
    assert data.junk == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, float("nan")], "row 2: no person_id"),
        ([1.5, 2.0], "row 1: column person_id: 1.5; expected text or a whole number"),
        ([1.0, float("inf")], "row 2: column person_id: inf; expected text or a whole number"),
        ([1e300, 1.0], "row 1: column person_id: 1e.300; expected text or a whole number"),
        ([True, False], "column person_id: True; expected text or a whole number"),
        ([b"x", b"y"], "column person_id: b'x'; expected text or a whole number"),
        ([[1], [2]], r"column person_id: \[1\]; expected text or a whole number"),
    ],
)
def test_other_ids_are_refused_with_row_and_column(tmp_path: Path, values: list[Any], message: str) -> None:
    table = [{"path": f"{i}.png", "person_id": value} for i, value in enumerate(values)]
    with pytest.raises(DataError, match=message):
        load_data(f"table:{write_table(tmp_path / 't.parquet', table)}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path;person_id\na.png;1\n", "its columns are separated by ';'; expected commas"),
        ("path,person_id,path\na.png,1,b.png\n", "column 'path' is in it twice"),
        ("path,person_id\na.png,1,2\n", "row 1: 1 value more than the table has columns"),
        ("path,person_id,timestamp\na.png,1," + "9" * 400 + "\n", "row 1: timestamp"),
    ],
)
def test_malformed_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load_data(f"table:{tmp_path / 't.csv'}")


@pytest.mark.parametrize("label", ["a\nb", "a\x1b[2J", "a\x00b", "a\x85b"])
@pytest.mark.parametrize("column", ["person_id", "camera_id"])
def test_labels_with_control_characters_are_refused(tmp_path: Path, column: str, label: str) -> None:
    with pytest.raises(DataError, match=r"1 entry .* has a control character or is not UTF-8"):
        load_data(f"table:{write_table(tmp_path / 't.parquet', rows(**{column: label}))}")


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


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_table_with_two_columns(tmp_path: Path, suffix: str) -> None:
    images = [{"path": f"{person}{image}.jpg", "person_id": person} for person in (7, 8, 9, 10) for image in range(3)]
    (data,) = load_data(f"table:{write_table(tmp_path / f't{suffix}', images)}")
    assert data.title == f"table:t{suffix} (2/2 identities, permuted, cameras unknown)"
    assert (len(data.train), len(data.query), len(data.gallery)) == (6, 2, 4)
    assert {s.camera_id for s in data.train} == {0, 1, 2}


def test_table_root_is_the_folder_of_its_paths(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv", rows())
    moved = path.rename(tmp_path / "sub.csv")
    (data,) = load_data(f"table:{moved}?root=/elsewhere")
    assert data.train[0].path == Path("/elsewhere/i/1.jpg")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("12", 12.0),
        ("2024-05-01T10:00:00", datetime(2024, 5, 1, 10, tzinfo=UTC).timestamp()),
        ("2024-05-01T12:00:00+02:00", datetime(2024, 5, 1, 10, tzinfo=UTC).timestamp()),
    ],
)
def test_table_timestamps(tmp_path: Path, written: str, seconds: float) -> None:
    (data,) = load_data(f"table:{write_table(tmp_path / 't.csv', rows(timestamp=written))}")
    assert data.train[0].timestamp == seconds


def test_parquet_timestamps_may_be_datetimes(tmp_path: Path) -> None:
    moment = datetime(2024, 5, 1, 10, tzinfo=UTC)
    table = [{"path": f"{i}.jpg", "person_id": i // 2, "camera_id": i % 2, "timestamp": moment} for i in range(4)]
    (data,) = load_data(f"table:{write_table(tmp_path / 't.parquet', table)}?train=1")
    assert {s.timestamp for s in data.train} == {moment.timestamp()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": ""}, "row 1: no path"),
        ({"person_id": " "}, "row 1: no person_id"),
        ({"camera_id": ""}, "row 1: no camera_id"),
        ({"split": "test"}, "row 1: split 'test'; expected train, query, gallery"),
        ({"timestamp": "noon"}, "row 1: timestamp 'noon'; expected seconds or ISO 8601"),
        ({"timestamp": "inf"}, "row 1: timestamp 'inf'; expected a finite"),
    ],
)
def test_table_rows_with_errors_are_numbered(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=f"1 entry .*{message}"):
        load_data(f"table:{write_table(tmp_path / 't.csv', rows(**changes))}")


def test_files_that_are_no_table_are_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv", [{"path": "a.jpg", "id": 1}])
    with pytest.raises(DataError, match=r"t.csv has no column person_id; expected path, person_id.*found path, id"):
        load_data(f"table:{path}")
    path.write_text("path,person_id\n")
    with pytest.raises(DataError, match="no image in"):
        load_data(f"table:{path}")
    path.write_bytes(b"path,person_id\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="not a CSV file in UTF-8"):
        load_data(f"table:{path}")
    write_image(tmp_path / "a.png").rename(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet: not a readable Parquet file"):
        load_data(f"table:{tmp_path / 'a.parquet'}")


def test_table_with_a_split_refuses_the_option_train(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="option train is for data without a split"):
        load_data(f"table:{write_table(tmp_path / 't.csv', rows())}?train=0.5")


def test_backslashes_between_folders_of_a_table_are_named_as_the_cause(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", rows())
    table.write_text(table.read_text().replace("i/1.jpg", "i\\1.jpg"))
    with pytest.raises(DataError, match=r"row 1: path .* has backslashes and does not exist; write / between"):
        load_data(f"table:{table}")
    (tmp_path / "i\\1.jpg").touch()
    assert load_data(f"table:{table}")[0].train[0].path == tmp_path / "i\\1.jpg"
