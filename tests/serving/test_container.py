"""The Containerfile, without a container engine: its health check and its command. Oracle: a real service."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import typer

from passerby.cli.main import app
from serving.running import make_gallery, running

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Containerfile").read_text(encoding="utf-8")


def instruction(name):
    return re.findall(rf"^{name} (.*)$", TEXT, flags=re.MULTILINE)[-1]


def test_the_health_check_tells_a_running_service_from_a_stopped_one(tmp_path):
    make_gallery(tmp_path / "people", 1)
    words = json.loads(instruction("HEALTHCHECK CMD"))
    with running(tmp_path / "people") as address:
        check = [sys.executable, *(word.replace("http://127.0.0.1:8765", address) for word in words[1:])]
        assert check[2] != words[2]
        assert subprocess.run(check, check=False).returncode == 0
    assert subprocess.run(check, check=False, capture_output=True).returncode != 0


def test_the_build_context_has_what_is_installed_and_nothing_else():
    """Oracle: the files that pyproject.toml names, and that everything else is excluded first."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    included = {line[1:] for line in rules if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert included == {"pyproject.toml", "src", project["readme"], *project["license-files"]}
    assert all((ROOT / name).exists() for name in included)
    extra = instruction("ARG").partition("=")[2]
    assert extra in project["optional-dependencies"]
    assert not {"torch", "numba"} & {re.split(r"[<>=~]", line)[0] for line in project["optional-dependencies"][extra]}


def test_the_command_is_one_of_the_command_line_and_the_user_is_not_root():
    assert json.loads(instruction("ENTRYPOINT")) == ["passerby"]
    verb, *words = json.loads(instruction("CMD"))
    command = typer.main.get_command(app).commands[verb]
    with command.make_context(verb, words) as context:
        assert context.params["where"] == "/gallery/people"
    assert int(instruction("USER")) > 0
