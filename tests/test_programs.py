"""What a missing program does to a test. Oracle: the rule of `programs.py`."""

import sys

import pytest

import programs


@pytest.fixture
def nothing(monkeypatch, tmp_path):
    """A system without the programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "PROGRAMS", {"nginx": ("no-such-program",)})
    monkeypatch.setattr(programs, "SYSTEM_PYTHON", str(tmp_path / "python3"))


@pytest.mark.parametrize("name", ["nginx", "gst-rtsp-server"])
def test_a_missing_program_skips_a_test_and_fails_it_in_ci(nothing, monkeypatch, name):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"{name} is not installed: apt install"):
        programs.require(name)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"apt install .*\.ci/packages"):
        programs.require(name)
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(pytest.skip.Exception):
        programs.require(name)


def test_a_missing_module_skips_a_file_and_fails_it_in_ci(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="No module named 'no_such_module'; pip install"):
        programs.require_module("no_such_module")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no_such_module"):
        programs.require_module("no_such_module")


def test_what_is_there_is_returned(monkeypatch, tmp_path):
    program = tmp_path / "nginx"
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert programs.require("nginx") == str(program)
    assert programs.require_module("json").loads("[1]") == [1]
