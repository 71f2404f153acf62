"""CUHK03 (Li et al., CVPR 2014) from the official `cuhk-03.mat`; its images are read where they lie, never unpacked.

`images=labeled` (drawn by hand, the default) or `images=detected`: figures of the two are not comparable.
`protocol=new` (767 / 700 identities; Zhong et al., CVPR 2017) needs `cuhk03_new_protocol_config_{labeled,detected}.mat`
beside the data: train / query / gallery 7,368 / 1,400 / 5,328 labeled, 7,365 / 1,400 / 5,332 detected; Market rule.
`protocol=classic&split=0..19`: 1,367 / 100 identities; queries are the test people in the first camera of their pair,
the gallery is the second camera, evaluated single-gallery-shot. The protocol's figures are averages over the 20 splits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.data.datasets.cuhk03_mat import KINDS, Cell, CuhkMat, parse_cell
from passerby.data.datasets.listing import contents
from passerby.data.datasets.source import Reader, Reading, Source, Unreadable
from passerby.errors import DataError
from passerby.types import DataSet, Sample

MAT = "cuhk-03.mat"


def read_cuhk03(source: Source) -> Reading:
    """Read `cuhk-03.mat`, or the folder that holds it.

    Raises:
        DataError: When a file is missing or not what it should be, or an option is impossible.
    """
    kind = source.choice("images", KINDS, default="labeled")
    protocol = source.choice("protocol", ("new", "classic"), default="new")
    mat = source.path / MAT if source.path.is_dir() else source.path
    if not mat.is_file():
        above = mat.parent if mat.parent.is_dir() else None
        held = f"{above} holds {contents(above)}" if above else f"there is no folder {mat.parent}"
        raise DataError(f"{source.name}: no file {mat}; expected {MAT} or the folder that holds it; {held}")
    if protocol == "classic":
        split = source.integer("split", default=0, low=0, high=19)
        return _read_classic(source, mat, kind, split)
    if "split" in source.options:
        raise DataError(f"{source.name}: option split belongs to protocol=classic; add &protocol=classic")
    return _read_new(source, mat, kind)


def _read_classic(source: Source, mat: Path, kind: str, split: int) -> Reading:
    file = CuhkMat(mat)
    people = file.people(kind)
    before = np.concatenate([[0], np.cumsum(people)])  # so that people of different pairs get different ids
    test_people = file.test_people(split)
    strangers = [(pair, person) for pair, person in test_people if pair > len(people) or person > people[pair - 1]]
    if strangers:
        raise DataError(f"{mat}: test set {split} names pair and person {min(strangers)}, who is not in {kind}")
    train: list[Sample] = []
    views: dict[int, list[Sample]] = {1: [], 2: []}
    for cell in file.present(kind):
        sample = Sample(mat, int(before[cell.pair - 1]) + cell.person, cell.view - 1, key=f"{kind}/{cell.name}")
        tested = (cell.pair, cell.person) in test_people
        (views[cell.view] if tested else train).append(sample)
    data = DataSet(
        name=source.name,
        root=source.path,
        spec=source.spec,
        train=tuple(train),
        query=tuple(views[1]),
        gallery=tuple(views[2]),
        protocol="single-gallery-shot",
        variant=f"{kind}, classic protocol, split {split}",
    )
    return Reading(data)


def _read_new(source: Source, mat: Path, kind: str) -> Reading:
    config = mat.parent / f"cuhk03_new_protocol_config_{kind}.mat"
    if not config.is_file():
        raise DataError(
            f"{source.name}: no file {config}; the new protocol expects it beside {MAT} (it comes with CUHK03-NP); "
            f"without it, ?protocol=classic works. {mat.parent} holds {contents(mat.parent)}"
        )
    fields = _load_config(config)
    names = [str(np.ravel(name)[0]) for name in np.ravel(fields["filelist"])]
    labels = np.ravel(fields["labels"]).astype(np.int64)
    if len(labels) != len(names):
        raise DataError(f"{config}: {len(names)} names in filelist, but {len(labels)} labels; copy the file again")
    cells = [parse_cell(name) for name in names]
    splits = {part: _indices(fields, part, len(names), config) for part in ("train", "query", "gallery")}
    read = {part: _samples(indices, cells, labels, mat=mat, kind=kind) for part, indices in splits.items()}
    used = sorted({index for indices in splits.values() for index in indices})
    why = "the name in filelist does not parse; expected one like 1_013_2_07.png"
    unreadable = tuple(Unreadable(f"{config}:{names[i]}", why) for i in used if cells[i] is None)
    data = DataSet(
        name=source.name,
        root=source.path,
        spec=source.spec,
        train=read["train"],
        query=read["query"],
        gallery=read["gallery"],
        variant=f"{kind}, new protocol",
    )
    return Reading(data, unreadable)


def _load_config(config: Path) -> dict[str, NDArray[Any]]:
    import scipy.io

    try:
        fields = scipy.io.loadmat(config)
    except (ValueError, TypeError, OSError, NotImplementedError) as error:
        raise DataError(f"{config}: not a v5 .mat file ({error}); copy it again") from None
    wanted = ("filelist", "labels", "train_idx", "query_idx", "gallery_idx")
    missing = [name for name in wanted if name not in fields]
    if missing:
        raise DataError(f"{config}: no {', '.join(missing)} in it; expected {', '.join(wanted)}")
    return {name: fields[name] for name in wanted}


def _indices(fields: dict[str, NDArray[Any]], part: str, count: int, config: Path) -> list[int]:
    """0-based places in the file list, sorted."""
    indices = np.ravel(fields[f"{part}_idx"]).astype(np.int64) - 1
    if indices.size and not 0 <= indices.min() <= indices.max() < count:
        raise DataError(f"{config}: {part}_idx runs from {indices.min() + 1} to {indices.max() + 1} of {count} names")
    return sorted(int(index) for index in indices)


def _samples(
    indices: list[int], cells: list[Cell | None], labels: NDArray[np.int64], *, mat: Path, kind: str
) -> tuple[Sample, ...]:
    return tuple(
        Sample(mat, int(labels[index]), cell.view - 1, key=f"{kind}/{cell.name}")
        for index in indices
        if (cell := cells[index]) is not None
    )


READER = Reader(
    read_cuhk03,
    "CUHK03 from cuhk-03.mat: 1,467 identities, 2 cameras, new protocol or the classic 20 splits",
    {"images": "labeled|detected", "protocol": "new|classic", "split": "0..19 (classic only)"},
)
