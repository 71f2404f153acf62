"""Embeddings of drawn people in settings with little or wrong evidence, and the ladder's choice on them."""

import numpy as np

from passerby.adaptation.groups import find_groups
from passerby.adaptation.ladder import Start, climb_maps, learn_rung
from passerby.adaptation.rendered import RenderedPeople
from passerby.adaptation.site import Site
from passerby.evaluation.score import score
from passerby.metric.part_maps import apply_maps, join_parts, split_parts
from passerby.types import Embeddings

PARTS, WIDTH, LOSS = 2, 16, 0.01


def draw(rng, persons, cameras, *, noise=2.0, own=0.7):
    """Embeddings of crops: a person, a shift of the camera, and noise, which is large in four directions."""
    fixed = np.random.default_rng(5)
    people, shifts = fixed.normal(size=(2000, PARTS * WIDTH)), fixed.normal(size=(4, PARTS * WIDTH))
    directions = noise * fixed.normal(size=(4, PARTS * WIDTH))
    shifted = rng.normal(size=(len(persons), 4)) @ directions + own * rng.normal(size=(len(persons), PARTS * WIDTH))
    return join_parts(split_parts((people[persons] + shifts[cameras] + shifted).astype(np.float32), PARTS))


def crops(count, *, cameras=2, first=0):
    """Three crops of each person in each camera: identities and cameras."""
    persons = np.repeat(np.arange(first, first + count), 3 * cameras)
    return persons, np.tile(np.repeat(np.arange(cameras), 3), count)


def strangers():
    persons, cameras = crops(120)
    kept = persons % 2 == cameras
    return persons[kept], cameras[kept]


def copies():
    return np.concatenate([np.zeros(200, np.int64), crops(60, first=1)[0]]), np.concatenate(
        [np.arange(200) % 2, crops(60, first=1)[1]]
    )


SITES = {
    "50 people": crops(50),
    "one camera": crops(100, cameras=1),
    "each person in one camera": strangers(),
    "200 crops of one person": copies(),
    "all of one person": (np.zeros(200, np.int64), np.arange(200) % 2),
}


def mean_precision(vectors, persons, cameras):
    first = np.unique(np.stack([persons, cameras], 1), axis=0, return_index=True)[1]
    images = Embeddings(vectors, persons, cameras)
    rest = np.setdiff1d(np.arange(len(persons)), first)
    return score(images.take(first), images.take(rest), cameras=True).mAP


def climb(persons, cameras, tracks, vectors):
    """Return the change of the mAP of other people, and the rung that was chosen."""
    site = Site("drawn", np.zeros((len(persons), 1, 1, 3), np.uint8), ("a", "b"), cameras, tracks, persons, ())
    return climb_groups(site, find_groups(site, labels=False, seed=0), vectors)


def climb_groups(site, groups, vectors, **noise):
    """Return the same as `climb` for groups that are known."""
    if groups.judge is None:
        return 0.0, (), None
    others = crops(100, first=1000)
    before = draw(np.random.default_rng(9), *others, **noise)
    people = RenderedPeople("drawn", np.empty((0, 1, 1, 3), np.uint8), *others, trained_on=False)
    start = Start(vectors, before, PARTS, site.camera_ids)
    rungs, chosen = climb_maps(start, groups, people, site=site)
    if chosen is None:
        return 0.0, rungs, chosen
    maps, _ = learn_rung(chosen, split_parts(vectors, PARTS), site, groups.numbers)
    after = join_parts(apply_maps(split_parts(before, PARTS), maps))
    return mean_precision(after, *others) - mean_precision(before, *others), rungs, chosen
