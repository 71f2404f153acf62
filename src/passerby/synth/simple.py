"""A small data set of drawn people in the layout of Market-1501: nobody's picture, made in seconds, the same anywhere.

It serves the demo and the tests. Some people are dressed alike, every camera has its own place, light and blur, and
most clothes are dark, so that it takes learning to tell them apart.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.errors import DataError
from passerby.synth.figures import Person, lookalike, random_person
from passerby.synth.scenes import Camera, distract, photograph, random_camera

LOOKALIKES = 0.2
"""Share of the people who wear the clothes of somebody else."""
DISTRACTORS_PER_CAMERA = 2

_PERSON, _CAMERA, _IMAGE, _DISTRACTOR, _SPLIT = range(5)  # streams of random numbers that never meet


def write_simple(
    folder: Path,
    *,
    identities: int,
    cameras: int,
    images: int,
    seed: int,
    size: tuple[int, int] = (128, 64),
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw a data set: `bounding_box_train`, `query` and `bounding_box_test`, names as Market-1501 writes them.

    Half of the identities (rounded down) are for training, the others for the test: one query image for each of their
    cameras, the rest and a few distractors (person 0000) in the gallery. The folder appears when it is complete.

    Args:
        folder: Where to; must not exist, or be empty.
        identities: People, at least 4.
        cameras: Cameras, at least 2; every person is seen by all of them.
        images: Images of each person in each camera, at least 2.
        seed: What the people, the cameras and the images follow from.
        size: (height, width) of an image in pixels, at least (32, 16).
        progress: Called with (images written, images in all).

    Raises:
        DataError: For numbers that are too small or too large for the file names, or a folder that is not empty.
    """
    _check(folder, identities=identities, cameras=cameras, images=images, seed=seed, size=size)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    total = identities * cameras * images + cameras * DISTRACTORS_PER_CAMERA
    try:
        for split in ("bounding_box_train", "query", "bounding_box_test"):
            (part / split).mkdir(parents=True)
        drawn = _draw(identities=identities, cameras=cameras, images=images, seed=seed, size=size)
        for done, (name, pixels) in enumerate(drawn, start=1):
            Image.fromarray(pixels).save(part / name, quality=92)
            if progress is not None:
                progress(done, total)
        try:
            part.replace(folder)
        except OSError as error:
            raise DataError(f"{folder}: could not be put in place ({error.strerror}); is it empty?") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def people(identities: int, *, seed: int) -> list[Person]:
    """The people of a data set, in the order of their ids; every fifth or so wears the clothes of an earlier one."""
    found: list[Person] = []
    for person in range(identities):
        rng = np.random.default_rng([seed, _PERSON, person])
        if found and rng.random() < LOOKALIKES:
            found.append(lookalike(found[int(rng.integers(len(found)))], rng))
        else:
            found.append(random_person(rng))
    return found


def _draw(
    *, identities: int, cameras: int, images: int, seed: int, size: tuple[int, int]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Every image with its name inside the data set."""
    views: list[Camera] = [
        random_camera(np.random.default_rng([seed, _CAMERA, camera]), size) for camera in range(cameras)
    ]
    chosen = np.random.default_rng([seed, _SPLIT]).permutation(identities)[: identities // 2]
    train = set(chosen.tolist())
    for index, person in enumerate(people(identities, seed=seed)):
        for camera, view in enumerate(views):
            for shot in range(images):
                rng = np.random.default_rng([seed, _IMAGE, index, camera, shot])
                split = "bounding_box_train" if index in train else "query" if shot == 0 else "bounding_box_test"
                yield f"{split}/{_name(index + 1, camera, shot)}", photograph(person, view, rng)
    for camera, view in enumerate(views):
        for shot in range(DISTRACTORS_PER_CAMERA):
            rng = np.random.default_rng([seed, _DISTRACTOR, camera, shot])
            yield f"bounding_box_test/{_name(0, camera, shot)}", distract(view, rng)


def _name(person: int, camera: int, shot: int) -> str:
    return f"{person:04d}_c{camera + 1}s1_{shot * 25 + person:06d}_01.jpg"


def _check(folder: Path, *, identities: int, cameras: int, images: int, seed: int, size: tuple[int, int]) -> None:
    for name, value, least, most in (
        ("identities", identities, 4, 9999),
        ("cameras", cameras, 2, 99),
        ("images", images, 2, 9999),
        ("seed", seed, 0, 2**63),
        ("height", size[0], 32, 2048),
        ("width", size[1], 16, 2048),
    ):
        if not least <= value <= most:
            raise DataError(f"simple: {name} is {value}, expected {least} to {most}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: is not an empty folder; name another one or delete it")
