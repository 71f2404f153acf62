"""Sightings for galleries."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from passerby.gallery.card import GalleryModel
from passerby.gallery.sightings import Sighting

D = 24
MODEL = GalleryModel("a" * 64, "b" * 64, {"size": [64, 32], "mean": [0.5] * 3, "std": [0.5] * 3}, D)
OTHER = GalleryModel("c" * 64, "d" * 64, {"size": [64, 32], "mean": [0.5] * 3, "std": [0.5] * 3}, D)
NOW = 1_700_000_000.0
DAY = 86_400.0


def unit(generator, count, width=D):
    """Random unit vectors."""
    vectors = generator.standard_normal((count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def people(count, seed=0, **facts):
    """Sightings of random people in three cameras: some without time, some without label, some with equal vectors."""
    generator = np.random.default_rng(seed)
    vectors = unit(generator, count)
    vectors[1::7] = vectors[0:1]  # equal vectors: ties
    return [
        Sighting(
            vector=vectors[i],
            source=f"seed{seed}/film.avi::track {i}" if i % 11 == 10 else f"seed{seed}/{i}.jpg",
            **{
                "camera": f"cam{i % 3}",
                "time": None if i % 5 == 4 else NOW + float(generator.integers(0, 1000)),
                "label": None if i % 4 == 3 else f"person {i % 6}",
                "quality": None if i % 2 else round(float(generator.random()), 3),
                "attributes": {"place": i, "door": "north 'n' \"s\"", "indoors": i % 2 == 0},
                **facts,
            },
        )
        for i in range(count)
    ]


def encoded_image(seed=0, size=(40, 90), kind="PNG"):
    """An encoded image of noise, which compression does not reduce."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


@dataclass
class Watch:
    """A clock that is set by hand."""

    now: float = NOW

    def __call__(self):
        return self.now
