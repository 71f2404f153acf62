"""Folders of images: `person/camera_image.jpg`, with or without train/, query/ and gallery/ above.

    root/anna/door_0001.jpg                      no split: half of the identities train, the others are tested
    root/train/anna/door_0001.jpg  root/query/…  root/gallery/…      the split is the folder

The identity is the name of the folder; the same name in two splits is the same identity. The camera is the file name up
to its first underscore (`camera=first`), the number after `c` in names like those of Market-1501 (`camera=market`), or
unknown (`camera=none`, for any ImageFolder).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from passerby.data.datasets.labeled import OPTIONS, SPLITS, LabeledImage, assemble
from passerby.data.datasets.listing import contents, image_files, require_folder, subfolders
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult, UnreadableEntry
from passerby.errors import DataError
from passerby.text import plural

LAYOUT = "person/camera_image.jpg, or that inside train/, query/ and gallery/"
_CAMERA = {"first": re.compile(r"([^_]+)_"), "market": re.compile(r"-?[0-9]+_c([0-9]+)(?:s[0-9]+)?_")}
_HINT = {
    "first": "no camera before an underscore; expected one like door_0001.jpg, or add ?camera=none or ?camera=market",
    "market": "no camera in the name; expected one like 0002_c1s1_000451_03.jpg or 0001_c2_f0046182.jpg",
}


def read_folder(spec: DataSpec) -> ReaderResult:
    """Read the folder.

    Raises:
        DataError: When it is missing, has no image of an identity, or has other folders beside train/, query/ and
            gallery/.
    """
    camera = spec.choice("camera", ("first", "market", "none"), default="first")
    root = require_folder(spec.path, name=spec.name, expected=LAYOUT)
    folders = subfolders(root)
    if not folders:
        raise DataError(f"{spec.name}: no folder in {root}; expected {LAYOUT}. It holds {contents(root)}")
    capital = [folder.name for folder in folders if folder.name not in SPLITS and folder.name.lower() in SPLITS]
    if capital:
        raise DataError(f"{spec.name}: {root} has {capital[0]}/; rename it to {capital[0].lower()}/")
    splits = [folder for folder in folders if folder.name in SPLITS]
    if splits and len(splits) < len(folders):
        others = ", ".join(f"{folder.name}/" for folder in folders if folder not in splits)
        raise DataError(
            f"{spec.name}: {root} has {others} beside {', '.join(f'{folder.name}/' for folder in splits)}; expected "
            "train/, query/ and gallery/ only, or folders of identities only"
        )
    images: list[LabeledImage] = []
    unreadable: list[UnreadableEntry] = []
    empty: list[Path] = []
    skipped: list[Path] = []
    persons: list[tuple[Path, str | None]] = [(person, split.name) for split in splits for person in subfolders(split)]
    for person, split_name in persons if splits else [(folder, None) for folder in folders]:
        paths = image_files(person, skipped=skipped)
        if not paths:
            empty.append(person)
        for path in paths:
            match = None if camera == "none" else _CAMERA[camera].match(path.name)
            if match is None and camera != "none":
                unreadable.append(UnreadableEntry(str(path), _HINT[camera]))
            else:
                images.append(LabeledImage(path, person.name, match[1] if match else None, split_name))
    warnings = [f"{plural(len(empty), 'folder')} of identities without an image, such as {empty[0]}"] if empty else []
    result = assemble(spec, images, unreadable=unreadable, warnings=warnings)
    return replace(result, skipped=tuple(skipped))


READER = Reader(
    read_folder,
    "a folder: person/camera_image.jpg, with or without train/, query/ and gallery/",
    {"camera": "first|market|none", **OPTIONS},
)
