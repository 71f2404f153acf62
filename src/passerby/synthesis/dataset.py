"""Synthetic data set in the layout of Market-1501, with a table of the parameters of each image.

    bounding_box_train/  query/  bounding_box_test/       0001_c1s1_000000_01.jpg ...
    images.parquet                                        one row per image, with its mask; see docs/synth.md
    synth.json                                            settings and version of the renderer

`passerby.synthesis.write` writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np

from passerby.errors import DataError, argument
from passerby.synthesis.cameras import Camera, draw_camera
from passerby.synthesis.persons import Person, draw_persons
from passerby.synthesis.photograph import Photograph, photograph

RENDERER_VERSION = 2
"""Part of the cache key. Increase it whenever the same settings give other images or other columns of the table."""

SPLITS = ("bounding_box_train", "query", "bounding_box_test")
DISTRACTORS_PER_CAMERA = 2
SHARD = 16
"""Identities of a shard."""
PASSERSBY = 32
"""Persons that appear only in the background."""

_PERSON, _CAMERA, _IMAGE, _DISTRACTOR, _SPLIT, _ROUTE, _PASSERBY = range(7)
"""Independent streams of random numbers."""


@dataclass(frozen=True)
class SynthSettings:
    """Settings of a synthetic data set. Equal settings give equal images.

    Attributes:
        identities: Identities, 2 to 99,999.
        cameras: Cameras, 2 to 999.
        images: Images of each identity in each of its cameras, 2 to 999.
        seed: 0 to 2^63 - 1.
        views: Cameras of each identity; 0 is all of them.
        test: Identities of the test split; -1 is half of them, rounded up.
        lookalikes: Percent of the identities that share most of their appearance with another identity.
        height: Height of an image in pixels, 16 to 1024; the width is half of it.

    Raises:
        DataError: Naming the setting that is out of its range.

    Example:
        >>> from passerby.synthesis.dataset import SynthSettings
        >>> SynthSettings(identities=4, cameras=2, images=2).total
        20
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
                raise DataError(f"{argument(field.name)}: got {value}, expected {low} to {high}")
        if self.views > self.cameras or self.views == 1:
            raise DataError(
                f"{argument('views')}: got {self.views}, expected 2 to {self.cameras} (the cameras), or 0 for all"
            )
        if self.test > self.identities:
            raise DataError(f"{argument('test')}: got {self.test}, expected at most {self.identities} (the identities)")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of an image in pixels."""
        return self.height, self.height // 2

    @property
    def test_identities(self) -> int:
        """Number of identities in the test split."""
        return self.identities - self.identities // 2 if self.test < 0 else self.test

    @property
    def total(self) -> int:
        """Number of images. A data set with a test split has distractors."""
        distractors = self.cameras * DISTRACTORS_PER_CAMERA if self.test_identities else 0
        return self.identities * (self.views or self.cameras) * self.images + distractors

    @property
    def shards(self) -> int:
        """Number of groups of identities that are rendered together; the last group holds the distractors."""
        return -(-self.identities // SHARD) + (1 if self.test_identities else 0)


RANGES = {
    "identities": (2, 99_999), "cameras": (2, 999), "images": (2, 999), "seed": (0, 2**63 - 1), "views": (0, 999),
    "test": (-1, 99_999), "lookalikes": (0, 100), "height": (16, 1024),
}  # fmt: skip
"""Smallest and largest value of each setting."""


def render_image(settings: SynthSettings, person: int, camera: int, shot: int) -> Photograph:
    """Render image number `shot` of an identity in a camera (all from 0): the content of the file with that name.

    Example:
        >>> from passerby.synthesis.dataset import SynthSettings, render_image
        >>> render_image(SynthSettings(height=32), 0, 0, 0).pixels.shape
        (32, 16, 3)
    """
    rng = np.random.default_rng([settings.seed, _IMAGE, person, camera, shot])
    subject, passersby = _draw_persons(settings)[person], _draw_passersby(settings.seed)
    return photograph(subject, _draw_camera(settings.seed, camera), rng, size=settings.size, passersby=passersby)


def render_shard(settings: SynthSettings, shard: int) -> Iterator[tuple[str, dict[str, Any], Photograph]]:
    """Yield the file name, the parameters of person and camera, and the photograph of each image of a shard."""
    if shard == -(-settings.identities // SHARD):
        yield from _render_distractors(settings)
        return
    split_rng = np.random.default_rng([settings.seed, _SPLIT])
    test = set(split_rng.permutation(settings.identities)[: settings.test_identities].tolist())
    for index in range(shard * SHARD, min((shard + 1) * SHARD, settings.identities)):
        person = _flatten("person", asdict(_draw_persons(settings)[index]))
        route = np.random.default_rng([settings.seed, _ROUTE, index]).permutation(settings.cameras)
        for camera in sorted(route[: settings.views or settings.cameras].tolist()):
            for shot in range(settings.images):
                split = SPLITS[0] if index not in test else SPLITS[1] if shot == 0 else SPLITS[2]
                image = render_image(settings, index, camera, shot)
                yield *_describe(settings, split, index + 1, camera, shot, person), image


def _render_distractors(settings: SynthSettings) -> Iterator[tuple[str, dict[str, Any], Photograph]]:
    passersby = _draw_passersby(settings.seed)
    for camera in range(settings.cameras):
        for shot in range(DISTRACTORS_PER_CAMERA):
            rng = np.random.default_rng([settings.seed, _DISTRACTOR, camera, shot])
            view = _draw_camera(settings.seed, camera)
            image = photograph(None, view, rng, size=settings.size, passersby=passersby)
            yield *_describe(settings, "bounding_box_test", 0, camera, shot, {}), image


@lru_cache(maxsize=4096)
def _draw_camera(seed: int, camera: int) -> Camera:
    return draw_camera(np.random.default_rng([seed, _CAMERA, camera]))


@lru_cache(maxsize=2)
def _draw_persons(settings: SynthSettings) -> list[Person]:
    lookalikes = settings.lookalikes / 100
    return draw_persons(settings.identities, seed=settings.seed, stream=_PERSON, lookalikes=lookalikes)


@lru_cache(maxsize=4)
def _draw_passersby(seed: int) -> tuple[Person, ...]:
    return tuple(draw_persons(PASSERSBY, seed=seed, stream=_PASSERBY, lookalikes=0.0))


def _describe(
    settings: SynthSettings, split: str, person_id: int, camera: int, shot: int, person: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return the file name of an image and the columns of its person and camera."""
    view = _draw_camera(settings.seed, camera)
    skipped = ("around", "objects", "materials")
    scalars = {field.name: getattr(view, field.name) for field in fields(view) if field.name not in skipped}
    columns = {
        "person_id": person_id, "camera_id": camera + 1, "split": split, "shot": shot,
        **person, **_flatten("camera", scalars), "camera_elevation": view.elevation,
    }  # fmt: skip
    return f"{split}/{person_id:04d}_c{camera + 1}s1_{shot:06d}_01.jpg", columns


def _flatten(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return a nested dict as columns such as `person_top_kind`. Tuples and arrays become lists."""
    columns: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            columns |= _flatten(f"{prefix}_{name}", value)
        else:
            columns[f"{prefix}_{name}"] = (
                np.asarray(value).tolist() if isinstance(value, (tuple, np.ndarray)) else value
            )
    return columns
