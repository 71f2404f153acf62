"""Tracks: the images of one person in one camera, in order. An evaluation compares the mean embeddings of tracks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.data.datasets.mat5 import MAX_BYTES, read_mat5
from passerby.data.datasets.spec import DataSpec
from passerby.errors import DataError, explain
from passerby.files import read_bytes, read_json
from passerby.text import plural
from passerby.types import Sample

FRAMES = {"frames": "N evenly spaced images of each query and gallery track, default all"}
"""Option of the readers of tracks."""
ALL_FRAMES = 10_000_000
"""Number of images above that of every track."""


def frames_option(spec: DataSpec) -> int:
    """Return the largest number of images of a test track. Raises DataError for another value than 1 or more."""
    return spec.integer("frames", default=ALL_FRAMES, low=1, high=ALL_FRAMES)


def make_track(
    paths: Sequence[Path], person: int, camera: int, *, track: int, frames: int = ALL_FRAMES
) -> list[Sample]:
    """Return the samples of a track.

    Args:
        paths: Images, in order.
        person: Identity.
        camera: Camera, from 0.
        track: Number of the track in the data set.
        frames: Largest number of images, evenly spaced from the first to the last.
    """
    if frames < len(paths):
        paths = [paths[index] for index in np.linspace(0, len(paths) - 1, frames).round().astype(int)]
    return [Sample(path, person, camera, track=track) for path in paths]


def read_numbers(file: Path, *, columns: int, name: str) -> NDArray[np.int64]:
    """Read the one numeric array of a v5 .mat file as (rows, columns) integers.

    Raises:
        DataError: If the file is missing or has another content.
    """
    try:
        fields = read_mat5(read_bytes(file, limit=MAX_BYTES))
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{file}: not a v5 .mat file ({explain(error)}); copy it again") from None
    arrays = {key: value for key, value in fields.items() if not isinstance(value, list)}
    values: NDArray[Any] | None = arrays.get(name, next(iter(arrays.values())) if len(arrays) == 1 else None)
    if values is None:
        raise DataError(f"{file}: no numeric array {name} in it; it holds {', '.join(fields) or 'nothing'}")
    if values.size % columns or not np.all((np.abs(values.astype(np.float64)) < 2**53) & (values == np.floor(values))):
        raise DataError(f"{file}: {plural(values.size, 'number')}; expected rows of {columns} whole numbers")
    return values.astype(np.int64).reshape(columns, -1).T


def read_person_splits(file: Path) -> list[tuple[set[int], set[int]]]:
    """Read splits as Torchreid writes them: `[{"train": [...], "test": [...]}, ...]` of numbers or names of folders.

    Returns:
        (train, test) identities of each split, by the number in the name.

    Raises:
        DataError: If the file cannot be read, or has another content.
    """
    try:
        content = read_json(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({explain(error)}); copy it again") from None
    try:
        splits = [
            tuple({person_number(str(item)) for item in split[part]} for part in ("train", "test")) for split in content
        ]
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{file}: expected a list of splits with the identities of train and test") from None
    return [(train, test) for train, test in splits]


def person_number(name: str) -> int:
    """Return the number at the end of a name like `person_0001` or `person001`.

    Raises:
        ValueError: If there is none.
    """
    match = re.fullmatch(r"(?:person_?)?([0-9]{1,9})", name)
    if match is None:
        raise ValueError(name)
    return int(match[1])
