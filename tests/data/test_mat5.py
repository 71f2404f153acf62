"""MATLAB v5 files. Oracle: `scipy.io.savemat` writes them, and `loadmat` reads the undamaged ones."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.data.datasets.mat5 import read_mat5

NAMES = np.empty((3, 1), dtype=object)
NAMES[:, 0] = ["1_001_1_01.png", "a", "Zoë.png"]
FIELDS = {
    "filelist": NAMES,
    "labels": np.array([[1], [2], [70000]], dtype=np.uint32),
    "train_idx": np.array([[1.0, 2.0]]),
    "small": np.array([[7]], dtype=np.uint8),
    "nothing": np.empty((0, 0)),
    "big": np.arange(12, dtype=np.int64).reshape(3, 4),
    "text": "abc",
}


def saved(*, compress: bool) -> bytes:
    buffer = BytesIO()
    scipy.io.savemat(buffer, FIELDS, do_compression=compress)
    return buffer.getvalue()


@pytest.mark.parametrize("compress", [False, True])
def test_arrays_and_texts_are_those_of_scipy(compress: bool) -> None:
    content = saved(compress=compress)
    arrays, expected = read_mat5(content), scipy.io.loadmat(BytesIO(content))
    assert set(arrays) == set(FIELDS) - {"text"}
    assert arrays.pop("filelist") == [str(name[0]) for name in np.ravel(expected["filelist"])]
    for name, values in arrays.items():
        assert np.array_equal(values, np.ravel(expected[name], order="F"))


@settings(max_examples=300)
@given(data=st.data(), compress=st.booleans())
def test_any_damage_gives_arrays_or_a_value_error(data: st.DataObject, compress: bool) -> None:
    damaged = bytearray(saved(compress=compress))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        arrays = read_mat5(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    except ValueError:
        return
    assert all(isinstance(value, list | np.ndarray) for value in arrays.values())


def test_content_above_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passerby.data.datasets.mat5.MAX_BYTES", 2**20)
    buffer = BytesIO()
    scipy.io.savemat(buffer, {"labels": np.zeros(2**20)}, do_compression=True)
    assert len(buffer.getvalue()) < 2**16
    with pytest.raises(ValueError, match="more than 1 MiB after decompression"):
        read_mat5(buffer.getvalue())
