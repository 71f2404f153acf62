"""Which data a run saw, as one number: the same on every machine that holds the same data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from passerby.errors import DataError
from passerby.types import DataSet, Sample

SPLITS = ("train", "query", "gallery", "multi_query")


def fingerprint(sets: Sequence[DataSet]) -> str:
    """SHA-256 over each image's split, path inside its data set, key, size in bytes, person and camera.

    Not the pixels: that would take minutes. Order of the sets, where they lie and how the spec was written do not
    matter; another option that changes a split does.

    Returns:
        64 hexadecimal digits.

    Raises:
        DataError: Naming a file that is not there.
    """
    size_of = lru_cache(maxsize=None)(_size)  # a container holds thousands of samples
    one_each = [
        hashlib.sha256("\n".join([data.name, *sorted(_lines(data, size_of))]).encode()).hexdigest() for data in sets
    ]
    return hashlib.sha256("\n".join(sorted(one_each)).encode()).hexdigest()


def _lines(data: DataSet, size_of: Callable[[Path], int]) -> list[str]:
    root = data.root if data.root.is_dir() else data.root.parent
    return [
        json.dumps([split, _inside(root, sample), sample.key, size_of(sample.path), sample.person_id, sample.camera_id])
        for split in SPLITS
        for sample in getattr(data, split)
    ]


def _inside(root: Path, sample: Sample) -> str:
    """The path from the root; of an image elsewhere, its folder and name, for the way there is the machine's own."""
    path = sample.path
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else "/".join(path.parts[-2:])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; the data set names it") from None
