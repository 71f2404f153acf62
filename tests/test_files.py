"""Oracle: the bytes that were given."""

import stat

import pytest

from passerby.errors import WriteError
from passerby.files import hold_lock, write_all_atomic, write_atomic


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match=r"file/model.json: not saved"):
        write_atomic(tmp_path / "file" / "model.json", b"{}")


def test_writing_replaces_and_leaves_no_draft(tmp_path):
    write_atomic(tmp_path / "a" / "b.txt", b"one")
    write_all_atomic({tmp_path / "a" / "b.txt": b"two", tmp_path / "c.txt": b"three"})
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"two"
    assert (tmp_path / "c.txt").read_bytes() == b"three"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["b.txt", "c.txt"]
    assert stat.S_IMODE((tmp_path / "c.txt").stat().st_mode) & stat.S_IRUSR


def test_a_lock_does_not_touch_files_of_others(tmp_path):
    """Oracle: the bytes that were there."""
    mine = tmp_path / "mine"
    mine.write_text("text")
    (tmp_path / "link.lock").symlink_to(mine)
    for path in (mine, tmp_path / "link.lock"):
        with pytest.raises(WriteError, match=r"cannot be locked|is no lock of passerby"), hold_lock(path, wait=False):
            pass
    assert mine.read_text() == "text"
    with hold_lock(tmp_path / "a.lock", wait=False):
        with pytest.raises(BlockingIOError), hold_lock(tmp_path / "a.lock", wait=False):
            pass
        assert (tmp_path / "a.lock").exists()
    assert not (tmp_path / "a.lock").exists()
