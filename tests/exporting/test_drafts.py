"""Drafts of exported files. Oracle: the content of the folder."""

import subprocess
import sys

import pytest

from passerby.errors import WriteError
from passerby.exporting.drafts import open_drafts, publish

LEAVE = """
import os, signal, sys
from pathlib import Path
from passerby.exporting.drafts import open_drafts
with open_drafts(Path(sys.argv[1])) as folder:
    (folder / "m.onnx").write_bytes(b"draft")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def interrupt(target):
    with open_drafts(target) as folder:
        (folder / target.name).write_bytes(b"draft")
        raise KeyboardInterrupt


def test_a_draft_is_hidden_and_removed_after_success_and_failure(tmp_path):
    with open_drafts(tmp_path / "m.onnx") as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith(".m.onnx.")
        (folder / "m.onnx").write_bytes(b"draft")
        assert [*tmp_path.iterdir()] == [folder]
    assert [*tmp_path.iterdir()] == []
    with pytest.raises(KeyboardInterrupt):
        interrupt(tmp_path / "new" / "sub" / "m.onnx")
    assert [*tmp_path.iterdir()] == []


def test_what_a_killed_process_leaves_is_removed_by_the_next(tmp_path):
    target = tmp_path / "m.onnx"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", LEAVE, str(target)], check=False)
        assert done.returncode == -9
        (left,) = tmp_path.iterdir()
        assert (left / "m.onnx").read_bytes() == b"draft"
    with open_drafts(tmp_path / "other.onnx"):
        assert left.exists()
    with open_drafts(target) as folder:
        assert [*tmp_path.iterdir()] == [folder]


def test_two_exports_to_one_name_do_not_meet(tmp_path):
    with open_drafts(tmp_path / "m.onnx") as first, open_drafts(tmp_path / "m.onnx") as second:
        assert first != second
        (first / "m.onnx").write_bytes(b"first")
    assert [*tmp_path.iterdir()] == []


def test_all_files_are_published_or_none(tmp_path):
    names = [tmp_path / name for name in ("m.xml.json", "m.bin", "m.xml")]
    with open_drafts(names[-1]) as folder:
        for name in names:
            (folder / name.name).write_text(name.name)
        publish(folder, names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.bin", "m.xml", "m.xml.json"]
    assert names[1].read_text() == "m.bin"
    others = [tmp_path / name for name in ("n.xml.json", "n.bin", "n.xml")]
    others[-1].mkdir()
    with open_drafts(others[-1]) as folder:
        for name in others:
            (folder / name.name).write_text(name.name)
        with pytest.raises(WriteError, match=r"n\.xml: not saved \(Is a directory\)"):
            publish(folder, others)
    assert not others[0].exists()
    assert not others[1].exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(WriteError, match=r"m\.onnx: not saved \(.*\)\. Free disk space"),
        open_drafts(tmp_path / "file" / "m.onnx"),
    ):
        pass
