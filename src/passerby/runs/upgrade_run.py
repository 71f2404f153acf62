"""Convert a run of an older version: British spellings in keys, manifest format 1, the folder `figures`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from passerby.data.fingerprint import fingerprint
from passerby.errors import DataError, PasserbyError, WeightsError, explain
from passerby.files import write_atomic
from passerby.recipe import parse_recipe
from passerby.recipe.problems import RENAMED_KEYS
from passerby.recipe.read_yaml import read_yaml
from passerby.runs.run_data import load_run_data
from passerby.runs.run_folder import RunFolder, to_json
from passerby.runtime.model_manifest import MANIFEST_FILE, MANIFEST_FORMAT, MANIFEST_KEYS

COPIES = ".before-upgrade"
"""Folder of the copies, inside the run; it exists only while a conversion is incomplete."""
OLD_PLOTS = "figures"
WORDS = {"optimiser": "optimizer", "centre": "center", "centres": "centers"}
"""Renamed parts of tensor names and of the names of losses."""


def upgrade_run(run: str | Path) -> bool:
    """Convert a run, finished or not, to the format of this version.

    A copy of every file is kept in the run until the conversion is complete. After an interruption the same call
    completes it. A run of this version is not changed.

    Args:
        run: Folder of the run.

    Returns:
        Whether anything was converted.

    Raises:
        WeightsError: If the folder holds no run, or one of a newer version.
        RecipeError: If its recipe has other errors; nothing is changed.
        WriteError: If a file cannot be written; the copies are kept.

    Example:
        >>> passerby.upgrade_run("runs/m")  # a run of this version
        False
    """
    folder = RunFolder(Path(run))
    copies = folder.root / COPIES
    if not folder.manifest.is_file():
        raise WeightsError(f"{folder.root}: no run here (no manifest.json); expected the folder of a run")
    contents = {
        path: _convert(path, convert)
        for path, convert in (
            (folder.recipe, _convert_recipe),
            (folder.checkpoint, _convert_checkpoint),
            (folder.log, _convert_log),
            (folder.scores, _convert_scores),
            # Last, as its format states that the others are converted.
            (folder.manifest, partial(_convert_manifest, root=folder.root)),
        )
        if path.is_file()
    }
    changed = {path: content for path, content in contents.items() if content != path.read_bytes()}
    for path in changed:
        copy = copies / path.relative_to(folder.root)
        if not copy.exists():  # one that exists is of the file before an interrupted conversion
            write_atomic(copy, path.read_bytes())
    for path, content in changed.items():
        write_atomic(path, content)
    moved = _move_plots(folder)
    shutil.rmtree(copies, ignore_errors=True)
    return bool(changed) or moved


def _move_plots(folder: RunFolder) -> bool:
    """Rename the folder of plots, or move its content if a folder with the new name exists."""
    old = folder.root / OLD_PLOTS
    if not old.is_dir():
        return False
    if not folder.plots.exists():
        old.rename(folder.plots)
        return True
    for path in sorted(old.iterdir()):
        target = folder.plots / path.name
        if not target.exists():
            path.rename(target)
    shutil.rmtree(old)
    return True


def _convert(path: Path, convert: Callable[[bytes], bytes]) -> bytes:
    """Convert the content of a file, or raise an error that names it."""
    try:
        return convert(path.read_bytes())
    except PasserbyError:
        raise
    except (ValueError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
        raise WeightsError(f"{path}: not converted, as it is no file of passerby ({explain(error)})") from None


def _convert_recipe(content: bytes) -> bytes:
    tree = read_yaml(content.decode())
    renamed = _rename_keys(tree)
    return content if renamed == tree else parse_recipe(renamed, source="recipe.yaml").to_yaml().encode()


def _convert_manifest(content: bytes, *, root: Path) -> bytes:
    tree = json.loads(content)
    if not isinstance(tree, dict):
        raise ValueError(f"got {type(tree).__name__}, expected an object")
    if tree.get("format") not in (1, MANIFEST_FORMAT):
        raise WeightsError(
            f"{root / MANIFEST_FILE}: format {tree.get('format')!r}, expected 1 or {MANIFEST_FORMAT}; install the "
            f"version of passerby that wrote it ({tree.get('passerby', 'not named')})"
        )
    if missing := [key for key in MANIFEST_KEYS if key not in tree]:
        raise ValueError(f"lacks {', '.join(missing)}")
    if tree["format"] == MANIFEST_FORMAT:
        return content
    tree["format"], fingerprints = MANIFEST_FORMAT, _find_fingerprints(tree, root)
    names = list(tree)
    names.insert(names.index("fingerprint") + 1 if "fingerprint" in tree else len(names), "fingerprints")
    tree = {name: fingerprints if name == "fingerprints" else tree[name] for name in names}
    if "recipe" in tree:
        tree["recipe"] = parse_recipe(_rename_keys(tree["recipe"]), source="manifest.json").model_dump(mode="json")
    return to_json(tree)


def _find_fingerprints(manifest: Mapping[str, Any], root: Path) -> list[str] | None:
    """Return the fingerprint of each data set; None if there are several and the data are not what they were."""
    if "fingerprint" not in manifest:
        return None
    if len(manifest.get("titles", ())) == 1:
        return [manifest["fingerprint"]]
    try:
        sets = load_run_data(root, manifest)
        return [fingerprint([data]) for data in sets] if fingerprint(sets) == manifest["fingerprint"] else None
    except (DataError, KeyError):
        return None


def _convert_checkpoint(content: bytes) -> bytes:
    """Rename tensors in the header of a safetensors file, whose data follow it unchanged."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    renamed = {".".join(WORDS.get(part, part) for part in name.split(".")): value for name, value in header.items()}
    metadata = dict(header.get("__metadata__", {}))
    if "passerby" in metadata:
        values = {WORDS.get(key, key): value for key, value in json.loads(metadata["passerby"]).items()}
        metadata["passerby"] = json.dumps(values)
    if renamed.keys() == header.keys() and "optimiser" not in header.get("__metadata__", {}).get("passerby", ""):
        return content
    text = json.dumps(renamed | ({"__metadata__": metadata} if metadata else {})).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def _convert_log(content: bytes) -> bytes:
    lines = content.split(b"\n")
    return b"\n".join(_convert_record(line) if b'"centre"' in line else line for line in lines)


def _convert_record(line: bytes) -> bytes:
    try:
        record = json.loads(line)
    except ValueError:
        return line  # the end of a file that an interrupted write has left
    record["losses"] = {WORDS.get(name, name): value for name, value in record.get("losses", {}).items()}
    return json.dumps(record).encode()


def _convert_scores(content: bytes) -> bytes:
    tree = json.loads(content)
    entries = [*tree["evaluations"], *(entry for stage in tree.get("stages", ()) for entry in stage["evaluations"])]
    before = [entry.get("method", "") for entry in entries]
    for entry in entries:
        if "method" in entry:
            entry["method"] = (
                entry["method"].replace("normalisation", "normalization").replace("unlabelled", "unlabeled")
            )
    return content if [entry.get("method", "") for entry in entries] == before else to_json(tree)


def _rename_keys(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's tree with the keys of this version."""
    renamed = json.loads(json.dumps(tree))
    for old, new in RENAMED_KEYS.items():
        *sections, key = old.split(".")
        section = renamed
        for name in sections:
            section = section.get(name) or {}
        if key in section:
            section[new.split(".")[-1]] = section.pop(key)
    return dict(renamed)
