"""Oracle: what a shell would see: exit code, stdout and stderr."""

import subprocess
import sys

import pytest
import typer

import passerby as package
from passerby.cli import main as front
from passerby.errors import DataError

WORDS = {
    "adapt": ("--data", "folder:crops?labels=none"),
    "ablate": ("--recipe", "demo", "--data", "market1501:people", "--axes", "attention"),
    "compare": ("--data", "market1501:people", "--methods", "osnet", "--epochs", "1"),
    "embed": ("crops",),
    "evaluate": ("runs/m",),
    "synth": ("--identities", "4"),
    "train": ("--recipe", "demo", "--data", "market1501:people"),
    "model import": ("weights.pth",),
}


@pytest.fixture
def failing(monkeypatch):
    """A verb `fail` that raises a given exception."""

    def install(error):
        def fail():
            raise error

        before = list(front.app.registered_commands)
        monkeypatch.setattr(front.app, "registered_commands", before)
        front.app.command("fail")(fail)

    return install


def test_version(passerby):
    output = passerby("--version")
    assert (output.code, output.out, output.err) == (0, f"passerby {package.__version__}\n", "")


@pytest.mark.parametrize("words", [["--help"], []])
def test_help_lists_every_verb(passerby, words):
    output = passerby(*words)
    text = output.out + output.err
    assert all(verb in text for verb in ("train", "evaluate", "data", "model"))


def test_a_device_is_checked_before_any_work(passerby):
    output = passerby("search", "nowhere", "--image", "a.jpg", "--device", "cpu:3")
    assert (output.code, output.error) == (1, "--device: got 'cpu:3', expected auto, cpu, cuda, cuda:0 or mps")


def verbs(command, words=()):
    """List the words of every command, groups included."""
    yield list(words)
    for name, child in getattr(command, "commands", {}).items():
        yield from verbs(child, (*words, name))


def test_no_help_loads_numpy_or_torch_and_none_of_the_package_loads_pydantic():
    """Oracle: the modules that a new interpreter has loaded when it has printed the help of every verb.

    Typer itself loads pydantic for the options of a verb; `passerby.recipe` is the use of this package.
    """
    commands = list(verbs(typer.main.get_command(front.app)))
    assert ["gallery", "stats"] in commands
    code = (
        "import sys\nfrom passerby.cli.main import main\n"
        f"for words in {commands!r}:\n"
        "    sys.argv = ['passerby', *words, '--help']\n"
        "    try:\n        main()\n    except SystemExit as end:\n        assert not end.code\n"
        "    heavy = {'numpy', 'torch', 'passerby.recipe', *(() if words else ('pydantic',))} & sys.modules.keys()\n"
        "    assert not heavy, (words, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage") == len(commands)


def test_an_unknown_verb_is_refused_with_2(passerby):
    output = passerby("trian")
    assert (output.code, output.out) == (2, "")
    assert "No such command 'trian'" in output.err


def test_a_users_error_is_one_message_and_1(passerby, failing):
    failing(DataError("/data/[bold]x[/bold].jpg: truncated"))
    assert passerby("fail").error == "/data/[bold]x[/bold].jpg: truncated"


def test_a_long_message_is_not_broken_into_lines(passerby, failing):
    failing(DataError("word " * 100 + "end"))
    assert passerby("fail").error.endswith("word end")


def test_the_systems_error_names_its_file(passerby, failing):
    failing(PermissionError(13, "Permission denied", "/data/x"))
    assert passerby("fail").error == "[Errno 13] Permission denied: '/data/x'"


@pytest.mark.parametrize("error", [ValueError("of numpy"), RuntimeError("ours"), AssertionError()])
def test_a_bug_keeps_its_traceback(passerby, failing, error):
    failing(error)
    with pytest.raises(type(error)) as caught:
        passerby("fail")
    assert caught.value is error


def test_ctrl_c_is_130(passerby, failing):
    failing(KeyboardInterrupt())
    assert passerby("fail").code == 130


@pytest.mark.parametrize("verb", WORDS)
@pytest.mark.parametrize("name", ["file", "file/new"])
def test_a_file_in_place_of_the_folder_of_results_is_refused_before_any_work(passerby, workspace, verb, name):
    (workspace / "file").write_text("mine")
    (workspace / "weights.pth").write_bytes(b"x")
    before = sorted(workspace.rglob("*"))
    error = passerby(*verb.split(), *WORDS[verb], "--out", name).error
    assert error == f"{name}: cannot be created (file is no folder); name another folder"
    assert (sorted(workspace.rglob("*")), (workspace / "file").read_text()) == (before, "mine")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("report", "runs/m", "--out", "crops.html"), "crops.html: is a folder, expected a file; add a name to it"),
        (("report", "runs/m", "--out", "file/page.html"), "file: cannot be created (file is no folder)"),
        (("report", "runs/m", "--out", "page.html"), "page_files: cannot be created (page_files is no folder)"),
        (("selftest", "--out", "crops"), "crops: is a folder, expected a file; add a name to it"),
        (("model", "export", "runs/m", "--out", "file/m.onnx"), "file: cannot be created (file is no folder)"),
    ],
)
def test_a_file_of_results_that_cannot_be_made_is_refused_before_any_work(passerby, workspace, words, message):
    (workspace / "crops.html").mkdir()
    for name in ("file", "page_files"):
        (workspace / name).touch()
    before = sorted(workspace.rglob("*"))
    assert passerby(*words).error.startswith(message)
    assert sorted(workspace.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "option", "received"),
    [
        (("search", "people", "--image", "a.jpg", "--top", "0"), "--top", "0"),
        (("adapt", "--out", "site", "--every", "often"), "--every", "often"),
        (("threshold", "default", "--far", "low"), "--far", "low"),
        (("data", "show", "cuhk01:c", "--out", "a.png", "--split", "val"), "--split", "val"),
    ],
)
def test_the_error_of_an_option_has_the_value_that_was_received(passerby, words, option, received):
    output = passerby(*words)
    text = " ".join(output.err.replace("│", " ").split())
    assert output.code == 2
    assert f"Invalid value for '{option}': " in text
    assert text.partition(f"'{option}': ")[2].count(received) == 1
    assert "Value error" not in text
