"""Sightings of drawn people with known persons, and their identities, for tests of the review."""

from gallery.people import MODEL
from passerby.gallery.sightings import Sighting
from passerby.openset.calibration import Calibration, FittedOn
from reviewing.people_vectors import draw_people

FACTS = FittedOn("example", identities=10, images=40, same=60, different=700, trained_on=False)
CALIBRATION = Calibration("logistic", "cosine", [0.0, 1.0], [16.0, -10.0], FACTS)


def add_people(store, people=6, sightings=4, noise=0.2, seed=0):
    """Add sightings named `p3s1`: person 3, sighting 1."""
    vectors, persons, cameras = draw_people(people, sightings, noise=noise, width=MODEL.dimension, seed=seed)
    names = [f"p{person}s{index % sightings}" for index, person in enumerate(persons)]
    store.add(
        [
            Sighting(vector=vector, camera=f"cam{camera}", id=name, source=f"{name}.jpg")
            for vector, camera, name in zip(vectors, cameras, names, strict=True)
        ]
    )


def groups(identities):
    return {frozenset(member.sighting.id for member in identity.members) for identity in identities}


def person(number):
    return frozenset(f"p{number}s{index}" for index in range(4))


def find(review, sighting):
    (identity,) = [i for i in review.identities() if any(m.sighting.id == sighting for m in i.members)]
    return identity
