"""Copies of published data sets in other layouts, and data sets of vehicles. Oracle: the names, numbered by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.layouts import (
    MARKET,
    noise,
    write_cuhk01,
    write_cuhk03,
    write_cuhk03_protocol,
    write_image,
    write_images,
    write_market,
    write_msmt17,
    write_table,
)
from passerby.data.datasets import DATASETS, load_data
from passerby.data.doctor import check
from passerby.data.images import read_image
from passerby.data.statistics import stats
from passerby.errors import DataError
from passerby.types import Sample


def rows_of(samples: tuple[Sample, ...]) -> list[tuple[str, int, int]]:
    return [(sample.path.name, sample.person_id, sample.camera_id) for sample in samples]


MSMT17_PERSONS = {
    "train": ["0000/0000_000_01_0303morning_0015_0.jpg", "0001/0001_000_15_0113noon_0021_1.jpg"],
    "test": [
        "0000/0000_000_02_0303noon_0201_0.jpg",
        "0000/0000_001_02_0303noon_0301_0.jpg",
        "0000/0000_002_14_0303noon_0301_0.jpg",
    ],
}


@pytest.mark.parametrize("folders", [("train", "test"), ("mask_train_v2", "mask_test_v2")])
@pytest.mark.parametrize("inside", ["", "MSMT17_V1"])
def test_msmt17_without_lists_takes_the_first_image_of_each_camera_as_query(
    tmp_path: Path, folders: tuple[str, str], inside: str
) -> None:
    for folder, names in zip(folders, MSMT17_PERSONS.values(), strict=True):
        write_images(tmp_path / inside / folder / "0000", [n.split("/")[1] for n in names if n.startswith("0000/")])
        write_images(tmp_path / inside / folder / "0001", [n.split("/")[1] for n in names if n.startswith("0001/")])
    (data,) = load_data(f"msmt17:{tmp_path}")
    assert rows_of(data.train) == [
        ("0000_000_01_0303morning_0015_0.jpg", 1, 0),
        ("0001_000_15_0113noon_0021_1.jpg", 2, 14),
    ]
    assert rows_of(data.query) == [
        ("0000_000_02_0303noon_0201_0.jpg", 3, 1),
        ("0000_002_14_0303noon_0301_0.jpg", 3, 13),
    ]
    assert rows_of(data.gallery) == [("0000_001_02_0303noon_0301_0.jpg", 3, 1)]
    assert data.title == "msmt17 (no list files, own queries)"
    assert any("not the published 11,659 queries" in finding.example for finding in check(f"msmt17:{tmp_path}"))


@pytest.mark.parametrize("name", ["{p}_000_{c:02}_0303noon_0301_0.jpg", "{p}_c{c}_0030.jpg", "{p}_c{c}s1_0030.jpg"])
def test_flat_copies_of_msmt17_number_test_identities_after_those_of_the_training(tmp_path: Path, name: str) -> None:
    """Person 0000 is a person and no distractor, and differs between training and test."""
    images = {
        "bounding_box_train": [("0000", 1), ("0003", 15)],
        "query": [("0000", 2)],
        "bounding_box_test": [("0000", 3), ("0001", 3)],
    }
    for folder, content in images.items():
        write_images(tmp_path / folder, [name.format(p=p, c=c) for p, c in content])
    (data,) = load_data(f"msmt17:{tmp_path}")
    ids = [[(s.person_id, s.camera_id) for s in part] for part in (data.train, data.query, data.gallery)]
    assert ids == [[(1, 0), (4, 14)], [(5, 1)], [(5, 2), (6, 2)]]
    assert data.title == "msmt17"
    (data,) = load_data(f"msmt17:{tmp_path}?camera=none")
    ids = [[(s.person_id, s.camera_id) for s in part] for part in (data.train, data.query, data.gallery)]
    assert ids == [[(1, 0), (4, 0)], [(5, 0)], [(5, 1), (6, 0)]]


def test_msmt17_names_lists_and_folders_that_cannot_be_used(tmp_path: Path) -> None:
    write_images(tmp_path / "a" / "train" / "0000", ["x.jpg", "0000_000_00_a.jpg"])
    write_images(tmp_path / "a" / "train" / "anna", ["0000_000_01_a.jpg"])
    write_images(tmp_path / "a" / "test" / "0000", ["0000_000_01_a.jpg"])
    with pytest.raises(DataError, match=r"3 entries .*(x.jpg: the name does not|cameras 1 to|is no number)"):
        load_data(f"msmt17:{tmp_path / 'a'}")
    reasons = " ".join(finding.example for finding in check(f"msmt17:{tmp_path / 'a'}", decode=False))
    assert "0000_000_00_a.jpg: ids of people are below" in reasons
    write_msmt17(tmp_path / "b")
    for line, message in (
        ("../../0000_000_01_a.jpg 0", "a path outside train/"),
        ("/etc/0000_000_01_a.jpg 0", "a path outside train/"),
        (f"0000/0000_000_01_a.jpg {'9' * 5000}", "ids of people are below"),
    ):
        (tmp_path / "b" / "list_val.txt").write_text(f"{line}\n")
        with pytest.raises(DataError, match=message):
            load_data(f"msmt17:{tmp_path / 'b'}")
    (tmp_path / "b" / "list_val.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"list_val.txt: not a text file in UTF-8"):
        load_data(f"msmt17:{tmp_path / 'b'}")


def test_veri776_reads_vehicles_by_the_market_rule(tmp_path: Path) -> None:
    write_images(tmp_path / "image_train", ["0001_c001_00016450_0.jpg", "0001_c020_00016460_0.jpg"])
    write_images(tmp_path / "image_query", ["0002_c002_00030600_0.jpg"])
    write_images(tmp_path / "image_test", ["0002_c002_00030600_1.jpg", "0005_c003_00077640_0.jpg"])
    (data,) = load_data(f"veri776:{tmp_path}")
    assert rows_of(data.train) == [("0001_c001_00016450_0.jpg", 1, 0), ("0001_c020_00016460_0.jpg", 1, 19)]
    assert rows_of(data.query) == [("0002_c002_00030600_0.jpg", 2, 1)]
    assert rows_of(data.gallery) == [("0002_c002_00030600_1.jpg", 2, 1), ("0005_c003_00077640_0.jpg", 5, 2)]
    assert (data.protocol, data.title) == ("market", "veri776")
    (tmp_path / "image_test").rename(tmp_path / "test")
    with pytest.raises(
        DataError, match=r"no folder .*image_test; expected a folder with image_train/, image_query/ and"
    ):
        load_data(f"veri776:{tmp_path}")


def write_vehicleid(root: Path) -> Path:
    lists = {
        "train_list.txt": ["0000001 7", "0000002 7", "0000003 0"],
        "test_list_800.txt": ["0000013 9", "0000011 9", "0000012 9", "0000021 4", "0000022 4", "0000031 5"],
    }
    (root / "train_test_split").mkdir(parents=True)
    for file, lines in lists.items():
        (root / "train_test_split" / file).write_text("\n".join(lines) + "\n")
        write_images(root / "image", [f"{line.split()[0]}.jpg" for line in lines])
    return root


@pytest.mark.parametrize("draw", [0, 3])
def test_vehicleid_draws_one_gallery_image_of_each_vehicle(tmp_path: Path, draw: int) -> None:
    """The draw is repeated: vehicles in the order of their images, one image of each by `default_rng(draw)`."""
    (data,) = load_data(f"vehicleid:{write_vehicleid(tmp_path)}?draw={draw}")
    assert rows_of(data.train) == [("0000001.jpg", 8, 0), ("0000002.jpg", 8, 1), ("0000003.jpg", 1, 0)]
    generator = np.random.default_rng(draw)
    vehicles = [["0000011", "0000012", "0000013"], ["0000021", "0000022"], ["0000031"]]
    drawn = [images[generator.integers(len(images))] for images in vehicles]
    assert [s.path.stem for s in data.gallery] == drawn
    assert [s.path.stem for s in data.query] == [name for images in vehicles for name in images if name not in drawn]
    assert [s.person_id for s in data.gallery] == [10, 5, 6]
    assert data.title == f"vehicleid (800 test vehicles, draw {draw}, cameras unknown)"


def test_vehicleid_without_a_list_or_with_other_lines_is_refused(tmp_path: Path) -> None:
    write_vehicleid(tmp_path)
    with pytest.raises(DataError, match=r"no file .*test_list_1600.txt; expected .*holds test_list_800.txt"):
        load_data(f"vehicleid:{tmp_path}?test=1600")
    with pytest.raises(DataError, match="option test='900'; expected 800 or 1600 or 2400"):
        load_data(f"vehicleid:{tmp_path}?test=900")
    (tmp_path / "train_test_split" / "train_list.txt").write_text("0000001.jpg 7\n0000001 x\n../a 1\n0000001 7\n")
    with pytest.raises(
        DataError, match=r"3 entries .*train_list.txt:1: '0000001.jpg 7' does not parse; expected an im"
    ):
        load_data(f"vehicleid:{tmp_path}")


def write_layumi(root: Path) -> Path:
    names = {
        "train_all": "bounding_box_train",
        "query": "query",
        "gallery": "bounding_box_test",
        "multi-query": "gt_bbox",
    }
    for folder, source in names.items():
        for name in MARKET[source]:
            write_image(root / "pytorch" / folder / name.split("_")[0] / name)
    for name in ("0002_c2s1_000301_01.jpg", "0007_c3s3_077419_03.jpg"):
        write_image(root / "pytorch" / "train" / name[:4] / name)
    return root


@pytest.mark.parametrize("inside", ["", "pytorch"])
def test_layumi_folders_equal_the_market_folders(tmp_path: Path, inside: str) -> None:
    """The same names in both layouts give the same samples, junk, distractors and multi-query images."""
    (market,) = load_data(f"market1501:{write_market(tmp_path / 'market')}")
    (data,) = load_data(f"layumi:{write_layumi(tmp_path) / inside}")
    for split in ("train", "query", "gallery", "multi_query"):
        assert sorted(rows_of(getattr(data, split))) == sorted(rows_of(getattr(market, split)))
    assert (data.junk, data.distractors) == (market.junk, market.distractors) == (3, 2)
    (data,) = load_data(f"layumi:{tmp_path}?train=train")
    assert len(data.train) == 2
    assert data.title == "layumi (without the validation images)"


def test_layumi_images_in_the_folder_of_another_identity_are_refused(tmp_path: Path) -> None:
    write_layumi(tmp_path)
    write_image(tmp_path / "pytorch" / "query" / "0001" / "0009_c1s1_a.jpg")
    with pytest.raises(DataError, match=r"1 entry .*the name has another identity than its folder 0001/"):
        load_data(f"layumi:{tmp_path}")


def test_layumi_reads_names_of_dukemtmc_and_cuhk03np(tmp_path: Path) -> None:
    write_images(tmp_path / "train_all" / "0001", ["0001_c2_f0046182.jpg", "0001_c1_1.png"])
    write_images(tmp_path / "query" / "0003", ["0003_c1_21.png"])
    write_images(tmp_path / "gallery" / "0003", ["0003_c2_24.png"])
    (data,) = load_data(f"layumi:{tmp_path}")
    assert rows_of(data.train) == [("0001_c1_1.png", 1, 0), ("0001_c2_f0046182.jpg", 1, 1)]


NAMES = ["1_001_1_01.png", "1_001_2_06.png", "1_003_1_01.png", "1_003_2_06.png", "2_001_1_01.png", "2_001_2_06.png"]


def write_unpacked(root: Path, splits: dict[str, Any], *, protocol: str = "new", kind: str = "labeled") -> Path:
    for name in NAMES:
        write_image(root / f"images_{kind}" / name, content=name)
    content = {
        part: [[f"C:\\data\\cuhk03\\images_{kind}\\{name}", person, int(name[6]) - 1] for name, person in entries]
        for part, entries in splits.items()
    }
    (root / f"splits_{protocol}_{kind}.json").write_text(json.dumps([content]))
    return root


def test_cuhk03_as_torchreid_unpacks_it(tmp_path: Path) -> None:
    """Training identity 0 is 1; test identities 3 and 844 follow it as 5 and 846."""
    splits = {
        "train": [(NAMES[0], 0), (NAMES[1], 0)],
        "query": [(NAMES[2], 3), (NAMES[5], 844)],
        "gallery": [(NAMES[3], 3), (NAMES[4], 844)],
    }
    (data,) = load_data(f"cuhk03:{write_unpacked(tmp_path, splits)}")
    assert rows_of(data.train) == [("1_001_1_01.png", 1, 0), ("1_001_2_06.png", 1, 1)]
    assert rows_of(data.query) == [("1_003_1_01.png", 5, 0), ("2_001_2_06.png", 846, 1)]
    assert rows_of(data.gallery) == [("1_003_2_06.png", 5, 1), ("2_001_1_01.png", 846, 0)]
    assert (data.protocol, data.title) == ("market", "cuhk03 (labeled, new protocol)")
    assert np.array_equal(read_image(data.query[0]), noise("1_003_1_01.png"))


def test_unpacked_cuhk03_by_the_classic_protocol_compares_the_two_views(tmp_path: Path) -> None:
    test = [(name, int(name[0])) for name in NAMES[2:]]
    splits = {"train": [(NAMES[0], 0), (NAMES[1], 0)], "query": test, "gallery": test}
    write_unpacked(tmp_path, splits, protocol="classic", kind="detected")
    (data,) = load_data(f"cuhk03:{tmp_path}?protocol=classic&images=detected")
    assert [s.path.name for s in data.query] == ["1_003_1_01.png", "2_001_1_01.png"]
    assert [s.path.name for s in data.gallery] == ["1_003_2_06.png", "2_001_2_06.png"]
    assert (data.protocol, data.variant) == ("single-gallery-shot", "detected, classic protocol, split 0")
    with pytest.raises(DataError, match="1 split; expected split 1 in it"):
        load_data(f"cuhk03:{tmp_path}?protocol=classic&images=detected&split=1")
    with pytest.raises(DataError, match=r"no file .*splits_new_detected.json; expected the splits that Torchreid"):
        load_data(f"cuhk03:{tmp_path}?images=detected")
    with pytest.raises(DataError, match=r"no folder .*images_labeled; expected the images that Torchreid unpacks"):
        load_data(f"cuhk03:{tmp_path}")


def test_unpacked_cuhk03_uses_the_published_protocol_file_if_it_is_there(tmp_path: Path) -> None:
    write_unpacked(tmp_path, {})
    splits = {"train": [1, 2], "query": [3, 5], "gallery": [4, 6]}
    write_cuhk03_protocol(tmp_path, "labeled", names=NAMES, labels=[1, 1, 3, 3, 844, 844], splits=splits)
    (data,) = load_data(f"cuhk03:{tmp_path}")
    assert rows_of(data.gallery) == [("1_003_2_06.png", 3, 1), ("2_001_2_06.png", 844, 1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("{}", "expected a list of splits"),
        ("[[]]", "expected a list of splits"),
        ('[{"train": []}]', "no list 'query' in a split"),
        ('[{"train": [["x/1_001_1_01.png", 1.5, 0]], "query": [], "gallery": []}]', "train, entry 0: .*does not parse"),
        ('[{"train": [["x/1_001_1_01.png", true, 0]], "query": [], "gallery": []}]', "entry 0: .*does not parse"),
        ('[{"train": [["x/a.png", 1, 0]], "query": [], "gallery": []}]', "entry 0: .*does not parse"),
        ('[{"train": [7], "query": [], "gallery": []}]', "entry 0: 7 does not parse"),
    ],
)
def test_other_json_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    write_unpacked(tmp_path, {})
    (tmp_path / "splits_new_labeled.json").write_text(content)
    with pytest.raises(DataError, match=message):
        load_data(f"cuhk03:{tmp_path}")


def test_every_reader_takes_the_options_camera_and_copies() -> None:
    assert all({"camera", "copies"} <= set(reader.options) for reader in DATASETS.values())


def test_cuhk01_cuhk03_synth_and_tables_without_cameras_count_matches_in_the_querys_camera(tmp_path: Path) -> None:
    write_cuhk01(tmp_path / "cuhk01")
    write_cuhk03(tmp_path / "cuhk03")
    table = write_table(
        tmp_path / "t.csv", [{"path": f"{i}.png", "person_id": i // 3, "camera_id": 5} for i in range(12)]
    )
    for spec in (
        f"cuhk01:{tmp_path / 'cuhk01'}?camera=none",
        f"cuhk03:{tmp_path / 'cuhk03'}?protocol=classic&camera=none",
        "synth:identities=4,cameras=2,images=2,height=32,camera=none",
        f"table:{table}?camera=none",
    ):
        (data,) = load_data(spec)
        for person in {sample.person_id for sample in (*data.query, *data.gallery)} - {0}:
            own = [s for s in (*data.query, *data.gallery) if s.person_id == person]
            assert len({sample.camera_id for sample in own}) == len(own)
        assert data.variant.endswith("cameras unknown")
        assert stats(spec)[0].query_images == len(data.query)


def test_copies_inside_cuhk03_are_compared_by_their_pixels(tmp_path: Path) -> None:
    import h5py

    mat = write_cuhk03(tmp_path)
    with h5py.File(mat, "r+") as file:
        cells = file[file["labeled"][0, 0]]
        cells[5, 1] = cells[0, 1]  # the first image of the second view of test person 2 is that of the first view
    spec = f"cuhk03:{mat}?protocol=classic"
    whole, rest = (load_data(f"{spec}{option}")[0].gallery for option in ("", "&copies=exclude"))
    assert len(rest) == len(whole) - 1
    assert {sample.key for sample in whole} - {sample.key for sample in rest} == {"labeled/1_002_2_06.png"}
