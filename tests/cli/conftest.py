"""The command line as a user meets it, without the wait for a new process."""

from dataclasses import dataclass

import pytest

from passerby.cli.main import main


@dataclass(frozen=True)
class Said:
    """What a command left in the terminal."""

    code: int
    out: str
    err: str

    @property
    def complaint(self):
        """The one message of a user's error: exit code 1, one line on stderr, nothing on stdout."""
        assert self.code == 1, self
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error ")
        return lines[0].removeprefix("error ")


@pytest.fixture
def passerby(monkeypatch, capsys):
    """`passerby("train", "--recipe", ...)` runs `main` and returns what it said; a bug's exception passes through."""

    def run(*words):
        monkeypatch.setattr("sys.argv", ["passerby", *map(str, words)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return Said(code, *capsys.readouterr())

    return run
