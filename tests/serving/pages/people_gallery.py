"""Galleries of vectors with known persons, for the tests of the pages."""

import io
from dataclasses import replace

import numpy as np
from PIL import Image

from gallery.people import MODEL, unit
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery
from passerby.openset.calibration import Calibration, FittedOn

FITTED = FittedOn("vectors", identities=10, images=40, same=60, different=1, trained_on=False)
UNSURE = Calibration("logistic", "cosine", [0.0, 0.2, 1.0], [6.0, 2.0, -6.0], FITTED)
"""Too weak to join sightings without an answer."""
SURE = Calibration("logistic", "cosine", [0.0, 1.0], [16.0, -10.0], FITTED)
"""Strong enough that each person is one identity without an answer."""


def crop(seed, size=(32, 64)):
    """A picture of one color."""
    out = io.BytesIO()
    color = tuple(np.random.default_rng(seed).integers(40, 220, 3).tolist())
    Image.new("RGB", size, color).save(out, "JPEG")
    return out.getvalue()


def make_people(folder, persons=10, sightings=4, calibration=UNSURE):
    """A calibrated gallery of vectors near those of persons, `p3n1` is person 3; person 0 is labeled Adalovelace."""
    generator = np.random.default_rng(5)
    centers = unit(generator, persons)
    store = open_gallery(folder, model=replace(MODEL, calibration={"format": 1, **calibration.to_dict()}), keep="crops")
    for person in range(persons):
        for number in range(sightings):
            vector = centers[person] + 0.06 * generator.standard_normal(MODEL.dimension)
            store.add(
                [
                    Sighting(
                        vector=vector / np.linalg.norm(vector),
                        camera=f"cam{number % 2}",
                        time=1_700_000_000.0 + 3600 * number,
                        label="Adalovelace" if person == 0 else None,
                        id=f"p{person}n{number}",
                        crop=crop(person),
                    )
                ]
            )
    store.close()
