"""A query is not matched with its own file: the same path after links, or optionally equal bytes.

The evaluation leaves out gallery images of the query's identity and camera. So both files need the same camera.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b

from passerby.data.datasets.spec import DataSpec, ReaderResult
from passerby.data.images import read_image
from passerby.errors import DataError
from passerby.files import read_bytes
from passerby.text import plural
from passerby.types import DataSet, Sample

COPIES = {"copies": "exclude: a query is not matched with another file of equal bytes"}
"""Option of all readers, which call `separate_own_files`."""
OPTIONS = {"camera": "name|none, none if the names do not state cameras", **COPIES}
"""Options of the readers of published data sets."""


def are_cameras_known(spec: DataSpec) -> bool:
    """Return false for the option `camera=none`. Raises DataError for another value than `name` or `none`."""
    return spec.choice("camera", ("name", "none"), default="name") == "name"


def separate_own_files(spec: DataSpec, result: ReaderResult, *, cameras_known: bool) -> ReaderResult:
    """Ensure that no query is matched with its own file.

    Args:
        spec: With `copies=exclude`, files of equal bytes count as one file.
        result: Result of a reader.
        cameras_known: If false, each file or track of an identity gets a camera of its own, so that no other match is
            left out for being of the query's camera. If true, gallery images that are the file of a query
            of the same identity in another camera are left out, with a warning.
    """
    exclude = "copies" in spec.options and spec.choice("copies", ("exclude",), default="exclude") == "exclude"
    identify = _digest if exclude else _file_finder()
    data = result.data
    if exclude:
        data = replace(data, variant=f"{data.variant}, copies excluded".removeprefix(", "))
    if not cameras_known:
        return replace(result, data=_number_cameras(data, identify))
    cameras: dict[Hashable, set[int]] = {}
    for sample in data.query:
        cameras.setdefault((sample.person_id, identify(sample)), set()).add(sample.camera_id)
    own = {
        index: sample
        for index, sample in enumerate(data.gallery)
        if cameras.get((sample.person_id, identify(sample)), set()) - {sample.camera_id}
    }
    if not own:
        return replace(result, data=data)
    gallery = tuple(sample for index, sample in enumerate(data.gallery) if index not in own)
    warning = (
        f"{plural(len(own), 'gallery image')} left out: the file of a query under another camera, such as "
        f"{next(iter(own.values())).path}"
    )
    return replace(result, data=replace(data, gallery=gallery), warnings=(*result.warnings, warning))


def _number_cameras(data: DataSet, identify: Callable[[Sample], Hashable]) -> DataSet:
    """Give each file of an identity a camera of its own; the images of a track have the same one."""
    count: Counter[int] = Counter()
    camera_of: dict[Hashable, int] = {}
    parts: dict[str, tuple[Sample, ...]] = {}
    for split in ("train", "query", "gallery"):
        numbered = []
        for sample in getattr(data, split):
            key = sample.person_id, identify(sample) if sample.track is None else sample.track
            if key not in camera_of:
                camera_of[key] = count[sample.person_id]
                count[sample.person_id] += 1
            numbered.append(replace(sample, camera_id=camera_of[key]))
        parts[split] = tuple(numbered)
    variant = f"{data.variant}, cameras unknown".removeprefix(", ")
    train, query, gallery = parts.values()
    return replace(data, train=train, query=query, gallery=gallery, multi_query=(), variant=variant)


def _file_finder() -> Callable[[Sample], Hashable]:
    """Return a function from a sample to its file after links. Each folder is resolved once."""
    resolve = lru_cache(maxsize=None)(os.path.realpath)

    def find_file(sample: Sample) -> Hashable:
        if os.path.islink(sample.path):
            return os.path.realpath(sample.path), sample.key
        return os.path.join(resolve(sample.path.parent), sample.path.name), sample.key

    return find_file


def _digest(sample: Sample) -> Hashable:
    """Return a digest of the file, or of the pixels of an image inside a file; the path if it cannot be read.

    `data check` reports images that cannot be read.
    """
    try:
        content = read_bytes(sample.path) if sample.key is None else read_image(sample).tobytes()
        return blake2b(content, digest_size=16).digest()
    except DataError:
        return sample.path, sample.key
