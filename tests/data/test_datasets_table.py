"""Tables of images. Oracle: the miniatures, numbered by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from data.layouts import write_image, write_images, write_table
from passerby.data.datasets import load_data
from passerby.errors import DataError
from passerby.types import Sample


def rows_of(samples: tuple[Sample, ...]) -> list[tuple[str, int, int]]:
    return [(sample.path.name, sample.person_id, sample.camera_id) for sample in samples]


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
