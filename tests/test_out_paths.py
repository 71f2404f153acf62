"""Checks of outputs. Oracle: the message, and that nothing is made."""

import os

import pytest

from passerby.errors import WriteError
from passerby.out_paths import require_folder


def test_a_folder_that_exists_or_can_be_made_passes_and_is_not_made(tmp_path):
    for name in ("", "new", "new/folder"):
        require_folder(tmp_path / name)
    assert not any(tmp_path.iterdir())


def test_a_file_or_a_link_to_nothing_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        for path in (tmp_path / name, tmp_path / name / "new"):
            with pytest.raises(WriteError, match=rf"{path}: cannot be created \({tmp_path / name} is no folder\)"):
                require_folder(path)


def test_a_folder_without_write_access_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(WriteError, match=rf"new: cannot be written \(no write access to {tmp_path}\); grant it, or"):
        require_folder(tmp_path / "new")
