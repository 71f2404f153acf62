"""Fingerprints are equal on all machines and change with the data. Oracle: copies and changed data sets."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from data.layouts import write_cuhk01, write_cuhk03, write_image, write_market
from passerby.data.datasets import load_data
from passerby.data.fingerprint import fingerprint
from passerby.errors import DataError


def fingerprint_of(spec: str) -> str:
    return fingerprint(load_data(spec))


def test_a_copy_has_the_same_fingerprint(tmp_path: Path) -> None:
    write_market(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "far" / "away")
    digest = fingerprint_of(f"market1501:{tmp_path / 'here'}")
    assert digest == fingerprint_of(f"market1501:{tmp_path / 'far' / 'away'}")
    assert len(digest) == 64
    assert int(digest, 16) >= 0


def test_each_part_changes_the_fingerprint(tmp_path: Path) -> None:
    (data,) = load_data(f"market1501:{write_market(tmp_path)}")
    first = data.train[0]
    changed = [
        replace(data, name="dukemtmc"),
        replace(data, train=data.train[1:]),
        replace(data, train=data.query, query=data.train),
        replace(data, multi_query=()),
        replace(data, train=(replace(first, person_id=77), *data.train[1:])),
        replace(data, train=(replace(first, camera_id=77), *data.train[1:])),
        replace(data, train=(replace(first, key="x"), *data.train[1:])),
        replace(data, train=(replace(first, path=write_image(tmp_path / "other" / first.path.name)), *data.train[1:])),
    ]
    prints = [fingerprint([data]), *(fingerprint([other]) for other in changed)]
    assert len(set(prints)) == len(prints)
    first.path.write_bytes(first.path.read_bytes() + b"\0")
    assert fingerprint([data]) not in prints


def test_the_order_of_sets_and_samples_does_not_matter(tmp_path: Path) -> None:
    market = load_data(f"market1501:{write_market(tmp_path / 'm')}")[0]
    cuhk = load_data(f"cuhk01:{write_cuhk01(tmp_path / 'c')}")[0]
    assert fingerprint([market, cuhk]) == fingerprint([cuhk, market]) != fingerprint([market])
    assert fingerprint([replace(market, train=market.train[::-1])]) == fingerprint([market])


def test_images_of_a_container_differ_by_key(tmp_path: Path) -> None:
    mat = write_cuhk03(tmp_path / "a")
    spec = f"cuhk03:{mat.parent}?protocol=classic"
    assert (
        fingerprint_of(spec)
        == fingerprint_of(f"cuhk03:{mat}?protocol=classic")
        != fingerprint_of(f"{spec}&images=detected")
    )


def test_images_outside_the_root_count_without_their_path(tmp_path: Path) -> None:
    prints = []
    for folder in ("x", "y"):
        write_market(tmp_path / folder / "market")
        write_image(tmp_path / folder / "more" / "0000_c1s1_000001_00.jpg", content="same")
        prints.append(
            fingerprint_of(f"market1501:{tmp_path / folder / 'market'}?distractors={tmp_path / folder / 'more'}")
        )
    shutil.rmtree(tmp_path / "y" / "market")
    shutil.copytree(tmp_path / "x" / "market", tmp_path / "y" / "market")
    prints.append(fingerprint_of(f"market1501:{tmp_path / 'y' / 'market'}?distractors={tmp_path / 'y' / 'more'}"))
    assert prints[0] == prints[2]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (data,) = load_data(f"market1501:{write_market(tmp_path)}")
    data.query[0].path.unlink()
    with pytest.raises(DataError, match=r"0001_c1s1_001051_00.jpg: cannot be read"):
        fingerprint([data])
