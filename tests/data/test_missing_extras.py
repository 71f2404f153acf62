"""A missing optional dependency is named with its extra. Oracle: the message."""

import sys

import pytest

from data.layouts import write_cuhk03, write_cuhk03_protocol, write_table
from passerby.data.datasets import load_data
from passerby.errors import MissingExtraError


def hide(monkeypatch, library):
    """Make a library and its modules fail to import."""
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)


def expect(library):
    return pytest.raises(MissingExtraError, match=rf'{library}.* is not installed.*pip install "passerby\[eval\]"')


def test_rendering_names_numba(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("passerby.synthesis")]:
        monkeypatch.delitem(sys.modules, name)
    hide(monkeypatch, "numba")
    with expect("numba"):
        load_data("synth:identities=2,cameras=2,images=2,height=32")


def test_cuhk03_names_h5py(monkeypatch, tmp_path):
    mat = write_cuhk03(tmp_path)
    hide(monkeypatch, "h5py")
    with expect("h5py"):
        load_data(f"cuhk03:{mat}?protocol=classic")


def test_the_new_protocol_of_cuhk03_does_not_need_scipy(monkeypatch, tmp_path):
    write_cuhk03(tmp_path)
    splits = {"train": [1], "query": [2], "gallery": [3]}
    names = ["1_001_1_01.png", "1_002_1_01.png", "1_002_2_06.png"]
    write_cuhk03_protocol(tmp_path, "labeled", names=names, labels=[1, 2, 2], splits=splits)
    hide(monkeypatch, "scipy")
    assert len(load_data(f"cuhk03:{tmp_path}")[0].train) == 1


def test_a_parquet_table_names_pyarrow(monkeypatch, tmp_path):
    table = write_table(tmp_path / "t.parquet", [{"path": "a.jpg", "person_id": 1}])
    hide(monkeypatch, "pyarrow")
    with expect("pyarrow"):
        load_data(f"table:{table}")
