"""Packages import one way, torch is imported late, and names are unique. Oracles: the tables below."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import passerby

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "passerby"

BASE = {"types", "errors", "files", "extras", "progress", "text", "compiled", "out_paths", "claims"}
MAY_IMPORT = {
    "text": set(),
    "errors": {"text"},
    "progress": {"text"},
    "types": {"errors"},
    "files": {"errors", "text"},
    "out_paths": {"errors"},
    "extras": {"errors"},
    "compiled": {"extras", "files"},
    "claims": set(),
    "recipe": BASE,
    "distributed": BASE,
    "synthesis": BASE,
    "data": BASE | {"synthesis"},
    "runtime": BASE | {"data"},
    "model": BASE | {"data", "distributed", "runtime"},
    "metric": BASE | {"model"},
    "losses": BASE | {"model", "distributed"},
    "ranking": BASE,
    "training": BASE | {"data", "model", "losses", "distributed", "ranking.neighbors"},
    "evaluation": BASE | {"ranking", "data"},
    "openset": BASE | {"ranking", "evaluation"},
    "plots": BASE | {"evaluation", "openset"},
    "reviewing": BASE | {"ranking", "openset"},
    "gallery": BASE | {"ranking", "data", "model", "openset", "runtime", "reviewing"},
    "extraction": BASE | {"data", "model", "runtime", "gallery"},
    "video": BASE | {"data", "model", "gallery", "runtime"},
    "runs": BASE
    | {"recipe", "distributed", "synthesis", "data", "model", "losses", "training", "ranking", "evaluation", "openset"}
    | {"plots", "runtime", "metric"},
    "adaptation": BASE
    | {"recipe", "data", "runtime", "model", "ranking", "evaluation", "openset", "reviewing", "gallery", "video"}
    | {"distributed", "training", "plots", "runs", "metric"},
    "importers": BASE | {"recipe", "runtime", "model", "runs", "openset.calibration"},
    "exporting": BASE | {"synthesis", "data", "runtime", "model", "ranking", "evaluation", "gallery", "runs"},
    "reporting": BASE
    | {"recipe", "data", "model", "runtime", "ranking", "evaluation", "openset", "plots", "training", "runs"}
    | {"adaptation.adapt_result"},
    "experiments": BASE
    | {"recipe", "distributed", "data", "model", "training", "ranking", "evaluation", "openset", "plots", "runs"}
    | {"reporting", "runtime"},
    "selftests": BASE
    | {"recipe", "distributed", "synthesis", "data", "model", "losses", "training", "ranking", "evaluation", "runs"}
    | {"exporting", "runtime"},
    "serving": BASE | {"data", "runtime", "openset", "reviewing", "gallery"},
    "cli": BASE
    | {"recipe", "distributed", "synthesis", "data", "model", "training", "evaluation", "openset", "plots", "gallery"}
    | {"video", "runs", "importers", "exporting", "reporting", "experiments", "runtime", "reviewing", "serving"}
    | {"adaptation", "extraction", "selftests"},
    "__main__": {"cli"},
}
"""Packages (or single modules) that each package may import, in import order. Only `__main__` imports `cli`."""

USES_TORCH = {"model", "losses", "training", "selftests", "distributed"}
"""Packages whose modules may import torch at the top."""
TORCH = {"torch", "torchvision", "timm", "pytorch_metric_learning"}
"""Libraries that load torch."""

LIGHT = {
    "passerby": {"torch", "numpy", "pydantic", "rich", "typer"},
    "passerby.cli.main": {"torch", "numpy", "pydantic", "faiss", "PIL"},
    "passerby.types": {"torch"},
    "passerby.errors": {"torch", "numpy"},
    "passerby.recipe": {"torch"},
}
"""Libraries that importing a module must not load."""

SAME_FILE_NAME = {
    "ablate.py": "the verb in cli/ and its function",
    "adapt.py": "the verb in cli/ and its function",
    "calibrate.py": "the verb in cli/ and its function",
    "compare.py": "the verb in cli/ and its function",
    "embed_source.py": "the verb in cli/ and its function",
    "evaluate.py": "the verb in cli/ and its function",
    "gallery.py": "the verb in cli/ and its class",
    "review.py": "the verb in cli/ and its class",
    "selftest.py": "the verb in cli/ and its function",
    "report.py": "the verb in cli/ and its function",
    "synth.py": "the verb in cli/ and the data set",
    "threshold.py": "the verb in cli/ and its function",
    "train.py": "the verb in cli/ and its function",
}
"""File names that occur twice, with the reason."""


def files():
    return sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """Every module of passerby that a file names in an import, at the top or inside a function."""
    package = ("passerby", *path.relative_to(SOURCE).parent.parts)
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*start, *([node.module] if node.module else [])))
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("passerby.") for name in names if name.startswith("passerby."))


def libraries_at_top(path):
    """Top-level names of the libraries that importing a file loads. Imports for type checking do not count."""
    for node in parse(path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]
            if node.module == "safetensors.torch":
                yield "torch"


def package_of(path):
    first, *_ = path.relative_to(SOURCE).with_suffix("").parts
    return first


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_packages_import_one_way(path):
    package = package_of(path)
    assert package in MAY_IMPORT, f"{package} is a new package: list in MAY_IMPORT what it may import"
    allowed = MAY_IMPORT[package] | {package, "__version__"}
    for name in imports(path):
        fits = any(name == other or name.startswith(f"{other}.") for other in allowed)
        assert fits, f"{path.relative_to(SOURCE)} imports passerby.{name}; {package} may import {sorted(allowed)}"


def test_packages_import_only_packages_above_them():
    above = set()
    for package, allowed in MAY_IMPORT.items():
        assert {name.partition(".")[0] for name in allowed} <= above, f"{package} imports a package below it"
        above.add(package)


def test_the_architecture_page_has_the_import_table():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for package, allowed in MAY_IMPORT.items():
        if package not in BASE:
            names = sorted(allowed - BASE, key=lambda name: [*MAY_IMPORT].index(name.partition(".")[0]))
            row = f"| `{package}` | {', '.join(f'`{name}`' for name in names) or '-'} |"
            assert row in page.splitlines(), f"docs/architecture.md: expected the row {row}"


def test_relative_and_late_imports_are_read(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    (tmp_path / "model").mkdir()
    file = tmp_path / "model" / "parts.py"
    file.write_text(
        "import passerby.cli.main\ndef late():\n    from ..training import loop\n    from .simam import simam\n"
    )
    assert list(imports(file)) == ["cli.main", "training.loop", "model.simam.simam"]


def test_libraries_at_the_top_are_read(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import torch.nn\nfrom timm.models import create_model\nfrom safetensors.torch import save_file\n"
        "if TYPE_CHECKING:\n    import numba\ndef late():\n    import scipy\n"
    )
    assert list(libraries_at_top(file)) == ["torch", "timm", "safetensors", "torch"]


def test_torch_is_imported_at_the_top_of_few_packages():
    importers = {str(path.relative_to(SOURCE)) for path in files() if TORCH & set(libraries_at_top(path))}
    others = {name for name in importers if name.partition("/")[0].removesuffix(".py") not in USES_TORCH}
    assert others == set()


@pytest.mark.parametrize("module", LIGHT)
def test_few_libraries_are_loaded_by(module):
    done = run_python(f"import sys, {module}; sys.exit(', '.join(sys.modules.keys() & {LIGHT[module]}) or None)")
    assert done.returncode == 0, f"import {module} loads {done.stderr}"


def test_no_module_replaces_a_public_name():
    """Importing the subpackage `passerby.x` sets the attribute `passerby.x`: a function of that name would be lost."""
    done = run_python(
        "import contextlib, importlib, pkgutil, sys, types, passerby\n"
        "from passerby.errors import PasserbyError\n"
        "for module in pkgutil.walk_packages(passerby.__path__, 'passerby.'):\n"
        "    with contextlib.suppress(PasserbyError, ModuleNotFoundError):  # an extra that is not installed\n"
        "        module.name.endswith('__main__') or importlib.import_module(module.name)\n"
        "replaced = [n for n in passerby.__all__ if isinstance(getattr(passerby, n), types.ModuleType)]\n"
        "sys.exit(', '.join(replaced) or None)\n"
    )
    assert done.returncode == 0, done.stderr


def test_no_package_has_the_name_of_a_public_name_or_verb():
    verbs = re.findall(r'app\.command\("(\w+)"', (SOURCE / "cli" / "main.py").read_text(encoding="utf-8"))
    assert "train" in verbs
    assert set(MAY_IMPORT) & ({*passerby.__all__} | {*verbs}) == set()


def test_file_names_are_unique():
    names = defaultdict(list)
    for path in files():
        if path.name != "__init__.py":
            names[path.name].append(str(path.relative_to(SOURCE)))
    assert {name: paths for name, paths in names.items() if len(paths) > 1 and name not in SAME_FILE_NAME} == {}


def test_class_names_are_unique():
    names = defaultdict(list)
    for path in files():
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef):
                names[node.name].append(str(path.relative_to(SOURCE)))
    assert {name: paths for name, paths in names.items() if len(paths) > 1} == {}
