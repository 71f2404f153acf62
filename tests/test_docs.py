"""What the documents say is there. Oracles: the recipe's keys, the readers' options, the command line itself."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

from passerby.cli.main import app
from passerby.data.datasets import DATASETS
from passerby.recipe import Recipe, recipe_names

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def keys(section, prefix=""):
    """Every key of a recipe, dotted."""
    for name, field in section.model_fields.items():
        options = getattr(field.annotation, "__args__", (field.annotation,))
        parts = [kind for kind in options if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if prefix and (not parts or field.default is None or len(options) > 1):
            yield f"{prefix}{name}"
        for part in parts:
            yield from keys(part, f"{prefix}{name}.")


def commands():
    """Every `passerby ...` line of a code block."""
    for page in PAGES:
        for block in re.findall(r"```\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                found = re.search(r"(?:^|-m )passerby (.*)", line)
                if found:
                    yield pytest.param(shlex.split(found[1], comments=True), id=found[1][:60])


def test_every_key_of_a_recipe_is_explained():
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    found = list(keys(Recipe))
    assert len(found) > 60
    assert [key for key in found if f"`{key}`" not in text] == []


def test_every_shipped_recipe_is_named():
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert [name for name in recipe_names() if f"`{name}`" not in text] == []


def test_every_data_set_and_option_is_named():
    rows = (ROOT / "docs" / "data.md").read_text(encoding="utf-8").splitlines()
    for name, reader in DATASETS.items():
        (row,) = [row for row in rows if row.startswith(f"| `{name}` |")]
        assert [option for option in reader.options if f"`{option}" not in row] == [], name


@pytest.mark.parametrize("words", list(commands()))
def test_every_command_shown_can_be_typed(words):
    """The words are parsed by the command line itself, down to the last option, and not run."""
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    with command.make_context(command.name, words) as context:
        assert context.params


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target
