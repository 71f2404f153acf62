"""Hits of several galleries. Oracle: one gallery with all sightings, and brute force over them."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallery.oracle import brute_force
from gallery.people import MODEL, people, unit
from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.merged_hits import merge_hits
from passerby.gallery.stores.opening import open_gallery

COUNT = 240
QUERIES = np.concatenate([unit(np.random.default_rng(9), 4), people(1)[0].vector[None]])  # the last has many ties


def fill(address, sightings):
    store = open_gallery(address, model=MODEL)
    store.add(sightings)
    return store


def search_one(address, top):
    """Search a gallery in a process of its own."""
    store = open_gallery(address)
    try:
        return store.search(QUERIES, top=top)
    finally:
        store.close()


def shard_addresses(address):
    return (f"{address}{name}" if "://" in str(address) else address / name for name in ("whole", "odd", "even"))


def test_shards_in_two_processes_answer_as_one_gallery(address):
    """Two galleries in the same kind of store, bit for bit, ties included. In memory there is one process."""
    sightings = people(COUNT)
    parts = [sightings, sightings[1::2], sightings[::2]]
    if address == "memory":
        whole, *shards = (fill("memory", part) for part in parts)
        answers = [shard.search(QUERIES, top=20) for shard in shards]
        expected = whole.search(QUERIES, top=20)
    else:
        names = [*shard_addresses(address)]
        for name, part in zip(names, parts, strict=True):
            fill(name, part).close()
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            expected, *answers = pool.map(search_one, map(str, names), [20, 20, 20])
    merged = merge_hits(answers, top=20)
    assert [[(hit.id, hit.distance) for hit in hits] for hits in merged] == [
        [(hit.id, hit.distance) for hit in hits] for hits in expected
    ]
    assert [hit.id for hit in merged[0]] == [name for name, _ in brute_force(QUERIES[0], sightings, 20)]


def test_replicas_answer_as_one_of_them():
    store = fill("memory", people(COUNT))
    answer = store.search(QUERIES, top=7, where=Filter(cameras=["cam1"]))
    assert merge_hits([answer, answer, answer], top=7) == answer
    store.close()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=40, max_size=40), st.integers(1, 50))
def test_any_division_of_the_sightings_has_the_same_nearest(shard_of, top):
    """Some of the four shards may be empty, and sightings of shard 0 are in shard 1, too."""
    sightings = people(40)
    answers = []
    for number in range(4):
        members = [
            item for item, own in zip(sightings, shard_of, strict=True) if own == number or (own, number) == (0, 1)
        ]
        store = fill("memory", members)
        answers.append(store.search(QUERIES, top=top))
        store.close()
    whole = fill("memory", sightings)
    assert [[hit.id for hit in hits] for hits in merge_hits(answers, top=top)] == [
        [hit.id for hit in hits] for hits in whole.search(QUERIES, top=top)
    ]
    whole.close()


def test_answers_that_do_not_belong_together_are_refused():
    assert merge_hits([], top=3) == []
    with pytest.raises(GalleryError, match="answers of 1 and of 2 queries"):
        merge_hits([[[]], [[], []]], top=3)
    with pytest.raises(GalleryError, match="top: got 0"):
        merge_hits([[[]]], top=0)
