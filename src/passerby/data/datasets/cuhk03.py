"""CUHK03 (Li et al., CVPR 2014) from the official `cuhk-03.mat`; images are read from that file.

`images=labeled` (boxes drawn by hand, the default) or `images=detected`. Metrics of the two are not comparable.
`protocol=new` (767 / 700 identities; Zhong et al., CVPR 2017) needs `cuhk03_new_protocol_config_{labeled,detected}.mat`
beside the data: train / query / gallery 7,368 / 1,400 / 5,328 labeled, 7,365 / 1,400 / 5,332 detected; Market rule.
Without `cuhk-03.mat`, the folders and splits that Torchreid unpacks it to are read (`cuhk03_unpacked.py`).
`protocol=classic&split=0..19`: 1,367 / 100 identities; queries are the test identities in the first camera of their
pair, the gallery is the second camera, evaluated single-gallery-shot. Its metrics are averages over the 20 splits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.data.datasets.cuhk03_mat import KINDS, CuhkMat, ImageCell, parse_cell
from passerby.data.datasets.cuhk03_unpacked import is_unpacked, read_split
from passerby.data.datasets.listing import missing_file, require_folder
from passerby.data.datasets.mat5 import MAX_BYTES, read_mat5
from passerby.data.datasets.own_files import OPTIONS, are_cameras_known, separate_own_files
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult, UnreadableEntry
from passerby.errors import DataError, explain
from passerby.files import read_bytes
from passerby.text import plural
from passerby.types import DataSet, Sample

MAT = "cuhk-03.mat"


def read_cuhk03(spec: DataSpec) -> ReaderResult:
    """Read `cuhk-03.mat`, or the folder that holds it or its unpacked images.

    Raises:
        DataError: When a file is missing or has another content, or for an invalid option.
    """
    return separate_own_files(spec, _read_protocol(spec), cameras_known=are_cameras_known(spec))


def _read_protocol(spec: DataSpec) -> ReaderResult:
    kind = spec.choice("images", KINDS, default="labeled")
    protocol = spec.choice("protocol", ("new", "classic"), default="new")
    if "split" in spec.options and protocol != "classic":
        raise DataError(f"{spec.name}: option split belongs to protocol=classic; add &protocol=classic")
    split = spec.integer("split", default=0, low=0, high=19)
    mat = spec.path / MAT if spec.path.is_dir() else spec.path
    if not mat.is_file() and is_unpacked(spec.path):
        return _read_unpacked(spec, kind, protocol, split)
    if not mat.is_file():
        raise missing_file(
            mat, name=spec.name, expected=f"{MAT} or the folder that holds it, or images_labeled/ and images_detected/"
        )
    return _read_classic(spec, mat, kind, split) if protocol == "classic" else _read_new(spec, mat, kind)


def _read_unpacked(spec: DataSpec, kind: str, protocol: str, split: int) -> ReaderResult:
    """Read images_labeled/ or images_detected/: the new protocol by its .mat file, if it is there, else by JSON."""
    images = require_folder(spec.path / f"images_{kind}", name=spec.name, expected="the images that Torchreid unpacks")
    if protocol == "new" and (spec.path / f"cuhk03_new_protocol_config_{kind}.mat").is_file():
        return _read_new(spec, images, kind)
    parts, unreadable = read_split(spec.path, kind=kind, protocol=protocol, split=split, name=spec.name)
    classic = protocol == "classic"
    data = DataSet(
        name=spec.name,
        root=spec.path,
        spec=spec.text,
        train=parts.train,
        query=parts.query,
        gallery=parts.gallery,
        protocol="single-gallery-shot" if classic else "market",
        variant=f"{kind}, classic protocol, split {split}" if classic else f"{kind}, new protocol",
    )
    return ReaderResult(data, unreadable)


def _read_classic(spec: DataSpec, mat: Path, kind: str, split: int) -> ReaderResult:
    file = CuhkMat(mat)
    counts = file.count_persons(kind)
    offsets = np.concatenate([[0], np.cumsum(counts)])  # people of different pairs get different ids
    test = file.test_persons(split)
    unknown = [(pair, person) for pair, person in test if pair > len(counts) or person > counts[pair - 1]]
    if unknown:
        raise DataError(f"{mat}: test set {split} has pair and person {min(unknown)}, which is not in {kind}")
    train: list[Sample] = []
    views: dict[int, list[Sample]] = {1: [], 2: []}
    for cell in file.list_images(kind):
        sample = Sample(mat, int(offsets[cell.pair - 1]) + cell.person, cell.view - 1, key=f"{kind}/{cell.name}")
        (views[cell.view] if (cell.pair, cell.person) in test else train).append(sample)
    data = DataSet(
        name=spec.name,
        root=spec.path,
        spec=spec.text,
        train=tuple(train),
        query=tuple(views[1]),
        gallery=tuple(views[2]),
        protocol="single-gallery-shot",
        variant=f"{kind}, classic protocol, split {split}",
    )
    return ReaderResult(data)


def _read_new(spec: DataSpec, mat: Path, kind: str) -> ReaderResult:
    """Read the new protocol; `mat` is `cuhk-03.mat` or the folder of the unpacked images."""
    config = mat.parent / f"cuhk03_new_protocol_config_{kind}.mat"
    if not config.is_file():
        raise missing_file(
            config,
            name=spec.name,
            expected=f"the new protocol beside {MAT} (it comes with CUHK03-NP); without it, ?protocol=classic works",
        )
    fields = _load_config(config)
    names = fields["filelist"]
    if not isinstance(names, list):
        raise DataError(f"{config}: filelist has numbers; expected names like 1_013_2_07.png")
    labels = _read_integers(fields, "labels", config)
    if labels.size and labels.min() < 1:
        raise DataError(f"{config}: labels from {labels.min()}; expected identities from 1")
    if len(labels) != len(names):
        raise DataError(
            f"{config}: {plural(len(names), 'name')} in filelist, but {plural(len(labels), 'label')}; copy the file "
            "again"
        )
    cells = [parse_cell(name) for name in names]
    splits = {part: _read_indices(fields, part, len(names), config) for part in ("train", "query", "gallery")}
    samples = {part: _build_samples(indices, cells, labels, mat=mat, kind=kind) for part, indices in splits.items()}
    used = sorted({index for indices in splits.values() for index in indices})
    reason = "the name in filelist does not parse; expected one like 1_013_2_07.png"
    unreadable = tuple(UnreadableEntry(f"{config}:{names[i]}", reason) for i in used if cells[i] is None)
    data = DataSet(
        name=spec.name,
        root=spec.path,
        spec=spec.text,
        train=samples["train"],
        query=samples["query"],
        gallery=samples["gallery"],
        variant=f"{kind}, new protocol",
    )
    return ReaderResult(data, unreadable)


def _load_config(config: Path) -> dict[str, NDArray[Any] | list[str]]:
    try:
        fields = read_mat5(read_bytes(config, limit=MAX_BYTES))
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{config}: not a v5 .mat file ({explain(error)}); copy it again") from None
    expected = ("filelist", "labels", "train_idx", "query_idx", "gallery_idx")
    missing = [name for name in expected if name not in fields]
    if missing:
        raise DataError(f"{config}: no {', '.join(missing)} in it; expected {', '.join(expected)}")
    return {name: fields[name] for name in expected}


def _read_integers(fields: dict[str, NDArray[Any] | list[str]], name: str, config: Path) -> NDArray[np.int64]:
    """Return a field as (N,) integers; whole numbers may be stored as floats."""
    values = fields[name]
    if isinstance(values, list):
        raise DataError(f"{config}: {name} has texts; expected whole numbers")
    if values.size and not np.all((np.abs(values.astype(np.float64)) < 2**53) & (values == np.floor(values))):
        raise DataError(f"{config}: {name} has other values than whole numbers")
    return values.astype(np.int64)


def _read_indices(fields: dict[str, NDArray[Any] | list[str]], part: str, count: int, config: Path) -> list[int]:
    """Return 0-based indices into the file list, sorted."""
    indices = _read_integers(fields, f"{part}_idx", config) - 1
    if indices.size and not 0 <= indices.min() <= indices.max() < count:
        raise DataError(
            f"{config}: {part}_idx runs from {indices.min() + 1} to {indices.max() + 1} of {plural(count, 'name')}"
        )
    return sorted(int(index) for index in indices)


def _build_samples(
    indices: list[int], cells: list[ImageCell | None], labels: NDArray[np.int64], *, mat: Path, kind: str
) -> tuple[Sample, ...]:
    return tuple(
        Sample(mat / cell.name, int(labels[index]), cell.view - 1)
        if mat.is_dir()
        else Sample(mat, int(labels[index]), cell.view - 1, key=f"{kind}/{cell.name}")
        for index in indices
        if (cell := cells[index]) is not None
    )


READER = Reader(
    read_cuhk03,
    "CUHK03 from cuhk-03.mat: 1,467 identities, 2 cameras, new protocol or the classic 20 splits",
    {"images": "labeled|detected", "protocol": "new|classic", "split": "0..19 (classic only)", **OPTIONS},
)
