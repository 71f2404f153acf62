"""Oracle: what a shell would see: exit code, stdout and stderr."""

import subprocess
import sys

import pytest

import passerby as package
from passerby.cli import main as front
from passerby.errors import DataError


@pytest.fixture
def failing(monkeypatch):
    """A verb `fail` that raises what it is told to."""

    def install(error):
        def fail():
            raise error

        before = list(front.app.registered_commands)
        monkeypatch.setattr(front.app, "registered_commands", before)
        front.app.command("fail")(fail)

    return install


def test_version(passerby):
    said = passerby("--version")
    assert (said.code, said.out, said.err) == (0, f"passerby {package.__version__}\n", "")


@pytest.mark.parametrize("words", [["--help"], []])
def test_help_lists_every_verb(passerby, words):
    said = passerby(*words)
    text = said.out + said.err
    assert all(verb in text for verb in ("train", "evaluate", "data", "model"))


@pytest.mark.parametrize("verb", [[], ["train"], ["evaluate"], ["data", "check"], ["model", "info"]])
def test_no_help_waits_for_torch(verb):
    """Oracle: the modules that a new interpreter has loaded when it has printed the help."""
    code = (
        "import sys\nfrom passerby.cli.main import main\n"
        f"sys.argv = ['passerby', *{verb!r}, '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "torch was loaded"
    assert "Usage" in done.stdout


def test_an_unknown_verb_is_refused_with_2(passerby):
    said = passerby("trian")
    assert (said.code, said.out) == (2, "")
    assert "No such command 'trian'" in said.err


def test_a_users_error_is_one_message_and_1(passerby, failing):
    failing(DataError("/data/[bold]x[/bold].jpg: truncated"))
    assert passerby("fail").complaint == "/data/[bold]x[/bold].jpg: truncated"


def test_a_long_message_is_not_broken_into_lines(passerby, failing):
    failing(DataError("word " * 100 + "end"))
    assert passerby("fail").complaint.endswith("word end")


def test_the_systems_error_names_its_file(passerby, failing):
    failing(PermissionError(13, "Permission denied", "/data/x"))
    assert passerby("fail").complaint == "[Errno 13] Permission denied: '/data/x'"


@pytest.mark.parametrize("error", [ValueError("of numpy"), RuntimeError("ours"), AssertionError()])
def test_a_bug_keeps_its_traceback(passerby, failing, error):
    failing(error)
    with pytest.raises(type(error)) as caught:
        passerby("fail")
    assert caught.value is error


def test_ctrl_c_is_130(passerby, failing):
    failing(KeyboardInterrupt())
    assert passerby("fail").code == 130
