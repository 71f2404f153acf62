"""Anybody's images in folders: `person/camera_image.jpg`, with or without train/, query/ and gallery/ above.

    root/anna/door_0001.jpg                      no split: half of the people train, the others are tested
    root/train/anna/door_0001.jpg  root/query/…  root/gallery/…      the split is the folder

The person is the folder's name, the same name in two splits the same person. The camera is the file name up to its
first underscore (`camera=first`), the number after `c` in names like Market-1501's (`camera=market`, for copies of it
that were sorted into folders), or not known (`camera=none`, for any ImageFolder).
"""

from __future__ import annotations

import re
from pathlib import Path

from passerby.data.datasets.labeled import OPTIONS, SPLITS, Row, assemble
from passerby.data.datasets.listing import contents, image_files, require_folder, subfolders
from passerby.data.datasets.source import Reader, Reading, Source, Unreadable
from passerby.errors import DataError

LAYOUT = "person/camera_image.jpg, or that inside train/, query/ and gallery/"
_CAMERA = {"first": re.compile(r"([^_]+)_"), "market": re.compile(r"-?[0-9]+_c([0-9]+)(?:s[0-9]+)?_")}
_HINT = {
    "first": "no camera before an underscore; expected a name like door_0001.jpg, or say ?camera=none or camera=market",
    "market": "no camera in the name; expected one like 0002_c1s1_000451_03.jpg or 0001_c2_f0046182.jpg",
}


def read_folder(source: Source) -> Reading:
    """Read the folder.

    Raises:
        DataError: When it is missing, holds no image in a person's folder, or other folders beside train/, query/ and
            gallery/.
    """
    camera = source.choice("camera", ("first", "market", "none"), default="first")
    root = require_folder(source.path, name=source.name, expected=LAYOUT)
    folders = subfolders(root)
    if not folders:
        raise DataError(f"{source.name}: no folder in {root}; expected {LAYOUT}. It holds {contents(root)}")
    splits = [folder for folder in folders if folder.name in SPLITS]
    if splits and len(splits) < len(folders):
        others = ", ".join(f"{folder.name}/" for folder in folders if folder not in splits)
        raise DataError(
            f"{source.name}: {root} has {others} beside {', '.join(f'{folder.name}/' for folder in splits)}; expected "
            "train/, query/ and gallery/ only, or people's folders only"
        )
    rows: list[Row] = []
    unreadable: list[Unreadable] = []
    empty: list[Path] = []
    people: list[tuple[Path, str | None]] = [(person, split.name) for split in splits for person in subfolders(split)]
    for person, split_name in people if splits else [(folder, None) for folder in folders]:
        images = image_files(person)
        if not images:
            empty.append(person)
        for path in images:
            match = None if camera == "none" else _CAMERA[camera].match(path.name)
            if match is None and camera != "none":
                unreadable.append(Unreadable(str(path), _HINT[camera]))
            else:
                rows.append(Row(path, person.name, match[1] if match else None, split_name))
    doubts = [f"{len(empty)} people's folders hold no image, such as {empty[0]}"] if empty else []
    return assemble(source, rows, unreadable=unreadable, doubts=doubts)


READER = Reader(
    read_folder,
    "a folder: person/camera_image.jpg, with or without train/, query/ and gallery/",
    {"camera": "first|market|none", **OPTIONS},
)
