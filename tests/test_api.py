"""The public names. Oracle: the verbs of the command line, in an explicit table of their functions in Python."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
import typer

import passerby
from passerby.cli.main import app

PYTHON = {
    "train": ["train", "resume"],
    "evaluate": ["evaluate"],
    "adapt": ["adapt"],
    "calibrate": ["calibrate"],
    "threshold": ["find_threshold"],
    "report": ["report"],
    "ablate": ["ablate"],
    "compare": ["compare"],
    "embed": ["embed"],
    "enroll": ["Gallery.enroll", "enroll_video", "enroll_live", "enroll_shards"],
    "search": ["Gallery.search"],
    "identify": ["Gallery.identify"],
    "cluster": ["Gallery.cluster"],
    "review": ["Gallery.review"],
    "serve": ["serve"],
    "gallery stats": ["Gallery.stats"],
    "gallery audit": ["Gallery.audit"],
    "gallery label": ["Gallery.label"],
    "gallery remove": ["Gallery.remove"],
    "gallery forget": ["Gallery.forget"],
    "gallery expire": ["Gallery.expire"],
    "gallery retention": ["Gallery.set_retention"],
    "gallery export": ["Gallery.export"],
    "gallery import": ["import_gallery"],
    "gallery backup": ["Gallery.backup", "backup_gallery"],
    "gallery restore": ["restore_gallery"],
    "gallery reembed": ["reembed_gallery"],
    "gallery upgrade": ["upgrade_gallery"],
    "data check": ["check"],
    "data stats": ["stats"],
    "data show": ["draw_contact_sheet"],
    "model info": ["model_info", "variants_info"],
    "model runtimes": ["model_runtimes"],
    "model export": ["export_model"],
    "model upgrade": ["upgrade_run"],
    "model import": ["import_model"],
    "selftest": ["selftest"],
    "synth": ["synth"],
}
"""The functions and methods of `passerby` that do what a verb does."""


def verbs(command, prefix=""):
    """Every verb with its parents, such as `gallery stats`."""
    commands = getattr(command, "commands", {})
    if not commands or (command.invoke_without_command and prefix):
        yield prefix.strip()
    for name, child in commands.items():
        yield from verbs(child, f"{prefix} {name}")


def find(name):
    value = passerby
    for part in name.split("."):
        value = getattr(value, part)
    return value


def test_every_verb_is_a_function_of_python():
    assert sorted(PYTHON) == sorted(verbs(typer.main.get_command(app)))
    for name in (name for names in PYTHON.values() for name in names):
        assert name.split(".")[0] in passerby.__all__
        assert callable(find(name)), name


def test_dir_shows_the_public_names():
    assert dir(passerby) == sorted(passerby.__all__)
    assert all(hasattr(passerby, name) for name in passerby.__all__)
    with pytest.raises(AttributeError, match=r"has no attribute 'trian'; it has .*train"):
        _ = passerby.trian


def test_type_checkers_see_the_same_names():
    source = Path(passerby.__file__).read_text(encoding="utf-8")
    names = {name: module for module, name in re.findall(r"^    from (\S+) import (\S+) as \2$", source, re.MULTILINE)}
    assert names == passerby._MODULES


def defaults(parameter):
    """(function, default) of every public callable of the package with this parameter."""
    for module in pkgutil.walk_packages(passerby.__path__, "passerby."):
        if module.name.endswith("__main__") or module.name.startswith("passerby.cli"):
            continue
        try:
            members = vars(importlib.import_module(module.name))
        except ModuleNotFoundError:  # of a store whose extra is not installed
            assert "milvus" in module.name
            continue
        for name, value in members.items():
            if name.startswith("_") or getattr(value, "__module__", None) != module.name or not callable(value):
                continue
            methods = inspect.getmembers(value, inspect.isfunction) if inspect.isclass(value) else []
            for label, function in [(name, value), *((f"{name}.{method}", body) for method, body in methods)]:
                try:
                    found = inspect.signature(function).parameters.get(parameter)
                except (TypeError, ValueError):
                    continue
                if found is not None and found.default is not inspect.Parameter.empty:
                    yield f"{module.name}.{label}", found.default


def test_device_is_auto_by_default_in_public_functions():
    wrong = {name: default for name, default in defaults("device") if default != "auto"}
    public = {name for name in wrong if name.rpartition(".")[2] in passerby.__all__ or ".Gallery." in name}
    assert not public, wrong


def test_progress_is_off_by_default():
    """Public functions take False; internal ones a callback that discards."""
    from passerby.progress import no_progress

    assert {default for _, default in defaults("progress")} == {False, no_progress}
