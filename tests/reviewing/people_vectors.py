"""Vectors of simulated persons, for the tests of reviewing."""

import numpy as np

from passerby.reviewing.evidence import PairModel


def draw_people(people, sightings, *, noise=0.5, cameras=2, width=32, seed=0):
    """(N, D) unit vectors, (N,) persons and (N,) cameras of `people` with `sightings` each."""
    generator = np.random.default_rng(seed)
    persons = np.repeat(np.arange(people), sightings)
    centers = generator.standard_normal((people, width))
    vectors = centers[persons] + noise * generator.standard_normal((len(persons), width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), persons, np.arange(len(persons)) % cameras


def make_model(cameras=2):
    return PairModel(20.0, -10.0, np.zeros((cameras, cameras)))
