"""Fingerprint of data sets, equal on all machines that hold the same data."""

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
    """Compute SHA-256 over split, path inside the data set, key, size in bytes, person, camera and track of each image.

    Pixels are not read, which would take minutes. The order of the sets, their location and the text of the spec do not
    matter; an option that changes a split does.

    Returns:
        64 hexadecimal digits.

    Raises:
        DataError: For a missing file, naming it.

    Example:
        >>> from passerby.data.datasets import load_data
        >>> len(fingerprint(load_data("market1501:people")))
        64
    """
    file_size = lru_cache(maxsize=None)(_file_size)  # a container has thousands of samples
    digests = [
        hashlib.sha256("\n".join([data.name, *sorted(_lines(data, file_size))]).encode()).hexdigest() for data in sets
    ]
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _lines(data: DataSet, file_size: Callable[[Path], int]) -> list[str]:
    root = data.root if data.root.is_dir() else data.root.parent
    return [
        json.dumps(
            [
                split,
                _relative_path(root, sample),
                sample.key,
                file_size(sample.path),
                sample.person_id,
                sample.camera_id,
                *(() if sample.track is None else (sample.track,)),  # equal to what earlier versions computed
            ]
        )
        for split in SPLITS
        for sample in getattr(data, split)
    ]


def _relative_path(root: Path, sample: Sample) -> str:
    """Return the path from the root, or folder and name of an image elsewhere, whose path depends on the machine."""
    path = sample.path
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else "/".join(path.parts[-2:])


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; the data set lists it") from None
