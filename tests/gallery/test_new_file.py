"""New files. Oracle: the files in the folder."""

import os
import stat
import subprocess
import sys

import pytest

from passerby.gallery import new_file
from passerby.gallery.new_file import write_new


@pytest.mark.parametrize("system", ["with nameless files", "without", "without hard links"])
def test_a_new_file_has_its_name_when_it_is_complete_and_replaces_nothing(tmp_path, monkeypatch, system):
    if system != "with nameless files":
        monkeypatch.setattr(new_file, "_open_nameless", lambda _folder: None)
    if system == "without hard links":
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "not permitted")))
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    (tmp_path / f".a.{killed.pid}.part").write_bytes(b"vectors")
    (tmp_path / ".a.1.part").write_bytes(b"of a running process")
    with write_new(tmp_path / "a") as file:
        file.write(b"whole")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError), write_new(tmp_path / "a"):
        pass
    with pytest.raises(FileExistsError), write_new(tmp_path / "b") as file:
        (tmp_path / "b").write_bytes(b"of another process")
    with pytest.raises(KeyError), write_new(tmp_path / "c") as file:
        raise KeyError
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.1.part", "a", "b"]
    assert (tmp_path / "b").read_bytes() == b"of another process"
