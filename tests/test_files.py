"""Oracle: the bytes that were given."""

import json
import stat

import pytest

from passerby.errors import WriteError
from passerby.files import hold_lock, parse_json, read_json, write_all_atomic, write_atomic


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
