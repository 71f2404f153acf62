"""Market-1501 (Zheng et al., ICCV 2015) and every data set that is laid out like it.

    bounding_box_train/  query/  bounding_box_test/  [gt_bbox/]      files PPPP_cCsS_FFFFFF_BB.jpg

Person -1 is junk and dropped, person 0000 a distractor that stays in the gallery and is never a match. 751 / 750
identities, 6 cameras: 12,936 train, 3,368 query, 15,913 gallery and 3,819 junk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from passerby.data.datasets.listing import image_files, require_folder
from passerby.data.datasets.source import Reader, Reading, Source, Unreadable
from passerby.types import DISTRACTOR, JUNK, DataSet, Sample

MARKET_NAME = re.compile(r"(?P<person>-1|[0-9]+)_c(?P<camera>[0-9]+)s[0-9]+_")
LAYOUT = "a folder with bounding_box_train/, query/ and bounding_box_test/"


@dataclass(frozen=True)
class Listed:
    """One folder's images: who could be placed, who could not, how many were junk."""

    samples: tuple[Sample, ...]
    unreadable: tuple[Unreadable, ...]
    junk: int


def parse_name(name: str, pattern: re.Pattern[str]) -> tuple[int, int] | None:
    """Person id and 0-based camera of a file name; None where it does not parse (cameras are numbered from 1)."""
    match = pattern.match(name)
    if match is None or int(match["camera"]) < 1:
        return None
    return int(match["person"]), int(match["camera"]) - 1


def list_folder(folder: Path, pattern: re.Pattern[str], *, distractors: bool = False, example: str) -> Listed:
    """Read the names in one folder. Distractors are expected only where `distractors` is true: in galleries."""
    samples, unreadable, junk = [], [], 0
    for path in image_files(folder):
        parsed = parse_name(path.name, pattern)
        if parsed is None:
            unreadable.append(Unreadable(str(path), f"the name does not parse; expected one like {example}"))
        elif parsed[0] == JUNK:
            junk += 1
        elif parsed[0] == DISTRACTOR and not distractors:
            unreadable.append(Unreadable(str(path), "person 0 is a distractor, which belongs into the gallery only"))
        else:
            samples.append(Sample(path, *parsed))
    return Listed(tuple(samples), tuple(unreadable), junk)


def read_layout(
    source: Source, root: Path, *, pattern: re.Pattern[str] = MARKET_NAME, example: str, variant: str = ""
) -> Reading:
    """Read a folder that is laid out like Market-1501.

    Args:
        source: The part of the spec that asked; its name and text go into the data set.
        root: The folder that holds the three (or four) folders.
        pattern: How names begin, with groups `person` and `camera` (from 1).
        example: A right name, for messages.
        variant: What figures on it must say beside the name.

    Raises:
        DataError: When one of the three folders is missing.
    """
    require_folder(root, name=source.name, expected=LAYOUT)
    folders = {name: root / name for name in ("bounding_box_train", "query", "bounding_box_test")}
    for folder in folders.values():
        require_folder(folder, name=source.name, expected=LAYOUT)
    train = list_folder(folders["bounding_box_train"], pattern, example=example)
    query = list_folder(folders["query"], pattern, example=example)
    gallery = list_folder(folders["bounding_box_test"], pattern, distractors=True, example=example)
    boxes = Listed((), (), 0)
    if (root / "gt_bbox").is_dir():
        boxes = list_folder(root / "gt_bbox", pattern, distractors=True, example=example)
    wanted = {(sample.person_id, sample.camera_id) for sample in query.samples}
    parts = (train, query, gallery, boxes)
    data = DataSet(
        name=source.name,
        root=root,
        spec=source.spec,
        train=train.samples,
        query=query.samples,
        gallery=gallery.samples,
        multi_query=tuple(sample for sample in boxes.samples if (sample.person_id, sample.camera_id) in wanted),
        variant=variant,
        junk=train.junk + query.junk + gallery.junk,
        distractors=sum(sample.person_id == DISTRACTOR for sample in gallery.samples),
    )
    return Reading(data, tuple(bad for part in parts for bad in part.unreadable))


def read_market1501(source: Source) -> Reading:
    """Market-1501 itself; `distractors=FOLDER` adds the images of one more folder (the 500k set) to the gallery."""
    reading = read_layout(source, source.path, example="0002_c1s1_000451_03.jpg")
    if "distractors" not in source.options:
        return reading
    folder = source.path / Path(source.options["distractors"]).expanduser()
    require_folder(folder, name=source.name, expected="the folder of further distractors")
    more = list_folder(folder, MARKET_NAME, distractors=True, example="0000_c1s1_000451_03.jpg")
    # Everybody in that folder is nobody's match, whatever number the name begins with.
    extra = tuple(Sample(sample.path, DISTRACTOR, sample.camera_id) for sample in more.samples)
    data = replace(
        reading.data,
        gallery=reading.data.gallery + extra,
        distractors=reading.data.distractors + len(extra),
        variant=f"+{len(extra)} distractors",
        junk=reading.data.junk + more.junk,
    )
    return Reading(data, reading.unreadable + more.unreadable)


READER = Reader(
    read_market1501,
    "Market-1501: 751 / 750 identities, 6 cameras",
    {"distractors": "FOLDER of further distractors (the 500k set), absolute or inside the data set"},
)
