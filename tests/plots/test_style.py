"""Saving a picture."""

import os

import pytest

from passerby.errors import WriteError
from passerby.plots.style import new_figure, save


def test_a_failed_save_leaves_the_old_picture(tmp_path, monkeypatch):
    target = tmp_path / "curve.png"
    target.write_bytes(b"old")

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=r"curve\.png: not saved \(No space"):
        save(new_figure(1, 1), target)
    assert target.read_bytes() == b"old"


def test_only_the_asked_files_are_left(tmp_path):
    save(new_figure(1, 1), tmp_path / "one.png")
    save(new_figure(1, 1), tmp_path / "two.png", vector=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.png", "two.png", "two.svg"]
