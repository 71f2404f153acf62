"""The command line in this process."""

import json
from dataclasses import dataclass

import pytest

from conftest import SIMPLE
from passerby import load_data
from passerby.cli.main import main


@dataclass(frozen=True)
class Output:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def error(self):
        """The one message of a user's error: exit code 1, one line on stderr, nothing on stdout."""
        assert self.code == 1, self
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error ")
        return lines[0].removeprefix("error ")


@pytest.fixture
def passerby(monkeypatch, capsys):
    """`passerby("train", "--recipe", ...)` runs `main` and returns its output; a bug's exception passes through."""

    def run(*words):
        monkeypatch.setattr("sys.argv", ["passerby", *map(str, words)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return Output(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def query():
    """Query images of the small rendered data set."""
    return load_data(SIMPLE)[0].query


@pytest.fixture
def people(passerby, tiny_run, tmp_path):
    """A gallery of the small rendered data set."""
    where = tmp_path / "people"
    output = passerby("enroll", where, "--data", SIMPLE, "--model", tiny_run, "--json")
    assert json.loads(output.out)["new"] > 0, output
    return where
