"""Pages agree with the code. Oracles: recipe keys, reader options, folders, extras, and the command line itself."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

from passerby.cli.main import app
from passerby.data.datasets import DATASETS
from passerby.recipe import Recipe, recipe_names

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def keys(section, prefix=""):
    """Every key of a recipe, dotted."""
    for name, field in section.model_fields.items():
        types = getattr(field.annotation, "__args__", (field.annotation,))
        subsections = [kind for kind in types if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if prefix and (not subsections or field.default is None or len(types) > 1):
            yield f"{prefix}{name}"
        for subsection in subsections:
            yield from keys(subsection, f"{prefix}{name}.")


def commands():
    """Every `passerby ...` line of a code block."""
    for page in PAGES:
        for block in re.findall(r"```\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = re.search(r"(?:^|-m )passerby (.*)", line)
                if command:
                    yield pytest.param(shlex.split(command[1], comments=True), id=command[1][:60])


def test_every_recipe_key_is_described():
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    recipe_keys = list(keys(Recipe))
    assert len(recipe_keys) > 60
    assert [key for key in recipe_keys if f"`{key}`" not in text] == []


def test_every_shipped_recipe_is_described():
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert [name for name in recipe_names() if f"`{name}`" not in text] == []


def test_every_data_set_and_option_is_described():
    rows = (ROOT / "docs" / "data.md").read_text(encoding="utf-8").splitlines()
    for name, reader in DATASETS.items():
        (row,) = [row for row in rows if row.startswith(f"| `{name}` |")]
        assert [option for option in reader.options if f"`{option}" not in row] == [], name


@pytest.mark.parametrize("words", list(commands()))
def test_every_command_is_accepted_by_the_command_line(words):
    """The command line parses the words and all options; the command is not run."""
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    with command.make_context(command.name, words) as context:
        assert context.params


@pytest.mark.parametrize("words", [words for words in commands() if any("?" in word for word in words.values[0])])
def test_every_option_of_a_data_set_in_a_command_exists(words):
    """`NAME:PATH?OPTION=VALUE&...`; several data sets are joined by `+`."""
    of_the_command = {"labels"} if words[0] == "adapt" else set()
    for part in (part for word in words for part in word.split("+") if "?" in part):
        name, options = part.partition(":")[0], part.partition("?")[2].split("&")
        assert {option.partition("=")[0] for option in options} <= {*DATASETS[name].options} | of_the_command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_data_sets_with_options_are_quoted(page):
    """In some shells an unquoted ? is a pattern for names of files."""
    blocks = re.findall(r"```\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [line for block in blocks for line in block.splitlines() if re.search(r" [a-z0-9]+:[^ \"]*\?", line)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_point_to_existing_files(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_is_in_a_table_and_has_the_cells_of_its_heading(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        rows = [re.split(r"(?<!\\)\|", row) for row in block.splitlines()]
        assert len(rows) > 2, f"no table: {block}"
        assert all(re.fullmatch(r" ?:?-+:? ?", cell) for cell in rows[1][1:-1]), f"no heading: {block}"
        assert [row for row in rows if len(row) != len(rows[0])] == []


def test_every_folder_of_the_package_is_described():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    source = ROOT / "src" / "passerby"
    folders = [path for path in source.rglob("*/") if "__pycache__" not in path.parts]
    missing = [str(path.relative_to(source)) for path in folders if f"`{path.relative_to(source)}/`" not in page]
    assert missing == []


def test_every_extra_is_described():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    extras = project["optional-dependencies"].keys() - {"dev"}
    assert [extra for extra in extras if f'`pip install ".[{extra}]"`' not in readme] == []


def test_every_page_is_listed_in_the_index_and_the_navigation():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index
        assert f": {page.name}\n" in navigation


def test_every_path_of_the_architecture_page_exists():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    planned = {"serving/", "adaptation/", "exporting/", "reviewing/", "runtime/"}
    paths = {path for path in re.findall(r"`([\w./*-]+(?:\.py|/))`", page) if "NAME" not in path} - planned
    missing = [path for path in paths if not [*(ROOT / "src" / "passerby").glob(path), *ROOT.glob(path)]]
    assert missing == []
