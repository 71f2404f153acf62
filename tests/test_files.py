"""Oracle: the bytes that were given."""

import json
import os
import stat
import subprocess
import sys
import tempfile

import pytest

from passerby.errors import DataError, WriteError
from passerby.files import (
    MAX_BYTES,
    cache_folder,
    expand_home,
    hold_lock,
    parse_json,
    read_bytes,
    read_json,
    remove_drafts,
    write_all_atomic,
    write_atomic,
)


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


def test_drafts_of_ended_processes_are_deleted(tmp_path):
    """Oracle: the names that are left: of a running process, of another file, and files that are no drafts."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = {"a", f".b.{ended.pid}.part", f".a.{os.getppid()}.part", ".a.x.part", f".a.{ended.pid}"}
    for name in (*left, f".a.{ended.pid}.part", f".a.{ended.pid}.part.mp4", f".a.{os.getpid()}.part"):
        (tmp_path / name).write_bytes(b"")
    remove_drafts(tmp_path / "a")
    assert {path.name for path in tmp_path.iterdir()} == left


def test_private_files_can_never_be_read_by_others(tmp_path, monkeypatch):
    """Oracle: the modes of the draft when it is renamed and of the file, also where an open file is replaced."""
    modes = []
    replace = os.replace

    def watch(draft, path):
        modes.append(stat.S_IMODE(os.stat(draft).st_mode))
        replace(draft, path)

    monkeypatch.setattr(os, "replace", watch)
    (tmp_path / "a").write_text("open to all")
    (tmp_path / f".a.{os.getpid()}.part").write_text("of a killed process")
    write_atomic(tmp_path / "a", b"secret", private=True)
    assert modes == [stat.S_IMODE((tmp_path / "a").stat().st_mode)] == [0o600]
    assert (tmp_path / "a").read_bytes() == b"secret"


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": Infinity}', "the number Infinity, expected a finite one"),
        ('{"a": NaN}', "the number NaN"),
        ('{"a": 1e999}', "the number 1e999"),
        ('{"a": 100000000000000000000}', "the number 100000000000000000000"),
        ('{"a": ' + "9" * 5000 + "}", "the number 9+, expected"),
        ('{"a": 1, "a": 2}', "the key 'a' is given twice"),
        ("[" * 100_000, "nested too deep"),
        ("{", "Expecting"),
    ],
    ids=range(8),
)
def test_json_beyond_the_bounds_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text)
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_json(tmp_path / "a.json")


def test_json_within_the_bounds_is_read():
    text = '{"a": [1, -9223372036854775808, 18446744073709551615, 1.5, null, {"b": true}]}'
    assert parse_json(text) == json.loads(text)
    assert parse_json(text.encode()) == json.loads(text)


@pytest.mark.parametrize("first", [None, 4])
def test_special_files_are_refused_and_do_not_hang(tmp_path, first):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name, message in (
        ("pipe.jpg", "a pipe, a device or a socket; expected a file"),
        ("zero.jpg", "a pipe, a device or a socket; expected a file"),
        ("loop.jpg", "symbolic links"),
        ("", "a folder; expected a file"),
        ("gone.jpg", "No such file"),
        ("a\0b.jpg", "null"),
    ):
        with pytest.raises(DataError, match=f"cannot be read: .*{message}"):
            read_bytes(tmp_path / name, first=first)


def test_sparse_file_above_the_limit_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DataError, match=r"1,099,511,627,776 bytes; expected at most 268,435,456"):
        read_bytes(tmp_path / "sparse.jpg")
    assert MAX_BYTES == 256 * 2**20
    assert read_bytes(tmp_path / "sparse.jpg", first=3) == bytes(3)


def test_files_are_read_whole_through_links(tmp_path):
    content = bytes(range(256)) * 1000
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "link").symlink_to("a")
    assert read_bytes(tmp_path / "link") == content
    assert read_bytes(tmp_path / "link", first=5) == content[:5]
    with pytest.raises(DataError, match="has 256,000 bytes; expected at most 255,999"):
        read_bytes(tmp_path / "a", limit=255_999)


@pytest.fixture
def homeless(tmp_path, monkeypatch):
    """A user without a home folder, as in a container."""
    for name in ("HOME", "XDG_CACHE_HOME", "PASSERBY_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"passerby-{os.getuid()}"


def test_the_cache_of_a_user_without_a_home_is_a_private_folder_for_temporary_files(homeless):
    assert [cache_folder(), cache_folder()] == [homeless] * 2
    assert stat.S_IMODE(homeless.stat().st_mode) == 0o700
    homeless.chmod(0o755)
    with pytest.raises(WriteError, match=r"is not a private folder of this user; set PASSERBY_CACHE"):
        cache_folder()
    homeless.rmdir()
    homeless.symlink_to(homeless.parent)
    with pytest.raises(WriteError, match=r"is not a private folder of this user"):
        cache_folder()


def test_a_tilde_without_a_home_is_an_error(homeless):
    assert str(expand_home("people/~")) == "people/~"
    for path in ("~/people", "~nobody-of-this-name/people"):
        with pytest.raises(DataError, match="~ has no home folder here; give the whole path"):
            expand_home(path)
