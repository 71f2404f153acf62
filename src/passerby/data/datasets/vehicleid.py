"""PKU VehicleID (Liu et al., CVPR 2016): vehicles, read through its list files. Cameras are not stated.

    image/0000001.jpg ...     train_test_split/train_list.txt  test_list_800.txt  test_list_1600.txt  test_list_2400.txt

A line of a list is an image without suffix and a vehicle: `0000001 7`. Training: 13,164 vehicles. `test=800|1600|2400`
selects the test list. One image of each of its vehicles, drawn at random, is the gallery, the others are queries.
Published metrics are means over 10 such draws: `draw=0` to `9` is the seed of one draw.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from passerby.data.datasets.listing import missing_file, read_lines, require_folder
from passerby.data.datasets.own_files import COPIES, separate_own_files
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult, UnreadableEntry
from passerby.data.datasets.splitting import group_by_person
from passerby.types import MAX_ID, DataSet, Sample

SPLITS = "train_test_split"
LAYOUT = f"a folder with image/ and {SPLITS}/"
SIZES = ("800", "1600", "2400")


def read_vehicleid(spec: DataSpec) -> ReaderResult:
    """Read the folder. Raises DataError for a missing list or folder, or an invalid option."""
    size = spec.choice("test", SIZES, default="800")
    draw = spec.integer("draw", default=0, low=0, high=9)
    spec.choice("camera", ("none",), default="none")
    root = require_folder(spec.path, name=spec.name, expected=LAYOUT)
    for name in ("image", SPLITS):
        require_folder(root / name, name=spec.name, expected=LAYOUT)
    unreadable: list[UnreadableEntry] = []
    lists = [root / SPLITS / name for name in ("train_list.txt", f"test_list_{size}.txt")]
    for file in lists:
        if not file.is_file():
            raise missing_file(file, name=spec.name, expected=f"train_list.txt and test_list_{size}.txt")
    train, test = (_read_list(file, root / "image", unreadable) for file in lists)
    query, gallery = draw_gallery(test, seed=draw)
    variant = f"{size} test vehicles, draw {draw}"
    data = DataSet(spec.name, root, spec.text, tuple(train), query, gallery, variant=variant)
    return separate_own_files(spec, ReaderResult(data, tuple(unreadable)), cameras_known=False)


def _read_list(file: Path, folder: Path, unreadable: list[UnreadableEntry]) -> list[Sample]:
    samples = []
    for number, line in read_lines(file):
        image, _, vehicle = line.partition(" ")
        vehicle = vehicle.strip()
        valid = image.isascii() and image.isdigit() and vehicle.isascii() and vehicle.isdigit() and len(vehicle) < 20
        if not valid or int(vehicle) >= MAX_ID:
            reason = f"{line[:120]!r} does not parse; expected an image and a vehicle like 0000001 7"
            unreadable.append(UnreadableEntry(f"{file}:{number}", reason))
        else:
            samples.append(Sample(folder / f"{image}.jpg", int(vehicle) + 1, 0))  # a vehicle 0 is no distractor
    return sorted(samples, key=lambda sample: sample.path)


def draw_gallery(samples: list[Sample], *, seed: int) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Return queries and gallery: one image of each identity, drawn by `default_rng(seed)`, is the gallery."""
    generator = np.random.default_rng(seed)
    drawn = {images[generator.integers(len(images))] for images in group_by_person(samples).values()}
    query = tuple(sample for sample in samples if sample not in drawn)
    return query, tuple(sample for sample in samples if sample in drawn)


READER = Reader(
    read_vehicleid,
    "PKU VehicleID: 13,164 training vehicles; 800, 1,600 or 2,400 test vehicles",
    {"test": "800|1600|2400, default 800", "draw": "0..9, seed of the drawn gallery", "camera": "none", **COPIES},
)
