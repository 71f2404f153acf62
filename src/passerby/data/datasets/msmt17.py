"""MSMT17 (Wei et al., CVPR 2018), version 1 or 2, read through its list files.

    list_train.txt  list_val.txt  list_query.txt  list_gallery.txt     train/ test/ (or mask_train_v2/ mask_test_v2/)

A line of a list is a path inside train/ or test/ and a person: `0000/0000_000_01_0303morning_0015_0.jpg 0`.

The camera (1 to 15) is the third field of the file name. Training is train + val: 32,621 images; query 11,659, gallery
82,161. Training and test identities differ although both are numbered from 0.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from passerby.data.datasets.listing import contents, require_folder
from passerby.data.datasets.market1501 import MAX_CAMERA, OPTIONS
from passerby.data.datasets.own_files import separate_own_files
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult, UnreadableEntry
from passerby.errors import DataError
from passerby.types import MAX_ID, DataSet, Sample

NAME = re.compile(r"[0-9]+_[0-9]+_(?P<camera>[0-9]+)_")
LISTS = ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")
FOLDERS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))
LAYOUT = f"a folder with {', '.join(LISTS)}, train/ and test/ (or mask_train_v2/ and mask_test_v2/)"


def read_msmt17(spec: DataSpec) -> ReaderResult:
    """Read the folder. Raises DataError for a missing list or folder."""
    root = require_folder(spec.path, name=spec.name, expected=LAYOUT)
    for name in LISTS:
        if not (root / name).is_file():
            raise DataError(f"{spec.name}: no file {root / name}; expected {LAYOUT}. It holds {contents(root)}")
    train_folder, test_folder = next((pair for pair in FOLDERS if (root / pair[0]).is_dir()), FOLDERS[0])
    for name in (train_folder, test_folder):
        require_folder(root / name, name=spec.name, expected=LAYOUT)
    unreadable: list[UnreadableEntry] = []
    train = _read_list(root / LISTS[0], root / train_folder, unreadable)
    train += _read_list(root / LISTS[1], root / train_folder, unreadable)
    offset = max((sample.person_id for sample in train), default=0)
    query = _read_list(root / LISTS[2], root / test_folder, unreadable, offset=offset)
    gallery = _read_list(root / LISTS[3], root / test_folder, unreadable, offset=offset)
    data = DataSet(spec.name, root, spec.text, _sort(train), _sort(query), _sort(gallery))
    cameras_known = spec.choice("camera", ("name", "none"), default="name") == "name"
    return separate_own_files(spec, ReaderResult(data, tuple(unreadable)), cameras_known=cameras_known)


def _sort(samples: list[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda sample: sample.path))


def _read_list(file: Path, folder: Path, unreadable: list[UnreadableEntry], *, offset: int = 0) -> list[Sample]:
    """Read the samples of one list; person ids start at `offset` + 1."""
    samples = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        name, _, person = line.strip().rpartition(" ")
        match = NAME.match(PurePosixPath(name).name)
        if match is None or "\\" in name or int(match["camera"]) < 1 or not person.isascii() or not person.isdigit():
            expected = "expected a line like 0000/0000_000_01_0303morning_0015_0.jpg 0"
            if "\\" in name:
                expected += ", with / and not \\ between folder and file"
            unreadable.append(UnreadableEntry(f"{file}:{number}", f"{line.strip()!r} does not parse; {expected}"))
        elif int(person) + offset >= MAX_ID or int(match["camera"]) > MAX_CAMERA:
            limits = f"ids of persons are below {MAX_ID}, of cameras at most {MAX_CAMERA}"
            unreadable.append(UnreadableEntry(f"{file}:{number}", f"{line.strip()!r}: {limits}"))
        else:
            samples.append(Sample(folder / name, int(person) + offset + 1, int(match["camera"]) - 1))
    return samples


READER = Reader(read_msmt17, "MSMT17: 1,041 / 3,060 identities, 15 cameras", OPTIONS)
