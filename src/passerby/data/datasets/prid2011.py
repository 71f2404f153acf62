"""PRID 2011 (Hirzer et al., SCIA 2011): 385 people in camera A, 749 in camera B, people 1 to 200 in both.

    [prid_2011/]multi_shot/cam_a/person_0001/0001.png ...   single_shot/cam_a/person_0001.png ...
    splits_prid2011.json, splits_single_shot.json            Torchreid's files, beside them or one folder above

`shots=multi` (the default): tracks of the people with more than 21 images in both cameras (178 in the published set),
89 / 89, each track the mean of the embeddings of its images. `shots=single`: one image of a person and camera, 100 /
100 persons, and the persons that only camera B shows are in the gallery. Queries are of camera A, the gallery is camera
B. `split=0..9`: the splits of the file, if it is there, else drawn here (own split). Published metrics are means of 10.
"""

from __future__ import annotations

from pathlib import Path

from passerby.data.datasets.ilidsvid import OWN, list_persons
from passerby.data.datasets.listing import image_files, require_folder
from passerby.data.datasets.own_files import OPTIONS, are_cameras_known, separate_own_files
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult, UnreadableEntry
from passerby.data.datasets.track_samples import (
    ALL_FRAMES,
    FRAMES,
    frames_option,
    make_track,
    person_number,
    read_person_splits,
)
from passerby.data.datasets.two_cameras import build_data, choose_split
from passerby.errors import DataError
from passerby.types import Sample

LAST_COMMON = 200
"""Persons up to this number are in both cameras; the same number above it is of two persons."""
MIN_IMAGES = 22
FILES = {"multi": "splits_prid2011.json", "single": "splits_single_shot.json"}


def read_prid2011(spec: DataSpec) -> ReaderResult:
    """Read the folder. Raises DataError for another layout, an invalid option or a splits file of another content."""
    shots = spec.choice("shots", ("multi", "single"), default="multi")
    if shots == "single" and "frames" in spec.options:
        raise DataError(f"{spec.name}: option frames is for shots=multi; leave it out")
    frames = frames_option(spec)
    layout = f"{shots}_shot/ with cam_a/ and cam_b/, or the folder that holds it"
    require_folder(spec.path, name=spec.name, expected=layout)
    inside = spec.path / "prid_2011"
    root = (inside if inside.is_dir() else spec.path) / f"{shots}_shot"
    skipped: list[Path] = []
    unreadable: list[UnreadableEntry] = []
    list_camera = list_persons if shots == "multi" else _list_images
    first, second = (
        list_camera(require_folder(root / name, name=spec.name, expected=layout), skipped, unreadable)
        for name in ("cam_a", "cam_b")
    )
    common = {person for person in first.keys() & second.keys() if person <= LAST_COMMON}
    if shots == "multi":
        common = {person for person in common if min(len(first[person]), len(second[person])) >= MIN_IMAGES}
    file = next((f / FILES[shots] for f in (spec.path, spec.path.parent) if (f / FILES[shots]).is_file()), None)
    train, test, title = choose_split(spec, common, None if file is None else lambda: read_person_splits(file))

    def make(paths: list[Path], person: int, camera: int) -> list[Sample]:
        if shots == "single":
            return [Sample(path, person, camera) for path in paths]
        limit = ALL_FRAMES if person in train else frames
        return make_track(paths, person, camera, track=2 * person + camera, frames=limit)

    data = build_data(
        spec,
        (first, second),
        train=train,
        test=test,
        make=make,
        only_gallery=(person for person in second if person > LAST_COMMON) if shots == "single" else (),
        variant=f"{'tracks' if shots == 'multi' else 'single-shot'}, {title}",
    )
    assumptions = (OWN,) if title.startswith("own") else ()
    result = ReaderResult(data, tuple(unreadable), assumptions=assumptions, skipped=tuple(skipped))
    return separate_own_files(spec, result, cameras_known=are_cameras_known(spec))


def _list_images(folder: Path, skipped: list[Path], unreadable: list[UnreadableEntry]) -> dict[int, list[Path]]:
    """Return the image of each person of a camera."""
    persons: dict[int, list[Path]] = {}
    for path in image_files(folder, skipped=skipped):
        try:
            persons.setdefault(person_number(path.stem), []).append(path)
        except ValueError:
            reason = "the name does not parse; expected one like person_0001.png"
            unreadable.append(UnreadableEntry(str(path), reason))
    return persons


READER = Reader(
    read_prid2011,
    "PRID 2011: 200 people in both of 2 cameras, multi- or single-shot, 10 splits",
    {"shots": "multi|single", "split": "0..9", **FRAMES, **OPTIONS},
)
