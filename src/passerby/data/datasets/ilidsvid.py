"""iLIDS-VID (Wang et al., ECCV 2014): tracks of 300 people in two cameras of an airport.

    [i-LIDS-VID/]sequences/cam1/person001/cam1_person001_00317.png ...   sequences/cam2/person001/...
    train-test people splits/train_test_splits_ilidsvid.mat, or Torchreid's splits.json

`split=0..9`: the first half of a row of the splits file is tested, the rest trains: 150 / 150 persons. Without the
file, splits are drawn here (own split). Queries are the tracks of camera 1, the gallery those of camera 2; a track is
the mean of the embeddings of its images. Published metrics are means over the 10 splits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from passerby.data.datasets.listing import image_files, require_folder, subfolders
from passerby.data.datasets.own_files import OPTIONS, are_cameras_known, separate_own_files
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult, UnreadableEntry
from passerby.data.datasets.track_samples import (
    ALL_FRAMES,
    FRAMES,
    frames_option,
    make_track,
    person_number,
    read_numbers,
    read_person_splits,
)
from passerby.data.datasets.two_cameras import SPLITS, build_data, choose_split
from passerby.errors import DataError
from passerby.text import plural
from passerby.types import Sample

LAYOUT = "sequences/ with cam1/ and cam2/, or the folder that holds it"
MAT = Path("train-test people splits", "train_test_splits_ilidsvid.mat")
OWN = (
    "no splits file: half of the identities train, drawn by default_rng(split).permutation; these are not the "
    "published splits"
)


def read_ilidsvid(spec: DataSpec) -> ReaderResult:
    """Read the folder. Raises DataError for another layout, an invalid option or a splits file of another content."""
    frames = frames_option(spec)
    require_folder(spec.path, name=spec.name, expected=LAYOUT)
    inside = spec.path / "i-LIDS-VID"
    root = (inside if inside.is_dir() else spec.path) / "sequences"
    skipped: list[Path] = []
    unreadable: list[UnreadableEntry] = []
    cameras = [
        list_persons(require_folder(root / name, name=spec.name, expected=LAYOUT), skipped, unreadable)
        for name in ("cam1", "cam2")
    ]
    train, test, title = choose_split(
        spec, cameras[0].keys() & cameras[1].keys(), _find_splits(spec, sorted(cameras[0]))
    )

    def make(paths: list[Path], person: int, camera: int) -> list[Sample]:
        limit = ALL_FRAMES if person in train else frames
        return make_track(paths, person, camera, track=2 * person + camera, frames=limit)

    data = build_data(spec, (cameras[0], cameras[1]), train=train, test=test, make=make, variant=f"tracks, {title}")
    assumptions = (OWN,) if title.startswith("own") else ()
    result = ReaderResult(data, tuple(unreadable), assumptions=assumptions, skipped=tuple(skipped))
    return separate_own_files(spec, result, cameras_known=are_cameras_known(spec))


def list_persons(folder: Path, skipped: list[Path], unreadable: list[UnreadableEntry]) -> dict[int, list[Path]]:
    """Return the images of each person of a camera, whose folders have names like person001 or person_0001."""
    persons = {}
    for person in subfolders(folder):
        try:
            number = person_number(person.name)
        except ValueError:
            reason = "the name of the folder has no number; expected one like person001 or person_0001"
            unreadable.append(UnreadableEntry(str(person), reason))
            continue
        if images := image_files(person, skipped=skipped):
            persons[number] = images
    return persons


def _find_splits(spec: DataSpec, persons: list[int]) -> Callable[[], list[tuple[set[int], set[int]]]] | None:
    """Return a function that reads the splits file, None if there is none. Its rows are indices of sorted persons."""
    for folder in (spec.path, spec.path.parent):
        if (folder / MAT).is_file():
            return lambda: _read_mat(folder / MAT, persons)
        if (folder / "splits.json").is_file() and folder == spec.path:
            return lambda: read_person_splits(folder / "splits.json")
    return None


def _read_mat(file: Path, persons: list[int]) -> list[tuple[set[int], set[int]]]:
    numbers = read_numbers(file, columns=1, name="ls_set")[:, 0]
    if len(numbers) != SPLITS * len(persons):
        raise DataError(
            f"{file}: {plural(len(numbers), 'number')} for {plural(len(persons), 'person')}; expected {SPLITS} rows of "
            "one per person: the copy of the images is incomplete, or the file is another one"
        )
    if numbers.size and not 1 <= numbers.min() <= numbers.max() <= len(persons):
        raise DataError(f"{file}: persons {numbers.min()} to {numbers.max()} of {len(persons)}")
    rows = numbers.reshape(len(persons), SPLITS).T  # stored by column
    half = len(persons) // 2
    return [({persons[i - 1] for i in row[half:]}, {persons[i - 1] for i in row[:half]}) for row in rows]


READER = Reader(
    read_ilidsvid,
    "iLIDS-VID: tracks of 300 people, 2 cameras, 10 splits",
    {"split": "0..9", **FRAMES, **OPTIONS},
)
