"""Messages about damaged files: our own sentence first, the library's words after it, in parentheses, on one line.

Oracle: the texts, read as a user reads them. The files are real ones that were cut or changed.
"""

import inspect
import re
import socket
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import passerby
from gallery.people import MODEL, NOW, people
from passerby.data.datasets import load_data
from passerby.errors import DataError, PasserbyError, explain
from passerby.gallery.parquet import export_gallery, import_gallery
from passerby.gallery.stores.opening import open_gallery
from passerby.recipe import load_recipe
from passerby.reviewing.answers import read_answers
from passerby.runtime.model_manifest import read_manifest

SOURCE = Path(passerby.__file__).parent
ALONE = {"importers/pickle_worker.py"}  # runs in a process that loads nothing of the package


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("format"), "lacks 'format'"),
        (FileNotFoundError(2, "a library's words about a.csv", "a.csv"), "No such file or directory"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ValueError("first line.\nsecond line"), "first line"),
        (ValueError("\x1b[31mred"), r"\x1b[31mred"),
        (ValueError("x" * 1000), "x" * 200),
        (DataError("y" * 500), "y" * 500),
        (ValueError(), "ValueError"),
        (OSError("cannot identify image file <_io.BytesIO object at 0x7f12ab>"), "cannot identify image file"),
    ],
)
def test_the_reason_of_an_error_is_one_line(error, text):
    assert explain(error) == text


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_message_holds_the_words_of_a_library_unchanged(path):
    if str(path.relative_to(SOURCE)) not in ALONE:
        assert re.findall(r"\(\{error[!}]", path.read_text(encoding="utf-8")) == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Whole files: a table, a gallery, its export, answers, a manifest and a recipe."""
    folder = tmp_path_factory.mktemp("whole")
    pq.write_table(pa.table({"path": ["a.jpg"] * 300, "person_id": list(range(300))}), folder / "table.parquet")
    pq.write_table(pa.table({"first": ["a"] * 300, "second": ["b"] * 300}), folder / "answers.parquet")
    store = open_gallery(folder / "people", model=MODEL, user="test", clock=lambda: NOW)
    store.add(people(30))
    export_gallery(store, folder / "people.parquet")
    store.close()
    (folder / "manifest.json").write_text('{"format": 2, "model": {}, "preprocessing": {}, "identities": 2}')
    (folder / "recipe.yaml").write_text("schedule: {epochs: 5, warmup_epochs: 1}\n")
    return folder


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _change_end(data: bytes) -> bytes:
    """Change the last bytes but the four of the format's name: the description of a Parquet file."""
    return data[:-200] + bytes(byte ^ 0xFF for byte in data[-200:-8]) + data[-8:]


READERS = {
    "table.parquet": (lambda path: load_data(f"table:{path}"), "not a readable Parquet file"),
    "answers.parquet": (read_answers, "cannot be read as a table of answers"),
    "people.parquet": (lambda path: import_gallery("memory", path), "cannot be read as an exported gallery"),
    "manifest.json": (lambda path: read_manifest(path.parent), "not readable as JSON"),
    "recipe.yaml": (load_recipe, "not YAML"),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", [_cut, _change_end])
def test_a_damaged_file_is_an_error_in_our_words(whole, tmp_path, name, damage):
    read, own = READERS[name]
    path = tmp_path / name
    path.write_bytes(damage((whole / name).read_bytes()))
    with pytest.raises(PasserbyError) as raised:
        read(path)
    message = str(raised.value)
    assert "\n" not in message
    assert re.search(rf"{re.escape(name)}: {own}", message), message
    assert name.endswith(".yaml") or re.search(r"\(.+\); \w+", message), message  # reason, then what to do


def test_a_missing_export_is_named_without_the_words_of_pyarrow(tmp_path):
    with pytest.raises(PasserbyError, match=r"no\.parquet: .* \(No such file or directory\); copy or export it again$"):
        import_gallery("memory", tmp_path / "no.parquet")


def test_a_damaged_text_in_a_gallery_is_reported_without_the_row(whole, tmp_path):
    """SQLite does not check texts; Python's error quotes the row, here the card."""
    (tmp_path / "people").mkdir()
    path = tmp_path / "people" / "gallery.sqlite"
    path.write_bytes((whole / "people" / "gallery.sqlite").read_bytes())
    connection = sqlite3.connect(path)
    connection.execute("UPDATE card SET json = CAST(X'7B22FF' || CAST(json AS BLOB) AS TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(PasserbyError, match=r"the file is damaged; restore it .* \(a text is not UTF-8\)$"):
        open_gallery(tmp_path / "people")


def list_sequences():
    """(function, parameter) of the public functions whose parameter is several texts or paths."""
    for name in passerby.__all__:
        function = getattr(passerby, name)
        if not inspect.isfunction(function):
            continue
        for parameter in inspect.signature(function).parameters.values():
            kind = str(parameter.annotation)
            if kind.startswith("Sequence[str") and kind.removesuffix(" | None").endswith("]"):
                yield name, parameter.name


FIRST = {
    "load_recipe": ["demo"],
    "evaluate": ["default"],
    "import_model": ["a.pth", "out"],
    "compare": [["demo"], "synth:identities=8"],
    "report": [["default"], "out.html"],
}
"""First arguments of each function with such a parameter."""


@pytest.mark.parametrize(("name", "parameter"), [*list_sequences()])
def test_one_text_where_several_are_expected_is_refused(name, parameter, tmp_path, monkeypatch):
    """Oracle: the message; without the check, each character would be a run or an override."""
    monkeypatch.chdir(tmp_path)
    function = getattr(passerby, name)
    given = inspect.signature(function).bind_partial(*FIRST[name]).arguments
    extra = {"epochs": 1, "out": "runs"} if name == "compare" else {}
    with pytest.raises(PasserbyError, match=rf"^{parameter}: got 'runs/m', expected several; give \['runs/m'\]"):
        function(**{**given, **extra, parameter: "runs/m"})
    assert not list(tmp_path.iterdir())
