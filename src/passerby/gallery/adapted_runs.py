"""Models that were adapted by the crops of a gallery: erasing a sighting does not change them, so they are named.

The file `adapted-runs.json` in the gallery's folder lists each run with the ids of its sightings. A run holds no crop
and no vector of them; what was learned from them remains in its weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from passerby.errors import GalleryError, explain
from passerby.files import read_json, write_atomic

FILE = "adapted-runs.json"


def record_adapted_run(folder: str | Path, run: str | Path, ids: Collection[str]) -> None:
    """Add a run to the list of a gallery in a folder.

    Args:
        folder: Folder of the gallery.
        run: Folder of the run.
        ids: Sightings whose crops it was made from.

    Raises:
        WriteError: If the list cannot be written.
    """
    path = str(Path(run).resolve())
    entries = [entry for entry in _read(Path(folder)) if entry["run"] != path]
    _write(Path(folder), [*entries, {"run": path, "ids": sorted(ids)}])


def drop_erased(folder: str | Path, find_stored: Callable[[Sequence[str]], Collection[str]]) -> list[str]:
    """Remove the ids of erased sightings from the list of a gallery; the runs stay in it.

    Args:
        folder: Folder of the gallery.
        find_stored: Returns those of the ids that the gallery still holds.

    Returns:
        The runs that were made from an erased sighting.

    Raises:
        GalleryError: If the list cannot be read.
        WriteError: If it cannot be written.

    Example:
        >>> record_adapted_run(".", "runs/site", ["s1", "s2"])
        >>> [Path(run).name for run in drop_erased(".", lambda ids: ["s1"])], drop_erased(".", lambda ids: ["s1"])
        (['site'], [])
    """
    entries = _read(Path(folder))
    if not entries:
        return []
    stored = set(find_stored(sorted({name for entry in entries for name in entry["ids"]})))
    kept = [{**entry, "ids": [name for name in entry["ids"] if name in stored]} for entry in entries]
    if kept != entries:
        _write(Path(folder), kept)
    return [str(old["run"]) for old, new in zip(entries, kept, strict=True) if old != new]


def _read(folder: Path) -> list[dict[str, Any]]:
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        runs: list[dict[str, Any]] = read_json(path)["runs"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GalleryError(
            f"{path}: cannot be read ({explain(error)}); restore it, or delete it if no run is in use"
        ) from None
    return runs


def _write(folder: Path, runs: Sequence[dict[str, Any]]) -> None:
    write_atomic(folder / FILE, (json.dumps({"runs": list(runs)}, indent=2) + "\n").encode())
    (folder / FILE).chmod(0o600)
