"""The house's rooms import one way, and its front door opens without waiting for torch."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "passerby"

BASE = {"types", "errors", "files", "extras", "progress"}
MAY_IMPORT = {
    "errors": set(),
    "types": {"errors"},
    "files": {"errors"},
    "extras": {"errors"},
    "progress": set(),
    "recipe": BASE,
    "distributed": BASE,
    "synthesis": BASE,
    "data": BASE | {"synthesis"},
    "model": BASE | {"data", "distributed"},
    "losses": BASE | {"model", "distributed"},
    "training": BASE | {"data", "model", "losses", "distributed", "ranking.neighbors"},
    "ranking": BASE,
    "evaluation": BASE | {"ranking", "data"},
    "openset": BASE | {"ranking", "evaluation"},
    "plots": BASE | {"evaluation", "openset", "ranking", "data", "training.schedule"},
    "gallery": BASE | {"ranking", "data", "model", "openset"},
    "video": BASE | {"model", "gallery"},
    "runs": BASE
    | {"recipe", "distributed", "synthesis", "data", "model", "losses", "training", "ranking", "evaluation", "openset"}
    | {"plots"},
    "reporting": BASE | {"recipe", "data", "model", "ranking", "evaluation", "openset", "plots", "training", "runs"},
    "experiments": BASE
    | {
        "recipe",
        "distributed",
        "data",
        "model",
        "training",
        "ranking",
        "evaluation",
        "openset",
        "plots",
        "runs",
        "reporting",
    },
    "__main__": {"cli"},
    "cli": BASE
    | {"recipe", "distributed", "synthesis", "data", "model", "training", "evaluation", "openset", "plots", "gallery"}
    | {"video", "runs", "reporting", "experiments"},
}
"""What each room may import beside itself: rooms, or single modules of one. `cli` is for `__main__` alone."""

LIGHT = ["passerby", "passerby.types", "passerby.errors", "passerby.recipe", "passerby.cli.main"]


def imports(path):
    """Every module of passerby that a file names in an import, wherever in the file it stands."""
    package = ("passerby", *path.relative_to(SOURCE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*start, *([node.module] if node.module else [])))
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("passerby.") for name in names if name.startswith("passerby."))


def room_of(path):
    first, *_ = path.relative_to(SOURCE).with_suffix("").parts
    return first


def files():
    return sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_rooms_import_one_way(path):
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room} is a new room: say in MAY_IMPORT what it may import"
    allowed = MAY_IMPORT[room] | {room, "__version__"}
    for name in imports(path):
        fits = any(name == each or name.startswith(f"{each}.") for each in allowed)
        assert fits, f"{path.relative_to(SOURCE)} imports passerby.{name}; {room} may import {sorted(allowed)}"


def test_the_rule_itself_has_no_circle():
    assert set(
        TopologicalSorter(
            {room: {name.partition(".")[0] for name in allowed} for room, allowed in MAY_IMPORT.items()}
        ).static_order()
    ) == set(MAY_IMPORT)


def test_relative_and_late_imports_are_seen(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    (tmp_path / "model").mkdir()
    file = tmp_path / "model" / "parts.py"
    file.write_text(
        "import passerby.cli.main\ndef late():\n    from ..training import loop\n    from .simam import simam\n"
    )
    assert list(imports(file)) == ["cli.main", "training.loop", "model.simam.simam"]


@pytest.mark.parametrize("module", LIGHT)
def test_the_front_door_does_not_wait_for_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or f"import {module} loads torch"
