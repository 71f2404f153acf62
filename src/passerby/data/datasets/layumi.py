"""Folders of identities, as the scripts of layumi's baseline and of DG-Net write them.

    pytorch/   train_all/ [train/ val/]  query/  gallery/  [multi-query/]      0002/0002_c1s1_000451_03.jpg ...

They hold Market-1501, DukeMTMC-reID, CUHK03-NP or another data set with names of that kind. The identity is the name of
the folder, the camera the number after `c`; -1 is junk and 0000 is a distractor, as in Market-1501. `train=train` is
the training without the first image of each identity, which those scripts move to val/.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from passerby.data.datasets.listing import require_folder, subfolders
from passerby.data.datasets.market1501 import (
    PERSON_NAME,
    FolderListing,
    assemble_listings,
    describe_layout,
    join_listings,
    list_folder,
)
from passerby.data.datasets.own_files import OPTIONS, are_cameras_known
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult, UnreadableEntry

NAME = re.compile(r"(?P<person>-1|[0-9]+)_c(?P<camera>[0-9]+)")
EXAMPLE = "0002/0002_c1s1_000451_03.jpg"
TRAIN = ("train_all", "train")


def read_layumi(spec: DataSpec) -> ReaderResult:
    """Read the folder pytorch/, or the folder that holds it.

    Raises:
        DataError: When a folder is missing, or for an invalid option.
    """
    train = spec.choice("train", TRAIN, default=TRAIN[0])
    folders = (train, "query", "gallery")
    layout = f"pytorch/ or the folder that holds it, {describe_layout(folders)}"
    root = require_folder(spec.path, name=spec.name, expected=layout)
    root = root / "pytorch" if (root / "pytorch").is_dir() else root
    for name in folders:
        require_folder(root / name, name=spec.name, expected=layout)
    pattern = NAME if are_cameras_known(spec) else PERSON_NAME
    listings = [_list_identities(root / name, pattern, distractors=name == "gallery") for name in folders]
    boxes = FolderListing((), (), 0)
    if (root / "multi-query").is_dir():
        boxes = _list_identities(root / "multi-query", pattern, distractors=True)
    variant = "" if train == TRAIN[0] else "without the validation images"
    return assemble_listings(spec, root, listings, boxes, variant=variant)


def _list_identities(folder: Path, pattern: re.Pattern[str], *, distractors: bool) -> FolderListing:
    """List the images of all identities of a split."""
    return join_listings(
        _check_names(list_folder(person, pattern, distractors=distractors, example=EXAMPLE), person)
        for person in subfolders(folder)
    )


def _check_names(listing: FolderListing, folder: Path) -> FolderListing:
    """Return the images whose name has the identity of the folder; the others cannot be used."""
    name = folder.name.lstrip("0") or "0"
    matches = [sample for sample in listing.samples if str(sample.person_id) == name]
    others = [sample for sample in listing.samples if str(sample.person_id) != name]
    reason = f"the name has another identity than its folder {folder.name}/; expected names like {EXAMPLE}"
    entries = tuple(UnreadableEntry(str(sample.path), reason) for sample in others)
    return replace(listing, samples=tuple(matches), unreadable=listing.unreadable + entries)


READER = Reader(
    read_layumi,
    "folders of identities by the scripts of layumi's baseline: pytorch/train_all, query, gallery",
    {"train": "train_all|train, train without the validation images", **OPTIONS},
)
