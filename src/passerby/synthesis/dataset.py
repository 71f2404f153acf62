"""Rendered people as a data set in the layout of Market-1501, with a table of all that is known about each image.

    bounding_box_train/  query/  bounding_box_test/       0001_c1s1_000000_01.jpg ...
    images.parquet                                        one row an image, masks included; see docs/synth.md
    synth.json                                            what it was made from

`passerby.synthesis.write` puts it on disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from passerby.errors import DataError
from passerby.synthesis.cameras import Camera, random_camera
from passerby.synthesis.people import Person, people
from passerby.synthesis.photograph import Photograph, photograph

SPLITS = ("bounding_box_train", "query", "bounding_box_test")
DISTRACTORS_PER_CAMERA = 2
SHARD = 16  # people
CROWD = 32  # people who only walk by

_PERSON, _CAMERA, _IMAGE, _DISTRACTOR, _SPLIT, _ROUTE, _CROWD = range(7)  # streams of random numbers that never meet


@dataclass(frozen=True)
class SynthSettings:
    """What a data set of rendered people follows from; the same settings give the same images.

    Attributes:
        identities: People, 2 to 99,999.
        cameras: Cameras, 2 to 999.
        images: Of each person in each camera that sees them, 2 to 999.
        seed: 0 to 2^63.
        views: Cameras that see one person; 0 is all of them.
        test: People of the test split; -1 is half of them, rounded up.
        lookalikes: Percent of the people who look like somebody else but for build and a garment or two.
        height: Of an image in pixels, 16 to 1024; it is half as wide.

    Raises:
        DataError: Naming the setting that is out of its range.
    """

    identities: int = 24
    cameras: int = 3
    images: int = 4
    seed: int = 0
    views: int = 0
    test: int = -1
    lookalikes: int = 25
    height: int = 128

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), RANGES[field.name]
            if not low <= value <= high:
                raise DataError(f"synth: {field.name} is {value}, expected {low} to {high}")
        if self.views > self.cameras or self.views == 1:
            raise DataError(f"synth: views is {self.views}, expected 2 to {self.cameras} (the cameras), or 0 for all")
        if self.test > self.identities:
            raise DataError(f"synth: test is {self.test}, expected at most {self.identities} (the identities)")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of an image."""
        return self.height, self.height // 2

    @property
    def test_people(self) -> int:
        """How many people are in the test split."""
        return self.identities - self.identities // 2 if self.test < 0 else self.test

    @property
    def total(self) -> int:
        """Images in all; distractors go with a test split."""
        distractors = self.cameras * DISTRACTORS_PER_CAMERA if self.test_people else 0
        return self.identities * (self.views or self.cameras) * self.images + distractors

    @property
    def shards(self) -> int:
        """Groups of people that are rendered together; the last one holds the distractors."""
        return -(-self.identities // SHARD) + (1 if self.test_people else 0)


RANGES = {
    "identities": (2, 99_999), "cameras": (2, 999), "images": (2, 999), "seed": (0, 2**63 - 1), "views": (0, 999),
    "test": (-1, 99_999), "lookalikes": (0, 100), "height": (16, 1024),
}  # fmt: skip
"""Each setting's smallest and largest value."""


@lru_cache(maxsize=1)
def renderer() -> str:
    """Which renderer this is: 8 hexadecimal digits of its text. Another one draws other people from the same seed."""
    room = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in room)).hexdigest()[:8]


def camera_of(settings: SynthSettings, camera: int) -> Camera:
    """Camera number `camera`, from 0."""
    return _camera(settings.seed, camera)


def take(settings: SynthSettings, person: int, camera: int, shot: int) -> Photograph:
    """The photograph number `shot` of a person in a camera, all from 0: what the data set's file of that name shows."""
    rng = np.random.default_rng([settings.seed, _IMAGE, person, camera, shot])
    who = _people(settings)[person]
    return photograph(who, camera_of(settings, camera), rng, size=settings.size, others=_crowd(settings.seed))


@lru_cache(maxsize=4096)
def _camera(seed: int, camera: int) -> Camera:
    return random_camera(np.random.default_rng([seed, _CAMERA, camera]))


@lru_cache(maxsize=2)
def _people(settings: SynthSettings) -> list[Person]:
    return people(settings.identities, seed=settings.seed, stream=_PERSON, lookalikes=settings.lookalikes / 100)


@lru_cache(maxsize=4)
def _crowd(seed: int) -> tuple[Person, ...]:
    return tuple(people(CROWD, seed=seed, stream=_CROWD, lookalikes=0.0))


def shard_images(settings: SynthSettings, shard: int) -> Iterator[tuple[str, dict[str, Any], Photograph]]:
    """File name, facts about person and camera, and photograph of every image of a shard."""
    test = np.random.default_rng([settings.seed, _SPLIT]).permutation(settings.identities)[: settings.test_people]
    tested = set(test.tolist())
    if shard == -(-settings.identities // SHARD):
        for camera in range(settings.cameras):
            for shot in range(DISTRACTORS_PER_CAMERA):
                rng = np.random.default_rng([settings.seed, _DISTRACTOR, camera, shot])
                view, crowd = camera_of(settings, camera), _crowd(settings.seed)
                shown = photograph(None, view, rng, size=settings.size, others=crowd)
                yield _named("bounding_box_test", 0, camera, shot, {}, view, shown)
        return
    for index in range(shard * SHARD, min((shard + 1) * SHARD, settings.identities)):
        person = _flat("person", asdict(_people(settings)[index]))
        route = np.random.default_rng([settings.seed, _ROUTE, index]).permutation(settings.cameras)
        for camera in sorted(route[: settings.views or settings.cameras].tolist()):
            for shot in range(settings.images):
                split = SPLITS[0] if index not in tested else SPLITS[1] if shot == 0 else SPLITS[2]
                shown = take(settings, index, camera, shot)
                yield _named(split, index + 1, camera, shot, person, camera_of(settings, camera), shown)


def _named(
    split: str, person_id: int, camera: int, shot: int, person: dict[str, Any], view: Camera, shown: Photograph
) -> tuple[str, dict[str, Any], Photograph]:
    skipped = ("around", "objects", "materials")
    plain = {field.name: getattr(view, field.name) for field in fields(view) if field.name not in skipped}
    facts = {
        "person_id": person_id, "camera_id": camera + 1, "split": split, "shot": shot,
        **person, **_flat("camera", plain), "camera_elevation": view.elevation,
    }  # fmt: skip
    return f"{split}/{person_id:04d}_c{camera + 1}s1_{shot:06d}_01.jpg", facts, shown


def _flat(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    """A nested dict as columns: `person_top_kind`; colors and other tuples as lists."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(f"{prefix}_{name}", value)
        else:
            found[f"{prefix}_{name}"] = np.asarray(value).tolist() if isinstance(value, (tuple, np.ndarray)) else value
    return found
