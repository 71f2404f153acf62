"""Market-1501 (Zheng et al., ICCV 2015) and data sets in its layout.

    bounding_box_train/  query/  bounding_box_test/  [gt_bbox/]      files PPPP_cCsS_FFFFFF_BB.jpg

Person -1 is junk and is dropped; person 0000 is a distractor, which is in the gallery and never a match. 751 / 750
identities, 6 cameras: 12,936 train, 3,368 query, 15,913 gallery and 3,819 junk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from passerby.data.datasets.listing import image_files, require_folder
from passerby.data.datasets.own_files import OPTIONS, are_cameras_known, separate_own_files
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult, UnreadableEntry
from passerby.files import expand_home
from passerby.text import plural
from passerby.types import DISTRACTOR, JUNK, MAX_ID, DataSet, Sample

MARKET_NAME = re.compile(r"(?P<person>-1|[0-9]+)_c(?P<camera>[0-9]+)s[0-9]+_")
PERSON_NAME = re.compile(r"(?P<person>-1|[0-9]+)(?![0-9])")
"""Beginning of a name whose camera is ignored."""
MAX_CAMERA = 2**31 - 1
FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
"""Folders of training images, queries and the gallery."""


def describe_layout(folders: Sequence[str] = FOLDERS) -> str:
    """Return the expected layout for messages."""
    *first, last = (f"{name}/" for name in folders)
    return f"a folder with {', '.join(first)} and {last}"


@dataclass(frozen=True)
class FolderListing:
    """Content of one folder: samples, unreadable entries, the number of junk images, and files that are no images."""

    samples: tuple[Sample, ...]
    unreadable: tuple[UnreadableEntry, ...]
    junk: int
    skipped: tuple[Path, ...] = ()


def parse_name(name: str, pattern: re.Pattern[str], *, example: str) -> tuple[int, int]:
    """Parse the person id and the 0-based camera of a file name; the camera is 0 for a pattern without one.

    Raises:
        ValueError: If the name does not parse, or an id has more than 64 bits.
    """
    match = pattern.match(name)
    expected = f"the name does not parse; expected one like {example}"
    if match is None:
        raise ValueError(expected)
    camera = int(match["camera"]) if "camera" in pattern.groupindex else 1
    if camera < 1:
        raise ValueError(f"{expected}; camera 0: cameras are numbered from 1, and ?camera=none ignores them")
    if int(match["person"]) > MAX_ID or camera > MAX_CAMERA:
        raise ValueError(f"{expected}; ids of people are at most {MAX_ID}, of cameras {MAX_CAMERA}")
    return int(match["person"]), camera - 1


def list_folder(folder: Path, pattern: re.Pattern[str], *, distractors: bool = False, example: str) -> FolderListing:
    """Parse the names in one folder. Distractors are valid only if `distractors` is true: in galleries."""
    samples, unreadable, junk = [], [], 0
    skipped: list[Path] = []
    for path in image_files(folder, skipped=skipped):
        try:
            parsed = parse_name(path.name, pattern, example=example)
        except ValueError as error:
            unreadable.append(UnreadableEntry(str(path), str(error)))
            continue
        if parsed[0] == JUNK:
            junk += 1
        elif parsed[0] == DISTRACTOR and not distractors:
            unreadable.append(
                UnreadableEntry(str(path), "person 0 is a distractor; distractors are allowed in the gallery only")
            )
        else:
            samples.append(Sample(path, *parsed))
    return FolderListing(tuple(samples), tuple(unreadable), junk, tuple(skipped))


def join_listings(listings: Iterable[FolderListing]) -> FolderListing:
    """Join the content of several folders."""
    parts = tuple(listings)
    return FolderListing(
        tuple(sample for part in parts for sample in part.samples),
        tuple(entry for part in parts for entry in part.unreadable),
        sum(part.junk for part in parts),
        tuple(path for part in parts for path in part.skipped),
    )


def read_layout(
    spec: DataSpec,
    root: Path,
    *,
    pattern: re.Pattern[str] = MARKET_NAME,
    example: str,
    variant: str = "",
    folders: tuple[str, str, str] = FOLDERS,
) -> ReaderResult:
    """Read a folder in the layout of Market-1501.

    Args:
        spec: Its name and text are stored in the data set.
        root: The folder that holds the three (or four) folders.
        pattern: Beginning of the file names, with groups `person` and `camera` (from 1).
        example: A valid name, for messages.
        variant: Variant of the data set, stated with its metrics.
        folders: Names of the three folders.

    Raises:
        DataError: When one of the three folders is missing.
    """
    pattern = pattern if are_cameras_known(spec) else PERSON_NAME
    for folder in (root, *(root / name for name in folders)):
        require_folder(folder, name=spec.name, expected=describe_layout(folders))
    listings = [list_folder(root / name, pattern, distractors=name == folders[-1], example=example) for name in folders]
    boxes = FolderListing((), (), 0)
    if (root / "gt_bbox").is_dir():
        boxes = list_folder(root / "gt_bbox", pattern, distractors=True, example=example)
    return assemble_listings(spec, root, listings, boxes, variant=variant)


def assemble_listings(
    spec: DataSpec, root: Path, listings: Sequence[FolderListing], boxes: FolderListing, *, variant: str = ""
) -> ReaderResult:
    """Make the result of a reader of folders.

    Args:
        spec: Its name, text and options.
        root: Folder of the data set.
        listings: Training images, queries and the gallery.
        boxes: Images for multi-query; those that have identity and camera of a query are used.
        variant: Variant of the data set, stated with its metrics.
    """
    train, query, gallery = listings
    query_keys = {(sample.person_id, sample.camera_id) for sample in query.samples}
    data = DataSet(
        name=spec.name,
        root=root,
        spec=spec.text,
        train=train.samples,
        query=query.samples,
        gallery=gallery.samples,
        multi_query=tuple(sample for sample in boxes.samples if (sample.person_id, sample.camera_id) in query_keys),
        variant=variant,
        junk=train.junk + query.junk + gallery.junk,
        distractors=sum(sample.person_id == DISTRACTOR for sample in gallery.samples),
    )
    everything = join_listings((*listings, boxes))
    result = ReaderResult(data, everything.unreadable, skipped=everything.skipped)
    return separate_own_files(spec, result, cameras_known=are_cameras_known(spec))


def read_market1501(spec: DataSpec) -> ReaderResult:
    """Read Market-1501; `distractors=FOLDER` adds the images of another folder (the 500k set) to the gallery."""
    variant = "synthetic" if (spec.path / "synth.json").is_file() else ""  # written by `passerby synth`
    result = read_layout(spec, spec.path, example="0002_c1s1_000451_03.jpg", variant=variant)
    if "distractors" not in spec.options:
        return result
    folder = spec.path / expand_home(spec.options["distractors"])
    require_folder(folder, name=spec.name, expected="the folder of further distractors")
    pattern = PERSON_NAME if spec.options.get("camera") == "none" else MARKET_NAME
    more = list_folder(folder, pattern, distractors=True, example="0000_c1s1_000451_03.jpg")
    # All images of that folder are distractors, whatever person their name states.
    extra = tuple(Sample(sample.path, DISTRACTOR, sample.camera_id) for sample in more.samples)
    data = replace(
        result.data,
        gallery=result.data.gallery + extra,
        distractors=result.data.distractors + len(extra),
        variant=f"{result.data.variant}, +{plural(len(extra), 'distractor')}".removeprefix(", "),
        junk=result.data.junk + more.junk,
    )
    return replace(
        result, data=data, unreadable=result.unreadable + more.unreadable, skipped=result.skipped + more.skipped
    )


READER = Reader(
    read_market1501,
    "Market-1501: 751 / 750 identities, 6 cameras",
    {"distractors": "FOLDER of further distractors (the 500k set), absolute or inside the data set", **OPTIONS},
)
