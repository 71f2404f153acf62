"""Data sets of a run: their paths in the manifest, and reading them again from any working directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from passerby.data.datasets import DATASETS, load_data, read_part
from passerby.data.datasets.spec import DataSpec, parse_spec
from passerby.errors import DataError, argument
from passerby.runtime.model_manifest import DEFAULT_MODEL
from passerby.types import DEFAULT, DataSet

ABSOLUTE = "data_absolute"
"""Key of the absolute paths, which describe one machine: left out of every manifest that is published."""


def describe_data(spec: str, root: Path) -> dict[str, Any]:
    """Return the manifest's entries about the place of data sets.

    Args:
        spec: The data sets, with paths from the working directory.
        root: Folder of the run.

    Returns:
        `data`, the spec as it is; if it has paths, also `data_from_run`, the path of each data set from the run's
        folder, and `data_absolute`, the absolute one, both None for a data set without a path.
    """
    parts = parse_spec(spec, readers=DATASETS)
    if not any(DATASETS[part.name].has_path for part in parts):
        return {"data": spec}
    start = os.path.realpath(root)

    def paths(convert: Callable[[str], str]) -> list[str | None]:
        absolute = (os.path.abspath(part.path) if DATASETS[part.name].has_path else None for part in parts)
        return [None if path is None else convert(path) for path in absolute]

    from_run = paths(lambda path: Path(os.path.relpath(path, start)).as_posix())
    return {"data": spec, "data_from_run": from_run, ABSOLUTE: paths(str)}


def load_run_data(root: Path, manifest: Mapping[str, Any], data: str | None = None) -> list[DataSet]:
    """Read data sets that are given, or those of a run.

    A path of the manifest is taken from the run's folder, then as the absolute path, then from the working directory:
    the first that exists.

    Args:
        root: Folder of the run.
        manifest: Its manifest.
        data: Data sets, as for `train`; None is the run's own.

    Raises:
        DataError: If a data set is at none of these places; for the default model, or one that was adapted from it,
            whose training images would take hours to render; as `load_data`.
    """
    if data is not None:
        return load_data(data)
    spec = manifest.get("data")
    if not isinstance(spec, str):
        raise DataError(f"{root}: its manifest names no data; name them with {argument('data')}")
    parts = parse_spec(spec, readers=DATASETS)
    shipped = root.resolve() == DEFAULT_MODEL.resolve()
    if (shipped or "adaptation" in manifest) and not all(DATASETS[part.name].has_path for part in parts):
        raise DataError(
            f"{DEFAULT if shipped else root}: its training images, {spec}, are not rendered again for this; name data "
            f"with {argument('data')}, such as folder:/data/ours"
        )
    return [read_part(_locate(part, number, root, manifest)) for number, part in enumerate(parts)]


def _locate(part: DataSpec, number: int, root: Path, manifest: Mapping[str, Any]) -> DataSpec:
    """Return a part of the spec with the first of its paths that exists."""
    if not DATASETS[part.name].has_path:
        return part
    start = os.path.realpath(root)
    paths = [part.path]
    for key, base in ((ABSOLUTE, "/"), ("data_from_run", start)):
        values = manifest.get(key)
        if isinstance(values, list) and number < len(values) and isinstance(values[number], str):
            paths.insert(0, Path(os.path.normpath(os.path.join(base, values[number]))))
    for path in paths:
        if path.exists():
            return replace(part, path=path)
    places = ", ".join(dict.fromkeys(map(str, paths)))
    raise DataError(
        f"{root}: its data set {part.text} is at none of {places}; restore it, or name it with {argument('data')}"
    )
