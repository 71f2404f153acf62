"""MARS, iLIDS-VID and PRID 2011. Oracle: the names and tables of the miniatures, worked by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from data.layouts import write_image
from passerby.data.datasets import load_data
from passerby.data.datasets.track_samples import make_track
from passerby.data.doctor import check
from passerby.data.fingerprint import fingerprint
from passerby.data.statistics import stats
from passerby.errors import DataError
from passerby.types import Sample


def rows_of(samples: tuple[Sample, ...]) -> list[tuple[str, int, int, int | None]]:
    return [(s.path.name, s.person_id, s.camera_id, s.track) for s in samples]


def tracks_of(samples: tuple[Sample, ...]) -> list[tuple[int, int]]:
    """Person and camera of each track, in order."""
    return list(dict.fromkeys((s.track, s.person_id, s.camera_id) for s in samples))  # type: ignore[return-value]


TRAIN = {"0001C1": 2, "0001C2": 1, "0003C6": 2}
TEST = {"00-1C1": 2, "0000C2": 1, "0002C1": 3, "0002C3": 2, "0004C5": 1}
QUERIES = [3, 4]  # 0002 in cameras 1 and 3, from 1


def write_mars(root: Path, *, queries: list[int] = QUERIES, train: Any = None, compressed: bool = True) -> Path:
    (root / "info").mkdir(parents=True)
    for split, tracks in (("train", TRAIN), ("test", TEST)):
        names, rows = [], []
        for track, count in tracks.items():
            person = {"00-1": -1}.get(track[:4]) or int(track[:4])
            rows.append([len(names) + 1, len(names) + count, person, int(track[5])])
            names += [f"{track}T0001F{frame + 1:03}.jpg" for frame in range(count)]
        for name in names:
            write_image(root / f"bbox_{split}" / name[:4] / name, content=name)
        (root / "info" / f"{split}_name.txt").write_text("\n".join(names) + "\n")
        table = rows if train is None or split == "test" else train
        scipy.io.savemat(
            root / "info" / f"tracks_{split}_info.mat",
            {f"track_{split}_info": np.asarray(table, np.int32)},
            do_compression=compressed,
        )
    scipy.io.savemat(root / "info" / "query_IDX.mat", {"query_IDX": np.asarray([queries], np.int32)})
    return root


@pytest.mark.parametrize("compressed", [True, False])
def test_mars_tables_become_tracks(tmp_path: Path, compressed: bool) -> None:
    """Tracks are numbered 0 to 2 (train) and 3 to 7 (test); junk is dropped and the distractor stays."""
    (data,) = load_data(f"mars:{write_mars(tmp_path, compressed=compressed)}")
    assert rows_of(data.train) == [
        ("0001C1T0001F001.jpg", 1, 0, 0),
        ("0001C1T0001F002.jpg", 1, 0, 0),
        ("0001C2T0001F001.jpg", 1, 1, 1),
        ("0003C6T0001F001.jpg", 3, 5, 2),
        ("0003C6T0001F002.jpg", 3, 5, 2),
    ]
    assert tracks_of(data.query) == [(5, 2, 0), (6, 2, 2)]
    assert tracks_of(data.gallery) == [(4, 0, 1), (5, 2, 0), (6, 2, 2), (7, 4, 4)]
    assert (len(data.query), data.junk, data.distractors, data.title) == (5, 2, 1, "mars (tracks)")
    assert stats(f"mars:{tmp_path}")[0].tracks == 7
    assert all(sample.path.is_file() for sample in (*data.train, *data.gallery))
    (data,) = load_data(f"mars:{tmp_path}?gallery=rest")
    assert tracks_of(data.gallery) == [(4, 0, 1), (7, 4, 4)]
    assert data.variant == "tracks, gallery without the queries"
    (data,) = load_data(f"mars:{tmp_path}?frames=2")
    assert [s.path.name for s in data.query[:2]] == ["0002C1T0001F001.jpg", "0002C1T0001F003.jpg"]
    assert len(data.train) == 5


def test_a_query_track_without_cameras_is_not_matched_with_itself(tmp_path: Path) -> None:
    """Every track has one camera of its own, the same as query and as gallery item."""
    (data,) = load_data(f"mars:{write_mars(tmp_path)}?camera=none")
    assert tracks_of(data.query) == [(5, 2, 0), (6, 2, 1)]
    assert tracks_of(data.gallery) == [(4, 0, 0), (5, 2, 0), (6, 2, 1), (7, 4, 0)]


def test_mars_check_finds_no_error(tmp_path: Path) -> None:
    findings = check(f"mars:{write_mars(tmp_path)}")
    assert [finding.message for finding in findings if finding.severity == "error"] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": [[1, 9, 1, 1]]}, r"row 1: images 1 to 9 of 5 names"),
        ({"train": [[0, 1, 1, 1]]}, r"row 1: images 0 to 1 of 5 names"),
        ({"train": [[1, 3, 1, 1]]}, r"row 1: person 1 in camera 1, but its image is 0001C2T0001F001.jpg"),
        ({"train": [[1, 1, 2, 1]]}, r"row 1: person 2 in camera 1, but its image is 0001C1T0001F001.jpg"),
        ({"train": [[1, 1, 1]]}, r"3 numbers; expected rows of 4 whole numbers"),
        ({"queries": [9]}, r"query_IDX.mat: tracks 9 to 9 of 5 test tracks"),
        ({"queries": [2, 3]}, r"track 2 is of a distractor and a query"),
    ],
)
def test_mars_tables_that_contradict_the_names_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(f"mars:{write_mars(tmp_path, **changes)}")


def test_mars_without_its_tables_is_refused(tmp_path: Path) -> None:
    write_mars(tmp_path)
    (tmp_path / "info" / "test_name.txt").write_text("../../etc/passwd\n")
    with pytest.raises(DataError, match=r"tracks_test_info.mat: row 1: images 1 to 2 of 1 name"):
        load_data(f"mars:{tmp_path}")
    (tmp_path / "info" / "query_IDX.mat").write_bytes(b"x")
    with pytest.raises(DataError, match=r"query_IDX.mat: not a v5 .mat file"):
        load_data(f"mars:{tmp_path}")
    (tmp_path / "info" / "query_IDX.mat").unlink()
    with pytest.raises(
        DataError, match=r"no file .*query_IDX.mat; expected the tables that come with MARS; .* holds test"
    ):
        load_data(f"mars:{tmp_path}")


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (2, [0, 9]), (3, [0, 4, 9]), (10, list(range(10)))])
def test_frames_are_evenly_spaced(count: int, expected: list[int]) -> None:
    paths = [Path(str(number)) for number in range(10)]
    assert [s.path for s in make_track(paths, 1, 0, track=0, frames=count)] == [paths[i] for i in expected]


def write_ilids(root: Path, *, persons: int = 6) -> Path:
    for person in range(1, persons + 1):
        for camera in (1, 2):
            for frame in range(3):
                name = f"cam{camera}_person{person:03}_{frame:05}.png"
                write_image(root / "i-LIDS-VID" / "sequences" / f"cam{camera}" / f"person{person:03}" / name)
    return root


def write_ilids_mat(root: Path, rows: np.ndarray) -> None:
    (root / "train-test people splits").mkdir(exist_ok=True)
    scipy.io.savemat(root / "train-test people splits" / "train_test_splits_ilidsvid.mat", {"ls_set": rows})


def persons_of(samples: tuple[Sample, ...]) -> list[int]:
    return sorted({sample.person_id for sample in samples})


@pytest.mark.parametrize("split", [0, 7])
def test_ilidsvid_tests_the_first_half_of_a_row(tmp_path: Path, split: int) -> None:
    rows = np.stack([np.random.default_rng(seed).permutation(6) + 1 for seed in range(10)]).astype(np.uint16)
    write_ilids_mat(write_ilids(tmp_path), rows)
    (data,) = load_data(f"ilidsvid:{tmp_path}?split={split}&frames=1")
    assert persons_of(data.query) == persons_of(data.gallery) == sorted(rows[split, :3].tolist())
    assert persons_of(data.train) == sorted(rows[split, 3:].tolist())
    assert {s.camera_id for s in data.query} == {0}
    assert {s.camera_id for s in data.gallery} == {1}
    assert (len(data.train), len(data.query), len(data.gallery)) == (18, 3, 3)
    assert len(tracks_of((*data.train, *data.query, *data.gallery))) == 12
    assert data.title == f"ilidsvid (tracks, split {split})"


def test_ilidsvid_without_a_file_draws_a_split_and_states_it(tmp_path: Path) -> None:
    order = (np.random.default_rng(4).permutation(6) + 1).tolist()
    (data,) = load_data(f"ilidsvid:{write_ilids(tmp_path)}?split=4")
    assert persons_of(data.train) == sorted(order[:3])
    assert data.title == "ilidsvid (tracks, own split 4)"
    assert any("not the published splits" in finding.example for finding in check(f"ilidsvid:{tmp_path}"))
    assert len(fingerprint([data])) == 64


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones((10, 5)), "50 numbers for 6 people; expected 10 rows"),
        (np.full((10, 6), 7.0), "persons 7 to 7 of 6"),
        (np.full((10, 6), 1.5), "expected rows of 1 whole numbers"),
        (np.ones((10, 6)), "person 1 in train and in test"),
    ],
)
def test_ilidsvid_files_of_other_content_are_refused(tmp_path: Path, rows: np.ndarray, message: str) -> None:
    write_ilids_mat(write_ilids(tmp_path), rows)
    with pytest.raises(DataError, match=message):
        load_data(f"ilidsvid:{tmp_path}")


def test_torchreids_splits_of_ilidsvid_are_read_by_name(tmp_path: Path) -> None:
    splits = [{"train": ["person001", "person005"], "test": ["person002", "person006"]}]
    write_ilids(tmp_path)
    (tmp_path / "splits.json").write_text(json.dumps(splits))
    (data,) = load_data(f"ilidsvid:{tmp_path}")
    assert (persons_of(data.train), persons_of(data.query)) == ([1, 5], [2, 6])
    with pytest.raises(DataError, match="the file has 1 split; expected split 3 in it"):
        load_data(f"ilidsvid:{tmp_path}?split=3")
    for content, message in (
        ([{"train": ["person009"], "test": ["person001"]}], "has 1 person without images in both cameras"),
        ([{"train": ["anna"], "test": []}], "expected a list of splits with the identities of train and test"),
        ([{"train": 7}], "expected a list of splits"),
        (7, "expected a list of splits"),
    ):
        (tmp_path / "splits.json").write_text(json.dumps(content))
        with pytest.raises(DataError, match=message):
            load_data(f"ilidsvid:{tmp_path}")
    (tmp_path / "splits.json").write_text("{")
    with pytest.raises(DataError, match=r"splits.json: cannot be read"):
        load_data(f"ilidsvid:{tmp_path}")


def write_prid(root: Path) -> Path:
    """Persons 1 to 4 are in both cameras, 4 with 21 images; 201 is another person in each camera."""
    for camera in ("cam_a", "cam_b"):
        for person in (1, 2, 3, 4, 201):
            write_image(root / "prid_2011" / "single_shot" / camera / f"person_{person:04}.png", size=(8, 4))
            for image in range(21 if person == 4 else 22):
                name = f"{image + 1:04}.png"
                write_image(root / "prid_2011" / "multi_shot" / camera / f"person_{person:04}" / name, size=(8, 4))
    return root


@pytest.fixture(scope="module")
def prid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prid(tmp_path_factory.mktemp("prid"))


def test_prid2011_multi_shot_takes_persons_with_more_than_21_images(prid: Path) -> None:
    (data,) = load_data(f"prid2011:{prid}?frames=5")
    assert sorted([*persons_of(data.train), *persons_of(data.query)]) == [1, 2, 3]
    assert persons_of(data.query) == persons_of(data.gallery)
    assert {(s.camera_id, s.track) for s in data.query} == {(0, 2 * p) for p in persons_of(data.query)}
    assert len(data.query) == len(data.gallery) == 5 * len(persons_of(data.query))
    assert data.title == "prid2011 (tracks, own split 0)"


def test_prid2011_single_shot_adds_the_persons_of_camera_b_to_the_gallery(prid: Path) -> None:
    (data,) = load_data(f"prid2011:{prid / 'prid_2011'}?shots=single&split=2")
    assert sorted([*persons_of(data.train), *persons_of(data.query)]) == [1, 2, 3, 4]
    assert persons_of(data.gallery) == [*persons_of(data.query), 201]
    assert {s.track for s in data.gallery} == {None}
    assert data.title == "prid2011 (single-shot, own split 2)"
    with pytest.raises(DataError, match="option frames is for shots=multi"):
        load_data(f"prid2011:{prid}?shots=single&frames=2")


def test_prid2011_splits_files_are_found_beside_the_folder(tmp_path: Path) -> None:
    write_prid(tmp_path)
    (tmp_path / "splits_single_shot.json").write_text(json.dumps([{"train": [1, 4], "test": [2, 3]}]))
    (tmp_path / "splits_prid2011.json").write_text(json.dumps([{"train": ["person_0001"], "test": ["person_0003"]}]))
    for folder in (tmp_path, tmp_path / "prid_2011"):
        (data,) = load_data(f"prid2011:{folder}?shots=single")
        assert (persons_of(data.train), persons_of(data.query), persons_of(data.gallery)) == (
            [1, 4],
            [2, 3],
            [2, 3, 201],
        )
        (data,) = load_data(f"prid2011:{folder}")
        assert (persons_of(data.train), persons_of(data.gallery)) == ([1], [3])
        assert data.variant == "tracks, split 0"


def test_names_without_a_number_are_refused(tmp_path: Path) -> None:
    write_prid(tmp_path)
    write_image(tmp_path / "prid_2011" / "multi_shot" / "cam_a" / "anna" / "1.png")
    write_image(tmp_path / "prid_2011" / "single_shot" / "cam_a" / "anna.png")
    with pytest.raises(DataError, match=r"1 entry .*anna: the name of the folder has no number"):
        load_data(f"prid2011:{tmp_path}")
    with pytest.raises(
        DataError, match=r"1 entry .*anna.png: the name does not parse; expected one like person_0001.png"
    ):
        load_data(f"prid2011:{tmp_path}?shots=single")
