"""CUHK01 and CUHK03. Oracles: the rules of the split, repeated in the test, and the pixels of the miniature."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from data.layouts import (
    ABSENT,
    PAIRS,
    TESTED,
    cuhk03_pixels,
    write_cuhk01,
    write_cuhk03,
    write_cuhk03_protocol,
    write_image,
)
from passerby.data.datasets import load_data
from passerby.data.datasets.cuhk03_mat import ImageCell, parse_cell, read_cell
from passerby.data.images import read_image
from passerby.errors import DataError

SHARED = Path(__file__).parents[2].parent / "shared"


@pytest.fixture(scope="module")
def cuhk01(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cuhk01(tmp_path_factory.mktemp("cuhk01"))


def identities(samples: tuple) -> set[int]:
    return {sample.person_id for sample in samples}


@pytest.mark.parametrize(("split", "rest"), [(485, 486), (871, 100)])
def test_cuhk01_permuted_split_is_the_permutation_of_numpy(cuhk01: Path, split: int, rest: int) -> None:
    expected = set((np.random.default_rng(0).permutation(971) + 1)[:split].tolist())
    (data,) = load_data(f"cuhk01:{cuhk01}?split={split}")
    assert identities(data.train) == expected
    assert identities(data.query) == identities(data.gallery) == set(range(1, 972)) - expected
    assert (len(data.train), len(data.query), len(data.gallery)) == (4 * split, 2 * rest, 2 * rest)
    assert data.title == f"cuhk01 ({split}/{rest}, permuted)"


def test_cuhk01_sorted_split_takes_the_first(cuhk01: Path) -> None:
    (data,) = load_data(f"cuhk01:{cuhk01}?order=sorted")
    assert identities(data.train) == set(range(1, 486))
    assert data.variant == "485/486, sorted"


def test_cuhk01_queries_are_the_first_of_each_camera(cuhk01: Path) -> None:
    (data,) = load_data(f"cuhk01:{cuhk01 / 'campus'}")
    assert {(s.path.stem[4:], s.camera_id) for s in data.query} == {("001", 0), ("003", 1)}
    assert {(s.path.stem[4:], s.camera_id) for s in data.gallery} == {("002", 0), ("004", 1)}
    assert [s.path for s in data.train] == sorted(s.path for s in data.train)


def test_cuhk01_holdout_leaves_out_the_test_identities(cuhk01: Path) -> None:
    order = (np.random.default_rng(0).permutation(971) + 1).tolist()
    (data,) = load_data(f"cuhk01:{cuhk01}?holdout=85")
    assert identities(data.train) == set(order[:400])
    assert identities(data.query) == identities(data.gallery) == set(order[400:485])
    assert data.title == "cuhk01 (485/486, permuted, 85 training identities held out)"


def test_cuhk01_with_too_few_identities_is_refused(tmp_path: Path) -> None:
    write_cuhk01(tmp_path, identities=10)
    with pytest.raises(
        DataError, match="has 10 identities with valid names; split=485 needs more than 485 of the data set's 971"
    ):
        load_data(f"cuhk01:{tmp_path}")


def test_cuhk01_names_that_do_not_parse_are_refused(tmp_path: Path) -> None:
    write_cuhk01(tmp_path)
    for name in ("0001005.png", "001001.png", "0000001.png"):
        (tmp_path / "campus" / name).touch()
    with pytest.raises(DataError, match=r"3 entries .*0000001.png: the name does not parse; expected one like 0001003"):
        load_data(f"cuhk01:{tmp_path}")


@pytest.mark.shared
def test_cuhk01_itself() -> None:
    root = SHARED / "data" / "cuhk01"
    if not root.is_dir():
        pytest.skip(f"no {root}")
    (data,) = load_data(f"cuhk01:{root}")
    assert (len(data.train), len(data.query), len(data.gallery)) == (1940, 972, 972)
    assert read_image(data.train[0]).shape == (160, 60, 3)


def cell_names(kept: list[tuple[int, int]]) -> list[str]:
    return [
        ImageCell(pair, person, image).name
        for pair, person in kept
        for image in range(1, 11)
        if (pair, person, image) not in ABSENT
    ]


ALL_PERSONS = [(pair, person) for pair, count in enumerate(PAIRS, start=1) for person in range(1, count + 1)]


@pytest.mark.parametrize("kind", ["labeled", "detected"])
def test_cuhk03_classic_splits_by_the_test_set(tmp_path: Path, kind: str) -> None:
    mat = write_cuhk03(tmp_path)
    (data,) = load_data(f"cuhk03:{mat}?images={kind}&protocol=classic&split=19")
    train = [person for person in ALL_PERSONS if person not in TESTED]
    assert [s.key for s in data.train] == [f"{kind}/{name}" for name in cell_names(train)]
    assert [s.key for s in (*data.query, *data.gallery)] == [
        f"{kind}/{name}" for view in "12" for name in cell_names(TESTED) if name.split("_")[2] == view
    ]
    assert {s.camera_id for s in data.query} == {0}
    assert {s.camera_id for s in data.gallery} == {1}
    assert len(identities(data.train)) == len(train)
    assert (
        identities(data.query) == identities(data.gallery) == {2, 8, 13}
    )  # the pairs before the third have 4 + 3 persons
    assert data.protocol == "single-gallery-shot"
    assert data.title == f"cuhk03 ({kind}, classic protocol, split 19)"


def test_cuhk03_pixels_are_upright_and_read_from_the_file(tmp_path: Path) -> None:
    write_cuhk03(tmp_path)
    (data,) = load_data(f"cuhk03:{tmp_path}?protocol=classic")
    for sample in (*data.train[:12], *data.gallery[-3:]):
        cell = parse_cell((sample.key or "").removeprefix("labeled/"))
        assert cell is not None
        expected = cuhk03_pixels("labeled", cell.pair, cell.person, cell.image)
        assert np.array_equal(read_image(sample), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["cuhk-03.mat"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_cuhk03_is_read_in_a_forked_worker(tmp_path: Path) -> None:
    """The parent has the file open; the child opens a handle of its own and returns the same pixels."""
    mat = write_cuhk03(tmp_path)
    key = "detected/2_003_2_08.png"
    read_cell(mat, key)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert np.array_equal(pool.apply(read_cell, (mat, key)), cuhk03_pixels("detected", 2, 3, 8))


def protocol(root: Path, kind: str = "labeled", **changes: object) -> Path:
    """Two persons of pair 1 train; 1_003 and 2_001 are tested, with a query and a gallery image in each view."""
    names = [f"1_00{p}_{v}_{i:02d}.png" for p in (1, 2) for v, i in ((1, 1), (1, 2), (2, 6))]
    names += [f"{person}_{v}_{i:02d}.png" for person in ("1_003", "2_001") for v, i in ((1, 1), (1, 2), (2, 6), (2, 7))]
    arguments = {
        "names": names,
        "labels": [1] * 3 + [2] * 3 + [3] * 4 + [844] * 4,
        "splits": {"train": range(1, 7), "query": [7, 9, 11, 13], "gallery": [8, 10, 12, 14]},
    }
    return write_cuhk03_protocol(root, kind, **{**arguments, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["labeled", "detected"])
def test_cuhk03_new_protocol_follows_the_file_list(tmp_path: Path, kind: str) -> None:
    write_cuhk03(tmp_path)
    protocol(tmp_path, kind)
    (data,) = load_data(f"cuhk03:{tmp_path}?images={kind}")
    assert [(s.person_id, s.camera_id) for s in data.train] == [(1, 0), (1, 0), (1, 1), (2, 0), (2, 0), (2, 1)]
    assert [(s.person_id, s.camera_id) for s in data.query] == [(3, 0), (3, 1), (844, 0), (844, 1)]
    assert [s.key for s in data.gallery] == [
        f"{kind}/{name}.png" for name in ("1_003_1_02", "1_003_2_07", "2_001_1_02", "2_001_2_07")
    ]
    assert (data.protocol, data.title) == ("market", f"cuhk03 ({kind}, new protocol)")
    assert np.array_equal(read_image(data.query[3]), cuhk03_pixels(kind, 2, 1, 6))


def test_cuhk03_new_protocol_without_its_file_is_refused(tmp_path: Path) -> None:
    write_cuhk03(tmp_path)
    protocol(tmp_path, "detected")
    with pytest.raises(DataError, match=r"no file .*config_labeled.mat.*classic works.* holds cuhk-03.mat, cuhk03_new"):
        load_data(f"cuhk03:{tmp_path}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [1] * 13}, "14 names in filelist, but 13 labels"),
        ({"splits": {"train": [1, 2], "query": [3], "gallery": [15]}}, "gallery_idx runs from 15 to 15 of 14 names"),
        ({"splits": {"train": [1, 2], "query": [3]}}, "no gallery_idx in it"),
        ({"splits": {"train": [0, 2], "query": [3], "gallery": [4]}}, "train_idx runs from 0 to 2"),
        (
            {"names": ["1_001_2_01.png"], "labels": [1], "splits": {"train": [1], "query": [1], "gallery": [1]}},
            "1 entry .*1_001_2_01.png: the name in filelist does not parse",
        ),
    ],
)
def test_cuhk03_inconsistent_protocol_files_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    write_cuhk03(tmp_path)
    protocol(tmp_path, **changes)
    with pytest.raises(DataError, match=message):
        load_data(f"cuhk03:{tmp_path}")


def test_cuhk03_files_of_another_format_are_refused(tmp_path: Path) -> None:
    mat = tmp_path / "cuhk-03.mat"
    mat.write_bytes(b"not HDF5")
    with pytest.raises(DataError, match=r"cuhk-03.mat: not a readable HDF5 file"):
        load_data(f"cuhk03:{mat}?protocol=classic")
    with h5py.File(mat, "w") as file:
        file["something"] = 1
    with pytest.raises(DataError, match="no array 'labeled'; expected detected, labeled and testsets, found something"):
        load_data(f"cuhk03:{mat}?protocol=classic")
    (tmp_path / "cuhk03_new_protocol_config_labeled.mat").write_bytes(b"not a mat" * 50)
    with pytest.raises(DataError, match=r"config_labeled.mat: not a v5 .mat file"):
        load_data(f"cuhk03:{mat}")


def test_cuhk03_incompatible_options_are_refused(tmp_path: Path) -> None:
    write_cuhk03(tmp_path)
    with pytest.raises(DataError, match="option split belongs to protocol=classic"):
        load_data(f"cuhk03:{tmp_path}?split=3")
    with pytest.raises(DataError, match="option split='20'; expected an integer from 0 to 19"):
        load_data(f"cuhk03:{tmp_path}?protocol=classic&split=20")
    with pytest.raises(DataError, match="option images='both'; expected labeled or detected"):
        load_data(f"cuhk03:{tmp_path}?images=both")


def test_cuhk03_test_set_with_an_unknown_person_is_refused(tmp_path: Path) -> None:
    write_cuhk03(tmp_path, tested=[(1, 2), (2, 9)])
    with pytest.raises(DataError, match=r"has pair and person \(2, 9\), which is not in labeled"):
        load_data(f"cuhk03:{tmp_path}?protocol=classic")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("labeled/1_001_1_05.png", "no image labeled/1_001_1_05.png in it"),
        ("labeled/1_099_1_01.png", "no image"),
        ("labeled/9_001_1_01.png", "pair 9"),
        ("labeled/x.png", "expected one like"),
        ("other/1_001_1_01.png", "expected one like"),
    ],
)
def test_keys_without_an_image_are_named(tmp_path: Path, key: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_cell(write_cuhk03(tmp_path), key)


@pytest.mark.parametrize(
    "name", ["1_001_1_06.png", "1_001_2_05.png", "1_001_1_00.png", "0_001_1_01.png", "1_001_3_01.png"]
)
def test_inconsistent_cell_names_do_not_parse(name: str) -> None:
    assert parse_cell(name) is None


def test_a_folder_of_images_is_not_cuhk03(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"no file .*cuhk-03.mat; expected cuhk-03.mat or the folder.*holds a.jpg"):
        load_data(f"cuhk03:{tmp_path}")


def test_cuhk03_that_reads_other_files_is_refused(tmp_path: Path) -> None:
    """Links and data sets that are stored elsewhere could read any file of the machine."""
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(3 * 40 * 20))
    other = write_cuhk03(tmp_path / "other")

    def replace_array(file: h5py.File, name: str, value: object) -> None:
        del file[name]
        file[name] = value

    def first_image(file: h5py.File, dataset: h5py.Dataset) -> None:
        cells = file[file["labeled"][0, 0]]
        cells[0, 0] = dataset.ref

    mat = write_cuhk03(tmp_path / "0")
    with h5py.File(mat, "r+") as file:
        replace_array(file, "labeled", h5py.ExternalLink(str(other), "labeled"))
        replace_array(file, "detected", h5py.SoftLink("/testsets"))
    for kind in ("labeled", "detected"):
        with pytest.raises(DataError, match=f"{kind} is a link to another place"):
            load_data(f"cuhk03:{mat}?protocol=classic&images={kind}")

    mat = write_cuhk03(tmp_path / "1")
    with h5py.File(mat, "r+") as file:
        stored = file.create_dataset("x", (3, 20, 40), "u1", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        first_image(file, stored)
    with pytest.raises(DataError, match="is stored in another file"):
        load_data(f"cuhk03:{mat}?protocol=classic")
    with pytest.raises(DataError, match="is stored in another file"):
        read_cell(mat, "labeled/1_001_1_01.png")

    mat = write_cuhk03(tmp_path / "2")
    with h5py.File(mat, "r+") as file:
        layout = h5py.VirtualLayout((3, 20, 40), "u1")
        layout[:] = h5py.VirtualSource(str(other), "x", (3, 20, 40))
        first_image(file, file.create_virtual_dataset("x", layout))
    with pytest.raises(DataError, match="is stored in another file"):
        load_data(f"cuhk03:{mat}?protocol=classic")


def test_cuhk03_arrays_of_another_type_or_size_are_refused_before_they_are_read(tmp_path: Path) -> None:
    mat = write_cuhk03(tmp_path)
    with h5py.File(mat, "r+") as file:
        huge = file.create_dataset("huge", (3, 40_000, 40_000), "u1", chunks=(3, 1000, 1000))
        file[file["labeled"][0, 0]][0, 0] = huge.ref
    load_data(f"cuhk03:{mat}?protocol=classic")
    with pytest.raises(DataError, match=r"shape \(3, 40000, 40000\); expected at most 4096 pixels"):
        read_cell(mat, "labeled/1_001_1_01.png")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.full((2, 3), np.nan), "other values than whole numbers"),
        (np.full((2, 3), 1.5), "other values than whole numbers"),
        (np.zeros((3, 2)), r"shape \(3, 2\)"),
        (np.zeros((2, 20_000)), r"shape \(2, 20000\)"),
        (np.array([[b"a"], [b"b"]]), "expected .2, 100. numbers"),
        (7, r"shape \(\)"),
        (None, "an empty reference"),
    ],
)
def test_cuhk03_test_sets_of_another_type_are_refused(tmp_path: Path, value: object, message: str) -> None:
    mat = write_cuhk03(tmp_path)
    with h5py.File(mat, "r+") as file:
        file["testsets"][0, 0] = h5py.Reference() if value is None else file.create_dataset("x", data=value).ref
    with pytest.raises(DataError, match=message):
        load_data(f"cuhk03:{mat}?protocol=classic")


@pytest.mark.parametrize("value", [np.zeros((1, 20)), np.zeros(3), "text"])
@pytest.mark.parametrize("name", ["testsets", "labeled"])
def test_cuhk03_without_cell_arrays_is_refused(tmp_path: Path, name: str, value: object) -> None:
    mat = write_cuhk03(tmp_path)
    with h5py.File(mat, "r+") as file:
        del file[name]
        file[name] = value
    with pytest.raises(DataError, match=f"{name} has"):
        load_data(f"cuhk03:{mat}?protocol=classic")


def test_cuhk03_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "cuhk-03.mat")
    with pytest.raises(DataError, match=r"cuhk-03\.mat is a pipe, a device or a socket; expected a file"):
        load_data(f"cuhk03:{tmp_path}?protocol=classic")
    with pytest.raises(DataError, match="not a file"):
        read_cell(tmp_path / "cuhk-03.mat", "labeled/1_001_1_01.png")
    (tmp_path / "cuhk-03.mat").unlink()
    (tmp_path / "cuhk-03.mat").symlink_to("cuhk-03.mat")
    with pytest.raises(DataError, match=r"cuhk-03\.mat is a broken link; expected a file"):
        load_data(f"cuhk03:{tmp_path}?protocol=classic")
