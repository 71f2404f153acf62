"""MARS (Zheng et al., ECCV 2016): tracks of Market-1501's campus. 625 / 636 identities, 6 cameras.

    bbox_train/0001/0001C1T0001F001.jpg ...   bbox_test/0000/ 00-1/ 0002/ ...
    info/  train_name.txt  test_name.txt  tracks_train_info.mat  tracks_test_info.mat  query_IDX.mat

A row of the track tables is first image, last image (of the list of names, from 1), person and camera. 8,298 training
tracks, 12,180 test tracks, of which 1,980 are queries. Person -1 is junk and dropped; person 0 is a distractor.

Market rule between tracks, each the mean of the embeddings of its images. As in the authors' evaluation, the gallery
holds all test tracks, also the queries: a query is a match of another query of its identity in another camera.
`gallery=rest` leaves the queries out, as Torchreid does, so that some queries have no match.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerby.data.datasets.listing import missing_file, read_lines, require_folder
from passerby.data.datasets.own_files import OPTIONS, are_cameras_known, separate_own_files
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult, UnreadableEntry
from passerby.data.datasets.track_samples import ALL_FRAMES, FRAMES, frames_option, make_track, read_numbers
from passerby.errors import DataError
from passerby.text import plural
from passerby.types import DISTRACTOR, JUNK, DataSet, Sample

NAME = re.compile(r"(?P<person>[0-9]{4}|00-1)C(?P<camera>[1-9])T[0-9]+F[0-9]+\.")
LAYOUT = "a folder with bbox_train/, bbox_test/ and info/"


def read_mars(spec: DataSpec) -> ReaderResult:
    """Read the folder. Raises DataError for a missing file or folder, or tables that contradict the names."""
    with_queries = spec.choice("gallery", ("all", "rest"), default="all") == "all"
    frames = frames_option(spec)
    root = require_folder(spec.path, name=spec.name, expected=LAYOUT)
    for name in ("bbox_train", "bbox_test", "info"):
        require_folder(root / name, name=spec.name, expected=LAYOUT)
    table = _TrackTable(spec.name, root)
    train = table.read_tracks("train")
    test = table.read_tracks("test", frames=frames, first=len(train))
    queries = table.read_queries(len(test))
    misplaced = [number for number in sorted(queries) if test[number] and test[number][0].person_id == DISTRACTOR]
    entries = tuple(
        UnreadableEntry(f"{root / 'info' / 'query_IDX.mat'}", f"track {number + 1} is of a distractor and a query")
        for number in misplaced
    )
    gallery = [track for number, track in enumerate(test) if with_queries or number not in queries]
    query = [track for number, track in enumerate(test) if number in queries and number not in misplaced]
    variant = "tracks" + ("" if with_queries else ", gallery without the queries")
    data = DataSet(spec.name, root, spec.text, _flatten(train), _flatten(query), _flatten(gallery), variant=variant)
    data = replace(data, junk=table.junk, distractors=sum(s.person_id == DISTRACTOR for s in data.gallery))
    result = ReaderResult(data, (*table.unreadable, *entries))
    return separate_own_files(spec, result, cameras_known=are_cameras_known(spec))


def _flatten(tracks: list[list[Sample]]) -> tuple[Sample, ...]:
    return tuple(sample for track in tracks for sample in track)


class _TrackTable:
    """Tracks of the tables in info/, and what is not read of them."""

    def __init__(self, name: str, root: Path) -> None:
        self.root = root
        self.junk = 0
        self.unreadable: list[UnreadableEntry] = []
        self.info = root / "info"
        for file in (
            "train_name.txt",
            "test_name.txt",
            "tracks_train_info.mat",
            "tracks_test_info.mat",
            "query_IDX.mat",
        ):
            if not (self.info / file).is_file():
                raise missing_file(self.info / file, name=name, expected="the tables that come with MARS")

    def read_tracks(self, split: str, *, frames: int = ALL_FRAMES, first: int = 0) -> list[list[Sample]]:
        """Return the samples of each track; a track of junk, or one that cannot be used, has none."""
        names = [line for _, line in read_lines(self.info / f"{split}_name.txt")]
        file = self.info / f"tracks_{split}_info.mat"
        rows = read_numbers(file, columns=4, name=f"track_{split}_info")
        tracks: list[list[Sample]] = []
        for number, row in enumerate(rows):
            try:
                person, camera, images = _parse_row(row, names)
                if person == DISTRACTOR and split == "train":
                    raise ValueError("person 0 is a distractor; distractors are allowed in the gallery only")
            except ValueError as error:
                self.unreadable.append(UnreadableEntry(f"{file}: row {number + 1}", str(error)))
                tracks.append([])
                continue
            paths = [self.root / f"bbox_{split}" / name[:4] / name for name in images]
            self.junk += len(paths) * (person == JUNK)
            track = first + number
            tracks.append([] if person == JUNK else make_track(paths, person, camera, track=track, frames=frames))
        return tracks

    def read_queries(self, count: int) -> set[int]:
        """Return the queries, numbers of test tracks from 0."""
        file = self.info / "query_IDX.mat"
        numbers = read_numbers(file, columns=1, name="query_IDX")[:, 0] - 1
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < count:
            raise DataError(
                f"{file}: tracks {numbers.min() + 1} to {numbers.max() + 1} of {plural(count, 'test track')}"
            )
        return set(numbers.tolist())


def _parse_row(row: NDArray[np.int64], names: list[str]) -> tuple[int, int, list[str]]:
    """Return person, camera from 0 and names of a row. Raises ValueError that states what is wrong with it."""
    first, last, person, camera = map(int, row)
    if not 1 <= first <= last <= len(names):
        raise ValueError(f"images {first} to {last} of {plural(len(names), 'name')}")
    images = names[first - 1 : last]
    for name in images:
        match = NAME.match(name)
        if match is None or "/" in name or "\\" in name:
            raise ValueError(f"{name[:120]!r} does not parse; expected a name like 0001C1T0001F001.jpg")
        stated = JUNK if match["person"] == "00-1" else int(match["person"])
        if (stated, int(match["camera"])) != (person, camera):
            raise ValueError(f"person {person} in camera {camera}, but its image is {name}")
    return person, camera - 1, images


READER = Reader(
    read_mars,
    "MARS: tracks of 625 / 636 identities, 6 cameras",
    {"gallery": "all|rest, rest without the queries", **FRAMES, **OPTIONS},
)
