"""Market-1501 and data sets in its layout. Oracle: the names of the miniature, counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.layouts import CUHK03NP, DUKE, MARKET, write_image, write_images, write_market
from passerby.data.datasets import load_data
from passerby.errors import DataError
from passerby.synthesis import dataset


def rows_of(samples: tuple) -> list[tuple[str, int, int]]:
    return [(sample.path.name, sample.person_id, sample.camera_id) for sample in samples]


def test_market_names_are_parsed(tmp_path: Path) -> None:
    (data,) = load_data(f"market1501:{write_market(tmp_path / 'market')}")
    assert rows_of(data.train) == [
        ("0002_c12s1_000301_01.jpg", 2, 11),
        ("0002_c1s1_000451_03.jpg", 2, 0),
        ("0002_c2s1_000301_01.jpg", 2, 1),
        ("0007_c1s6_028546_01.jpg", 7, 0),
        ("0007_c3s3_077419_03.jpg", 7, 2),
    ]
    assert [(s.person_id, s.camera_id) for s in data.query] == [(1, 0), (1, 1), (3, 0)]
    assert (data.protocol, data.variant, data.title, data.root) == ("market", "", "market1501", tmp_path / "market")


def test_junk_is_dropped_and_distractors_stay_in_the_gallery(tmp_path: Path) -> None:
    (data,) = load_data(f"market1501:{write_market(tmp_path)}")
    assert [s.person_id for s in data.gallery] == [0, 0, 1, 1, 3]
    assert (data.junk, data.distractors) == (3, 2)


def test_multi_query_keeps_images_with_identity_and_camera_of_a_query(tmp_path: Path) -> None:
    """Of gt_bbox, 0001_c3 is a camera without a query and 0002 a training identity."""
    (data,) = load_data(f"market1501:{write_market(tmp_path)}")
    assert rows_of(data.multi_query) == [("0001_c1s1_001051_00.jpg", 1, 0), ("0001_c1s1_002301_00.jpg", 1, 0)]


def test_gt_bbox_may_be_absent(tmp_path: Path) -> None:
    write_market(tmp_path, {name: names for name, names in MARKET.items() if name != "gt_bbox"})
    assert load_data(f"market1501:{tmp_path}")[0].multi_query == ()


@pytest.mark.parametrize("where", ["inside", "absolute"])
def test_further_distractors_are_added_to_the_gallery(tmp_path: Path, where: str) -> None:
    write_market(tmp_path / "market")
    folder = tmp_path / ("market/distractors_500k" if where == "inside" else "elsewhere")
    write_images(folder, ["0000_c1s1_000001_00.jpg", "0001_c6s1_000002_00.jpg"])
    option = "distractors_500k" if where == "inside" else str(folder)
    (data,) = load_data(f"market1501:{tmp_path / 'market'}?distractors={option}")
    assert rows_of(data.gallery)[-2:] == [("0000_c1s1_000001_00.jpg", 0, 0), ("0001_c6s1_000002_00.jpg", 0, 5)]
    assert (data.distractors, data.title) == (4, "market1501 (+2 distractors)")
    with pytest.raises(DataError, match=r"no folder .*nowhere; expected the folder of further distractors"):
        load_data(f"market1501:{tmp_path / 'market'}?distractors=nowhere")


@pytest.mark.parametrize(
    "name", ["person.jpg", "0002_1s1_000451.jpg", "x002_c1s1_000451.jpg", "0002_c0s1_000451_03.jpg"]
)
def test_names_that_do_not_parse_are_counted_and_one_is_named(tmp_path: Path, name: str) -> None:
    write_market(tmp_path)
    write_image(tmp_path / "query" / name)
    write_image(tmp_path / "query" / "zzz.jpg")
    with pytest.raises(DataError, match=rf"market1501: 2 entries.*query/{name}: the name does not parse; expected one"):
        load_data(f"market1501:{tmp_path}")


def test_a_distractor_among_the_queries_is_refused(tmp_path: Path) -> None:
    write_market(tmp_path)
    write_image(tmp_path / "query" / "0000_c1s1_000001_00.jpg")
    with pytest.raises(
        DataError, match=r"1 entry .*person 0 is a distractor; distractors are allowed in the gallery only"
    ):
        load_data(f"market1501:{tmp_path}")


@pytest.mark.parametrize(("folder", "split"), [("bounding_box_train", "train"), ("query", "query")])
def test_an_empty_split_is_named(tmp_path: Path, folder: str, split: str) -> None:
    write_market(tmp_path, {**MARKET, folder: []})
    with pytest.raises(DataError, match=f"the {split} split of .* is empty"):
        load_data(f"market1501:{tmp_path}")


def test_only_the_file_name_is_parsed(tmp_path: Path) -> None:
    root = write_market(tmp_path / "0099_c5s1_000000_00.jpg" / "-1_c7s1_")
    assert {s.person_id for s in load_data(f"market1501:{root}")[0].train} == {2, 7}


@pytest.mark.parametrize("reader", ["market1501", "dukemtmc", "cuhk03np"])
def test_cameras_are_ignored_by_an_option(tmp_path: Path, reader: str) -> None:
    """Names without a camera parse; each file has a camera of its own, so that the gallery image is a match."""
    write_market(
        tmp_path / "labeled",
        {
            "bounding_box_train": ["0001_a.jpg", "0001_c0_b.jpg"],
            "query": ["0002_c1s1_a.jpg"],
            "bounding_box_test": ["0002_c1s1_b.jpg", "-1_x.jpg", "0000_x.jpg"],
        },
    )
    (data,) = load_data(f"{reader}:{tmp_path / 'labeled'}?camera=none")
    assert rows_of(data.train) == [("0001_a.jpg", 1, 0), ("0001_c0_b.jpg", 1, 1)]
    assert rows_of((*data.query, *data.gallery)) == [
        ("0002_c1s1_a.jpg", 2, 0),
        ("0000_x.jpg", 0, 0),
        ("0002_c1s1_b.jpg", 2, 1),
    ]
    assert data.variant.endswith("cameras unknown")
    assert data.junk == 1


def test_camera_zero_is_named_as_the_cause(tmp_path: Path) -> None:
    write_market(tmp_path)
    write_image(tmp_path / "query" / "0001_c0s1_000451_03.jpg")
    with pytest.raises(DataError, match=r"camera 0: cameras are numbered from 1, and .camera=none ignores them"):
        load_data(f"market1501:{tmp_path}")


@pytest.mark.parametrize("name", [f"{2**63}_c1s1_0.jpg", f"1_c{2**31}s1_0.jpg", f"{'9' * 30}_c1s1_0.jpg"])
def test_ids_beyond_64_bits_are_refused(tmp_path: Path, name: str) -> None:
    write_market(tmp_path)
    write_image(tmp_path / "bounding_box_train" / f"{2**63 - 1}_c1s1_0.jpg")
    assert load_data(f"market1501:{tmp_path}")[0].train[-1].person_id == 2**63 - 1
    write_image(tmp_path / "bounding_box_train" / name)
    with pytest.raises(
        DataError, match=r"1 entry .*ids of people are at most 9223372036854775807, of cameras 2147483647"
    ):
        load_data(f"market1501:{tmp_path}")


def test_capital_folders_are_named_as_the_cause(tmp_path: Path) -> None:
    write_market(tmp_path)
    (tmp_path / "query").rename(tmp_path / "Query")
    with pytest.raises(DataError, match=r"no folder .*query, but Query/; rename it to query/"):
        load_data(f"market1501:{tmp_path}")


def test_duke_names(tmp_path: Path) -> None:
    (data,) = load_data(f"dukemtmc:{write_market(tmp_path, DUKE)}")
    assert [(s.person_id, s.camera_id) for s in data.train] == [(1, 1), (1, 7), (5, 1), (5, 4)]
    assert [(s.person_id, s.camera_id) for s in data.gallery] == [(2, 1), (3, 0), (4, 0)]
    assert data.distractors == 0


def test_duke_refuses_market_names(tmp_path: Path) -> None:
    write_market(tmp_path)
    with pytest.raises(DataError, match=r"expected one like 0001_c2_f0046182.jpg"):
        load_data(f"dukemtmc:{tmp_path}")


@pytest.mark.parametrize("kind", ["labeled", "detected"])
def test_cuhk03np_states_its_variant(tmp_path: Path, kind: str) -> None:
    for variant in ("labeled", "detected"):
        write_market(tmp_path / variant, CUHK03NP)
    (data,) = load_data(f"cuhk03np:{tmp_path}?images={kind}")
    assert data.title == f"cuhk03np ({kind}, new protocol)"
    assert {sample.path.parts[-3] for sample in data.train} == {kind}
    assert [(s.person_id, s.camera_id) for s in data.gallery] == [(3, 0), (3, 1)]
    assert load_data(f"cuhk03np:{tmp_path / kind}")[0].title == data.title


def test_cuhk03np_without_a_stated_variant_is_refused(tmp_path: Path) -> None:
    write_market(tmp_path / "np", CUHK03NP)
    with pytest.raises(DataError, match=r"add .images=labeled or .images=detected"):
        load_data(f"cuhk03np:{tmp_path / 'np'}")
    assert load_data(f"cuhk03np:{tmp_path / 'np'}?images=detected")[0].variant == "detected, new protocol"
    write_market(tmp_path / "labeled", CUHK03NP)
    with pytest.raises(DataError, match=r"images=detected, but the folder is .*labeled"):
        load_data(f"cuhk03np:{tmp_path / 'labeled'}?images=detected")


SYNTH = "synth:identities=4,cameras=2,images=2,seed=5,height=32"


def test_synthetic_people_are_rendered_once_and_read_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSERBY_CACHE", str(tmp_path / "cache"))
    (data,) = load_data(SYNTH)
    assert (data.name, len({s.person_id for s in data.train})) == ("synth", 2)
    assert data.variant == "4 identities, 2 cameras, 2 images, seed 5, 32 height"
    monkeypatch.setattr(dataset, "photograph", None)  # a second rendering would fail
    assert load_data(SYNTH)[0] == data
    assert [path.is_relative_to(tmp_path / "cache") for path in (data.root, data.train[0].path)] == [True, True]


def test_the_cache_folder_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PASSERBY_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert load_data(SYNTH)[0].root.parent == tmp_path / "passerby"
