"""Models that were adapted by the crops of a gallery: erasing a sighting does not change them, so they are named.

The file `adapted-runs.json` in the gallery's folder lists each run with the ids of its sightings. What was learned from
them remains in the weights of a run. Its pictures, which show crops, are erased with the sightings.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from passerby.errors import GalleryError, WriteError, explain
from passerby.files import read_json, write_atomic
from passerby.gallery.stores.validation import is_absolute
from passerby.runtime.model_manifest import PICTURES

logger = logging.getLogger(__name__)

FILE = "adapted-runs.json"
PICTURES_LIST = "pictures.json"
"""File in the pictures of an adapted run: the names of the crops of each."""


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
    entries = [entry for entry in read_runs(Path(folder)) if entry["run"] != path]
    _write(Path(folder), [*entries, {"run": path, "ids": sorted(ids)}])


def merge_runs(folder: Path, runs: Sequence[dict[str, Any]]) -> None:
    """Add the runs of another list to that of a gallery in a folder; a run in both was made from the crops of both.

    Raises:
        GalleryError: If the list cannot be read.
        WriteError: If it cannot be written.
    """
    known = read_runs(folder)
    ids: dict[str, set[str]] = {}
    for entry in (*known, *runs):
        ids.setdefault(entry["run"], set()).update(entry["ids"])
    merged = [{"run": run, "ids": sorted(names)} for run, names in ids.items()]
    if merged != known:
        _write(folder, merged)


def drop_erased(folder: str | Path, find_stored: Callable[[Sequence[str]], Collection[str]]) -> list[str]:
    """Remove the ids of erased sightings from the list of a gallery, and the pictures of the runs that show them.

    A warning names each run that was made from an erased sighting.

    Args:
        folder: Folder of the gallery.
        find_stored: Returns those of the ids that the gallery still holds.

    Returns:
        The runs that were made from an erased sighting; they stay in the list.

    Raises:
        GalleryError: If the list cannot be read.
        WriteError: If it cannot be written, or a picture cannot be deleted.

    Example:
        >>> record_adapted_run(".", "runs/site", ["s1", "s2"])
        >>> [Path(run).name for run in drop_erased(".", lambda ids: ["s1"])], drop_erased(".", lambda ids: ["s1"])
        (['site'], [])
    """
    entries = read_runs(Path(folder))
    if not entries:
        return []
    stored = set(find_stored(sorted({name for entry in entries for name in entry["ids"]})))
    kept = [{**entry, "ids": [name for name in entry["ids"] if name in stored]} for entry in entries]
    changed = [(old, new) for old, new in zip(entries, kept, strict=True) if old != new]
    for old, new in changed:  # before the list is written, so that an interrupted call is repeated
        erase_pictures(old["run"], set(old["ids"]) - set(new["ids"]))
        logger.warning("%s: was adapted by erased crops; adapt again, and delete it and its copies", old["run"])
    if changed:
        _write(Path(folder), kept)
    return [str(old["run"]) for old, _ in changed]


def erase_pictures(run: str | Path, ids: Collection[str]) -> list[str]:
    """Delete the pictures of an adapted run that show one of the crops; all of them if their list cannot be read.

    Args:
        run: Folder of the run; a run that is not there has none.
        ids: Names of the crops.

    Returns:
        The names of the deleted files.

    Raises:
        WriteError: If one cannot be deleted.
    """
    folder = Path(run) / PICTURES
    listed: dict[str, list[str]] | None
    try:
        listed = {str(name): list(shown) for name, shown in read_json(folder / PICTURES_LIST).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        listed = None
    erased = sorted(
        path.name for path in folder.glob("*.png") if listed is None or set(listed.get(path.name, ids)) & set(ids)
    )
    try:
        for name in erased:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(f"{folder}: a picture of erased crops cannot be deleted ({explain(error)})") from None
    if erased:
        logger.warning("%s: erased %s", folder, ", ".join(erased))
    if listed is not None:
        kept = {name: shown for name, shown in listed.items() if name not in erased}
        write_atomic(folder / PICTURES_LIST, json.dumps(kept, indent=1).encode(), private=True)
    return erased


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """Return the runs of a gallery in a folder, each with the ids of its sightings; none without a list.

    Raises:
        GalleryError: If the list cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        return check_runs(read_json(path)["runs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GalleryError(
            f"{path}: cannot be read ({explain(error)}); restore it, or delete it if no run is in use"
        ) from None


def check_runs(runs: Any) -> list[dict[str, Any]]:
    """Check a list of runs that was read, and return it.

    Raises:
        ValueError: If it is none.
    """
    if not isinstance(runs, list) or not all(map(_is_run, runs)):
        raise ValueError("runs: expected a list of objects with run, an absolute path, and ids")
    return runs


def _is_run(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.keys() == {"run", "ids"}
        and is_absolute(entry["run"])
        and isinstance(entry["ids"], list)
        and all(isinstance(name, str) for name in entry["ids"])
    )


def _write(folder: Path, runs: Sequence[dict[str, Any]]) -> None:
    write_atomic(folder / FILE, (json.dumps({"runs": list(runs)}, indent=2) + "\n").encode())
    (folder / FILE).chmod(0o600)
