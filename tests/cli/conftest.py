"""The command line in this process."""

from dataclasses import dataclass

import pytest

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
