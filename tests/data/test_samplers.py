"""Properties of P x K batches, checked by counting."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.data.samplers import PKSampler
from passerby.errors import DataError


@st.composite
def cases(draw):
    """Labels in any order with gaps between them, P up to the number of identities, K, a seed."""
    sizes = draw(st.lists(st.integers(1, 14), min_size=2, max_size=12))
    sizes[0] = max(2, sizes[0])
    labels = np.repeat(np.arange(len(sizes)) * 3, sizes)
    labels = np.random.default_rng(draw(st.integers(0, 99))).permutation(labels)
    persons = draw(st.integers(1, len(sizes)))
    return labels, persons, draw(st.integers(1, 5)), draw(st.integers(0, 2**40))


def batches(labels, *, epoch=0, near=None, **settings):
    sampler = PKSampler(labels, **settings)
    sampler.set_epoch(epoch)
    sampler.set_alike(near)
    return list(sampler)


@settings(max_examples=150)
@given(cases())
def test_every_batch_is_p_different_persons_with_k_images_each(case):
    labels, persons, images, seed = case
    for batch in batches(labels, persons=persons, images=images, seed=seed):
        blocks = labels[batch].reshape(persons, images)
        assert (blocks == blocks[:, :1]).all()
        assert len(set(blocks[:, 0])) == persons


@settings(max_examples=150)
@given(cases(), st.integers(0, 5))
def test_everybody_is_visited_and_the_length_is_kept(case, epoch):
    labels, persons, images, seed = case
    sampler = PKSampler(labels, persons=persons, images=images, seed=seed)
    sampler.set_epoch(epoch)
    drawn = list(sampler)
    assert len(drawn) == len(sampler)
    assert set(labels[np.concatenate(drawn)]) == set(labels)


@settings(max_examples=150)
@given(cases())
def test_images_repeat_within_a_batch_only_where_a_person_has_fewer_than_k(case):
    """And then as evenly as possible: no image twice more often than another."""
    labels, persons, images, seed = case
    sizes = Counter(labels.tolist())
    for batch in batches(labels, persons=persons, images=images, seed=seed):
        for block in np.reshape(batch, (persons, images)):
            times = Counter(block.tolist())
            assert len(times) == min(images, sizes[labels[block[0]]])
            assert max(times.values()) - min(times.values()) <= 1


@settings(max_examples=150)
@given(cases())
def test_there_are_as_many_batches_as_different_persons_can_fill(case):
    """The oracle: count up while b batches can be filled, sum(min(chunks, b)) >= b * P, then until all are seen."""
    labels, persons, images, seed = case
    chunks = np.array([max(1, count // images) for count in Counter(labels.tolist()).values()])
    expected = 1
    while np.minimum(chunks, expected + 1).sum() >= (expected + 1) * persons:
        expected += 1
    while expected * persons < len(chunks):
        expected += 1
    assert len(PKSampler(labels, persons=persons, images=images, seed=seed)) == expected


@settings(max_examples=60)
@given(cases(), st.sampled_from([2, 3, 4]))
def test_ranks_one_after_the_other_are_the_batch_of_one_process(case, world):
    labels, _, images, seed = case
    persons = len(set(labels)) // world * world
    if persons == 0:
        return
    whole = batches(labels, persons=persons, images=images, seed=seed, epoch=1)
    shares = [
        batches(labels, persons=persons, images=images, seed=seed, epoch=1, rank=rank, world=world)
        for rank in range(world)
    ]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        assert np.concatenate(parts).tolist() == batch
        owners = [set(labels[part]) for part in parts]
        assert sum(map(len, owners)) == len(set.union(*owners))


def test_order_follows_from_seed_and_epoch_alone():
    labels = np.repeat(np.arange(10), 4)
    setting = {"persons": 4, "images": 2}
    sampler = PKSampler(labels, seed=3, **setting)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    sampler.set_epoch(0)
    assert list(sampler) == first != second
    assert batches(labels, seed=3, epoch=1, **setting) == second
    assert batches(labels, seed=4, **setting) != first


def test_an_even_set_shows_every_image_once_per_epoch():
    labels = np.repeat(np.arange(12), 8)
    drawn = np.concatenate(batches(labels, persons=4, images=4, seed=0))
    assert sorted(drawn.tolist()) == list(range(96))


def test_a_person_with_very_many_images_does_not_fill_batches_alone():
    """Chunks 50, 1, 1, 1 and P = 2: each batch takes one of the others, so three batches, the rich one in all."""
    labels = np.repeat([0, 1, 2, 3], [200, 4, 4, 4])
    drawn = batches(labels, persons=2, images=4, seed=0)
    assert [sorted(set(labels[batch]))[0] for batch in drawn] == [0, 0, 0]
    assert sorted(max(labels[batch]) for batch in drawn) == [1, 2, 3]


def test_companions_change_from_epoch_to_epoch():
    labels = np.repeat(np.arange(20), 4)
    pairs = set()
    for epoch in range(30):
        for batch in batches(labels, persons=4, images=4, seed=0, epoch=epoch):
            people = sorted(set(labels[batch].tolist()))
            pairs |= {(a, b) for a in people for b in people if a < b}
    assert len(pairs) > 180  # of 190; 30 epochs meet 30 x 30 at random


@settings(max_examples=150)
@given(cases(), st.integers(2, 6), st.integers(1, 5), st.randoms(use_true_random=False))
def test_batches_of_people_who_look_alike_visit_everybody_as_often_as_others_do(case, alike, width, random):
    """Whoever is said to look like whom: different persons, the same length, and the same visits in the epoch."""
    labels, persons, images, seed = case
    people = range(len(set(labels)))
    near = [random.sample([other for other in people if other != person], len(people) - 1)[:width] for person in people]
    setting = {"persons": persons, "images": images, "seed": seed}
    drawn = batches(labels, near=np.array(near), alike=alike, **setting)
    blocks = [labels[batch].reshape(persons, images) for batch in drawn]
    assert all((block == block[:, :1]).all() and len(set(block[:, 0])) == persons for block in blocks)
    visits = [
        Counter(np.concatenate([labels[batch] for batch in some]).tolist())
        for some in (drawn, batches(labels, **setting))
    ]
    assert visits[0] == visits[1]


def test_a_group_comes_together_and_the_groups_of_a_batch_by_chance():
    """Five families of four: each batch of eight is two of them, and in some epochs others."""
    near = np.array(
        [[other for other in range(20) if other != person and other // 4 == person // 4] for person in range(20)]
    )
    met = set()
    for epoch in range(12):
        for batch in batches(
            np.repeat(np.arange(20), 16), persons=8, images=4, alike=4, near=near, seed=0, epoch=epoch
        ):
            families = Counter(person // 4 for person in set((np.array(batch) // 16).tolist()))
            assert set(families.values()) == {4}
            met.add(tuple(sorted(families)))
    assert len(met) == 10


def test_nobody_is_grouped_before_it_is_said_who_looks_alike():
    labels = np.repeat(np.arange(20), 4)
    setting = {"persons": 4, "images": 2, "seed": 0}
    assert batches(labels, alike=4, **setting) == batches(labels, **setting)


def test_one_image_of_each_is_of_each_and_changes_with_the_epoch():
    labels = np.random.default_rng(0).permutation(np.repeat([3, 7, 9, 30], 25))
    sampler = PKSampler(labels, persons=2, images=2, seed=0)
    assert all(labels[sampler.one_of_each(epoch)].tolist() == [3, 7, 9, 30] for epoch in range(4))
    assert sampler.one_of_each(0).tolist() == sampler.one_of_each(0).tolist() != sampler.one_of_each(1).tolist()


def test_too_many_persons_names_both_numbers():
    with pytest.raises(DataError, match=r"takes 5 persons, but the training data has 3 identities"):
        PKSampler([0, 0, 1, 1, 2], persons=5, images=2, seed=0)


def test_no_training_image_at_all():
    with pytest.raises(DataError, match=r"has 0 identities"):
        PKSampler([], persons=2, images=2, seed=0)


def test_persons_that_processes_cannot_share_are_refused():
    with pytest.raises(DataError, match=r"3 persons cannot be shared evenly by 2 processes"):
        PKSampler([0, 0, 1, 1, 2], persons=3, images=2, seed=0, world=2)


def test_nobody_with_two_images_is_refused_unless_k_is_one():
    with pytest.raises(DataError, match=r"none of the 3 identities has two images"):
        PKSampler([0, 1, 2], persons=2, images=2, seed=0)
    assert len(PKSampler([0, 1, 2], persons=3, images=1, seed=0)) == 1
