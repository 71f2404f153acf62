"""MSMT17 (Wei et al., CVPR 2018), version 1 or 2. Training 1,041 and test 3,060 identities, 15 cameras.

    list_train.txt  list_val.txt  list_query.txt  list_gallery.txt     train/ test/ (or mask_train_v2/ mask_test_v2/)
    train/ test/ (or mask_train_v2/ mask_test_v2/)                     0000/0000_000_01_0303morning_0015_0.jpg ...
    bounding_box_train/ query/ bounding_box_test/                      0000_000_01_0303morning_0015_0.jpg, 0000_c1_1.jpg

A line of a list is a path inside train/ or test/ and a person: `0000/0000_000_01_0303morning_0015_0.jpg 0`.

The camera (1 to 15) is the third field of the file name, or the number after `c` in copies that were renamed. Training
is train + val: 32,621 images; query 11,659, gallery 82,161. Training and test identities differ although both are
numbered from 0. Without list files, the queries are not the published ones: the first image of a test identity in each
camera.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from passerby.data.datasets.listing import contents, image_files, missing_file, read_lines, require_folder, subfolders
from passerby.data.datasets.market1501 import FOLDERS, MAX_CAMERA, describe_layout
from passerby.data.datasets.own_files import OPTIONS, are_cameras_known, separate_own_files
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult, UnreadableEntry
from passerby.data.datasets.splitting import split_queries
from passerby.errors import DataError
from passerby.types import MAX_ID, DataSet, Sample

NAME = re.compile(r"(?P<person>[0-9]+)_(?:[0-9]+_|c)(?P<camera>[0-9]+)(?:s[0-9]+)?_")
PERSON = re.compile(r"(?P<person>[0-9]+)(?![0-9])")
EXAMPLE = "0000_000_01_0303morning_0015_0.jpg"
LISTS = ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")
PAIRS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))
LAYOUT = f"a folder with {', '.join(LISTS)}, train/ and test/ (or mask_train_v2/ and mask_test_v2/)"


def read_msmt17(spec: DataSpec) -> ReaderResult:
    """Read the folder, or the one in it with a name like MSMT17_V1. Raises DataError for a missing list or folder."""
    root = require_folder(spec.path, name=spec.name, expected=LAYOUT)
    if not _has_content(root):
        root = next((folder for folder in subfolders(root) if _has_content(folder)), root)
    listing = _Listing(are_cameras_known(spec))
    result = _read_flat(spec, root, listing) if (root / FOLDERS[0]).is_dir() else _read_folders(spec, root, listing)
    return separate_own_files(spec, result, cameras_known=listing.cameras_known)


def _has_content(root: Path) -> bool:
    names = (*LISTS, *(pair[0] for pair in PAIRS), FOLDERS[0])
    return any((root / name).exists() for name in names)


def _read_folders(spec: DataSpec, root: Path, listing: _Listing) -> ReaderResult:
    """Read train/ and test/, by the list files if there is one."""
    has_lists = any((root / name).is_file() for name in LISTS)
    if not has_lists and not any((root / pair[0]).is_dir() for pair in PAIRS):
        raise DataError(
            f"{spec.name}: no file {root / LISTS[0]}; expected {LAYOUT}, or {describe_layout()}. It holds "
            f"{contents(root)}"
        )
    for name in LISTS if has_lists else ():
        if not (root / name).is_file():
            raise missing_file(root / name, name=spec.name, expected=LAYOUT)
    folders = [root / name for name in next((pair for pair in PAIRS if (root / pair[0]).is_dir()), PAIRS[0])]
    for folder in folders:
        require_folder(folder, name=spec.name, expected=LAYOUT)
    if has_lists:
        train = listing.read_list(root / LISTS[0], folders[0]) + listing.read_list(root / LISTS[1], folders[0])
        listing.start_test(train)
        query, gallery = (listing.read_list(root / name, folders[1]) for name in LISTS[2:])
        data = DataSet(spec.name, root, spec.text, _sort(train), _sort(query), _sort(gallery))
        return ReaderResult(data, tuple(listing.unreadable))
    train = listing.read_persons(folders[0])
    listing.start_test(train)
    queries, rest = split_queries(listing.read_persons(folders[1]))
    data = DataSet(spec.name, root, spec.text, tuple(train), queries, rest, variant="no list files, own queries")
    warning = (
        "no list files: the first image of a test identity in each camera is a query; these are not the published "
        "11,659 queries, and metrics are not comparable"
    )
    return ReaderResult(data, tuple(listing.unreadable), warnings=(warning,), skipped=tuple(listing.skipped))


def _read_flat(spec: DataSpec, root: Path, listing: _Listing) -> ReaderResult:
    """Read bounding_box_train/, query/ and bounding_box_test/."""
    for name in FOLDERS:
        require_folder(root / name, name=spec.name, expected=describe_layout())
    train = listing.read_folder(root / FOLDERS[0])
    listing.start_test(train)
    query, gallery = (listing.read_folder(root / name) for name in FOLDERS[1:])
    data = DataSet(spec.name, root, spec.text, tuple(train), tuple(query), tuple(gallery))
    return ReaderResult(data, tuple(listing.unreadable), skipped=tuple(listing.skipped))


class _Listing:
    """Samples of lists and folders, and what is not read of them. Person 0 is number 1 of the data set."""

    def __init__(self, cameras_known: bool) -> None:
        self.cameras_known = cameras_known
        self.offset = 1
        self.unreadable: list[UnreadableEntry] = []
        self.skipped: list[Path] = []

    def start_test(self, train: list[Sample]) -> None:
        """Number the following identities after those of the training split."""
        self.offset = 1 + max((sample.person_id for sample in train), default=0)

    def read_list(self, file: Path, folder: Path) -> list[Sample]:
        """Read the samples of a list."""
        return [sample for number, line in read_lines(file) for sample in self._parse_line(file, number, line, folder)]

    def read_persons(self, folder: Path) -> list[Sample]:
        """Read the samples of a folder of persons."""
        samples = []
        for person in subfolders(folder):
            if not (person.name.isascii() and person.name.isdigit()):
                reason = "the name of the folder is no number; expected one like 0000"
                self.unreadable.append(UnreadableEntry(str(person), reason))
            else:
                samples += self.read_folder(person, person=person.name)
        return samples

    def read_folder(self, folder: Path, *, person: str | None = None) -> list[Sample]:
        """Read the samples of a folder; None reads the person from the names."""
        pattern = NAME if self.cameras_known else PERSON
        samples: list[Sample] = []
        for path in image_files(folder, skipped=self.skipped):
            match = pattern.match(path.name)
            if match is None and (self.cameras_known or person is None):
                reason = f"the name does not parse; expected one like {EXAMPLE}"
                self.unreadable.append(UnreadableEntry(str(path), reason))
                continue
            camera = match["camera"] if match is not None and self.cameras_known else None
            text = person if person is not None else match["person"] if match is not None else ""
            samples += self._number(str(path), path, text, camera)
        return samples

    def _parse_line(self, file: Path, number: int, line: str, folder: Path) -> Iterator[Sample]:
        name, _, person = line.rpartition(" ")
        place, shown = f"{file}:{number}", f"{line[:120]!r}"
        match = NAME.match(PurePosixPath(name).name)
        if (match is None and self.cameras_known) or "\\" in name or not (person.isascii() and person.isdigit()):
            expected = f"expected a line like 0000/{EXAMPLE} 0"
            if "\\" in name:
                expected += ", with / and not \\ between folder and file"
            self.unreadable.append(UnreadableEntry(place, f"{shown} does not parse; {expected}"))
        elif PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            reason = f"{shown}: a path outside {folder.name}/; expected one like 0000/{EXAMPLE}"
            self.unreadable.append(UnreadableEntry(place, reason))
        else:
            camera = match["camera"] if match is not None and self.cameras_known else None
            yield from self._number(place, folder / name, person, camera, shown=f"{shown}: ")

    def _number(self, place: str, path: Path, person: str, camera: str | None, *, shown: str = "") -> list[Sample]:
        """Return the sample if its ids are in range; a camera of None is unknown."""
        number, place_of_camera = int(person[-40:]), int((camera or "1")[-40:])
        if len(person) > 40 or number + self.offset > MAX_ID or not 1 <= place_of_camera <= MAX_CAMERA:
            reason = f"{shown}ids of people are below {MAX_ID}, of cameras 1 to {MAX_CAMERA}; ?camera=none ignores them"
            self.unreadable.append(UnreadableEntry(place, reason))
            return []
        return [Sample(path, number + self.offset, place_of_camera - 1)]


def _sort(samples: list[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda sample: sample.path))


READER = Reader(read_msmt17, "MSMT17: 1,041 / 3,060 identities, 15 cameras", OPTIONS)
