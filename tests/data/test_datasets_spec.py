"""Specs, and the error of each reader for another layout. Oracle: parts and messages worked by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.layouts import write_cuhk01, write_market
from passerby.data.datasets import DATASETS, load_data
from passerby.data.datasets.listing import natural_key
from passerby.data.datasets.spec import parse_spec
from passerby.data.doctor import check
from passerby.errors import DataError


def parts(spec: str) -> list[tuple[str, str, dict[str, str]]]:
    return [(s.name, str(s.path), dict(s.options)) for s in parse_spec(spec, readers=DATASETS)]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("market1501:/data/m", [("market1501", "/data/m", {})]),
        (
            "cuhk03:/d/cuhk-03.mat?images=detected&protocol=classic&split=3",
            [("cuhk03", "/d/cuhk-03.mat", {"images": "detected", "protocol": "classic", "split": "3"})],
        ),
        (
            "cuhk01:/a?order=sorted+dukemtmc:/b",
            [("cuhk01", "/a", {"order": "sorted"}), ("dukemtmc", "/b", {})],
        ),
        ("folder:/a+b/c+d", [("folder", "/a+b/c+d", {})]),
        ("folder:/a+b+market1501:/c+d", [("folder", "/a+b", {}), ("market1501", "/c+d", {})]),
        ("folder:/what?/x?camera=none", [("folder", "/what?/x", {"camera": "none"})]),
        ("synth:identities=8,seed=3", [("synth", ".", {"identities": "8", "seed": "3"})]),
        ("synth:+cuhk01:/a", [("synth", ".", {}), ("cuhk01", "/a", {})]),
    ],
)
def test_specs_are_parsed(spec: str, expected: list[tuple[str, str, dict[str, str]]]) -> None:
    assert parts(spec) == expected


def test_home_is_expanded() -> None:
    assert parts("folder:~/x")[0][1] == str(Path.home() / "x")


@given(st.lists(st.sampled_from(["/a", "/b+c", "/d e", "/x+y+z/1"]), min_size=1, max_size=4))
def test_joining_and_parsing_are_inverse(paths: list[str]) -> None:
    assert [path for _, path, _ in parts("+".join(f"folder:{path}" for path in paths))] == paths


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "nothing given; expected name:path, where name is one of market1501"),
        ("/data/market", "expected name:path, where name is one of market1501, dukemtmc"),
        (
            "market:/data",
            "'market:/data': did you mean 'market1501'\\? expected name:path, where name is one of market1501",
        ),
        ("market1501:/a+duke:/b", "'duke:/b': did you mean 'dukemtmc'\\? expected name:path"),
        ("market1501:", "no path after market1501:"),
        ("market1501", "'market1501': no path; expected market1501:/path/to/it"),
        ("/", "'/': a path without the name of its layout; expected such as folder:/"),
        ("market1501: /gone", "no ' /gone': it starts or ends with a space; leave that out"),
        (r"market1501:D:\data\market", r"no D:\\data\\market: it has backslashes; folders are separated by / here"),
        (
            "cuhk01:/a?spilt=871",
            r"unknown option 'spilt'; did you mean 'split'\? known options: split=485\|871; order=permuted\|sorted",
        ),
        ("dukemtmc:/a?x=1", "unknown option 'x'; known options: camera=name.none"),
        ("cuhk01:/a?split", "option 'split' has no value"),
        ("cuhk01:/a?split=", "option 'split' has no value"),
        ("cuhk01:/a?split=871&split=485", "option 'split' is given twice"),
        ("cuhk01:/a?split=500", "option split='500'; expected 485 or 871"),
        ("cuhk01:/a?holdout=485", "option holdout='485'; expected an integer from 0 to 484"),
        ("cuhk01:/a?holdout=x", "option holdout='x'; expected an integer"),
        ("synth:identities=1", "option identities='1'; expected an integer from 2"),
        ("synth:people=8", "unknown option 'people'; known options: identities"),
    ],
)
def test_invalid_specs_are_refused_with_the_known_names(spec: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(spec)


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "synth"])
def test_a_missing_path_is_refused_with_the_content_of_its_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "something").mkdir()
    with pytest.raises(DataError, match=rf"^{name}: no f.*gone.*expected.*holds something/"):
        load_data(f"{name}:{tmp_path / 'gone'}")


@pytest.mark.parametrize("name", [name for name in DATASETS if name not in ("synth", "table")])
def test_an_empty_folder_is_refused_with_the_expected_layout(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"^{name}: .*expected.*nothing"):
        load_data(f"{name}:{tmp_path}")


@pytest.mark.parametrize("name", ["market1501", "dukemtmc", "cuhk03np", "cuhk01", "msmt17", "folder"])
def test_a_file_in_place_of_a_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.zip").touch()
    with pytest.raises(DataError, match=r"x\.zip is a file; expected a folder"):
        load_data(f"{name}:{tmp_path / 'x.zip'}")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    for place, kind in (("fifo", "a pipe, a device or a socket"), ("loop", "a broken link")):
        with pytest.raises(DataError, match=rf"{place} is {kind}; expected a folder|loop: cannot be read: Too many"):
            load_data(f"{name}:{tmp_path / place}")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    write_market(tmp_path / "m", {"bounding_box_train": [], "bounding_box_test": []})
    with pytest.raises(
        DataError, match=r"no folder .*m/query; expected.*holds bounding_box_test/, bounding_box_train/"
    ):
        load_data(f"market1501:{tmp_path / 'm'}")


def test_several_sets_keep_the_order_of_the_spec(tmp_path: Path) -> None:
    write_market(tmp_path / "m")
    write_cuhk01(tmp_path / "c")
    sets = load_data(f"cuhk01:{tmp_path / 'c'}+market1501:{tmp_path / 'm'}")
    assert [data.name for data in sets] == ["cuhk01", "market1501"]
    assert sets[1].spec == f"market1501:{tmp_path / 'm'}"


def test_natural_order_compares_digits_as_numbers() -> None:
    assert sorted(["cam10", "cam2", "b", "cam02", "7", "a1b"], key=natural_key) == [
        "7", "a1b", "b", "cam02", "cam2", "cam10"
    ]  # fmt: skip


def test_readers_load_no_heavy_library() -> None:
    code = (
        "import sys; import passerby.data.datasets, passerby.data.doctor, passerby.cli.data; "
        "print([name for name in ('torch', 'h5py', 'scipy', 'pyarrow') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("market1501:/a;cuhk01:/b", "';' before cuhk01:; data sets are joined with +"),
        ("market1501:/a, cuhk01:/b", "',' before cuhk01:; data sets are joined with +"),
        ("folder:/a?camera=none;train=0.5", "';' before train=; options are separated by &"),
        ("folder:/a?camera=none,train=0.5", "',' before train=; options are separated by &"),
        ("synth:identities=8&seed=3", "'&' before seed=; options are separated by ,"),
    ],
)
def test_other_separators_are_named_as_the_cause(spec: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(spec)


def test_names_of_any_bytes_are_escaped_in_messages(tmp_path: Path) -> None:
    """A name that is not UTF-8 is read as a surrogate, which no stream can print."""
    name = os.fsdecode(b"x\xff\x1b[31m.jpg")
    write_market(tmp_path)
    (tmp_path / "query" / name).write_bytes(b"no image")
    (tmp_path / "query" / os.fsdecode(b"\xff.txt")).write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        load_data(f"market1501:{tmp_path}")
    assert "x\\udcff\\x1b[31m.jpg" in str(caught.value)
    for finding in check(f"market1501:{tmp_path}"):
        assert finding.example.encode()
        assert finding.example.isprintable()


def test_paths_that_cannot_be_looked_up_are_named_in_short() -> None:
    for path, message in (("a" * 5000, "File name too long"), ("x\0y", "null")):
        with pytest.raises(DataError, match=message) as caught:
            load_data(f"market1501:{path}")
        assert len(str(caught.value)) < 1000
        assert str(caught.value).isprintable()
