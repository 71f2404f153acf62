"""CUHK03 as Torchreid unpacks it: PNG files with the names of the protocol, and its splits as JSON.

    images_labeled/ images_detected/           1_001_1_01.png ...
    splits_new_labeled.json splits_classic_detected.json ...    [{"train": [["...png", person, camera], ...], ...}, ...]

Paths in the JSON files are of the machine that wrote them; the name of the file is used. Training and test identities
are both numbered from 0 there; here the test identities follow those of the training.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from passerby.data.datasets.cuhk03_mat import KINDS, parse_cell
from passerby.data.datasets.listing import missing_file
from passerby.data.datasets.spec import UnreadableEntry
from passerby.errors import DataError, explain
from passerby.files import read_json
from passerby.text import plural
from passerby.types import Sample

MAX_PERSON = 10_000


class Splits(NamedTuple):
    """Samples of the three splits."""

    train: tuple[Sample, ...]
    query: tuple[Sample, ...]
    gallery: tuple[Sample, ...]


def is_unpacked(folder: Path) -> bool:
    """Return whether a folder holds images_labeled/ or images_detected/."""
    return any((folder / f"images_{kind}").is_dir() for kind in KINDS)


def read_split(
    folder: Path, *, kind: str, protocol: str, split: int, name: str
) -> tuple[Splits, tuple[UnreadableEntry, ...]]:
    """Read a split of a JSON file.

    Args:
        folder: Folder of the data set.
        kind: `labeled` or `detected`.
        protocol: `new` or `classic`.
        split: Number of the split.
        name: Name of the reader, for messages.

    Returns:
        Samples of train, query and gallery, and the entries that cannot be used.

    Raises:
        DataError: If the file is missing or has another content.
    """
    file = folder / f"splits_{protocol}_{kind}.json"
    if not file.is_file():
        raise missing_file(file, name=name, expected="the splits that Torchreid writes beside images_*/")
    content = _read_splits(file)
    if split >= len(content):
        raise DataError(f"{file}: {plural(len(content), 'split')}; expected split {split} in it")
    unreadable: list[UnreadableEntry] = []
    images = folder / f"images_{kind}"
    train = _read_entries(content[split], "train", file, images, unreadable)
    offset = max((sample.person_id for sample in train), default=0)
    test = [_read_entries(content[split], part, file, images, unreadable, offset) for part in ("query", "gallery")]
    if protocol == "classic":  # both hold all test images; the protocol compares the two views of a pair
        test = [[sample for sample in part if sample.camera_id == view] for view, part in enumerate(test)]
    return Splits(tuple(train), *map(tuple, test)), tuple(unreadable)


def _read_splits(file: Path) -> list[dict[str, Any]]:
    try:
        content = read_json(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({explain(error)}); let Torchreid write it again") from None
    if not isinstance(content, list) or not all(isinstance(split, dict) for split in content):
        raise DataError(f"{file}: expected a list of splits, as Torchreid writes it")
    return content


def _read_entries(
    split: dict[str, Any], part: str, file: Path, images: Path, unreadable: list[UnreadableEntry], offset: int = 0
) -> list[Sample]:
    entries = split.get(part)
    if not isinstance(entries, list):
        raise DataError(f"{file}: no list {part!r} in a split; expected train, query and gallery")
    samples = []
    for number, entry in enumerate(entries):
        match entry:
            case [str(path), int(person), int()] if (
                not isinstance(person, bool)
                and 0 <= person <= MAX_PERSON
                and (cell := parse_cell(re.split(r"[/\\]", path)[-1]))
            ):
                samples.append(Sample(images / cell.name, person + offset + 1, cell.view - 1))
            case _:
                reason = f"{str(entry)[:120]} does not parse; expected one like ['images/1_001_1_01.png', 0, 0]"
                unreadable.append(UnreadableEntry(f"{file}: {part}, entry {number}", reason))
    return sorted(samples, key=lambda sample: sample.path)
