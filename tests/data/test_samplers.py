"""P x K batches. Oracle: properties checked by counting."""

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


def batches(labels, *, epoch=0, neighbors=None, **settings):
    sampler = PKSampler(labels, **settings)
    sampler.set_epoch(epoch)
    sampler.set_neighbors(neighbors)
    return list(sampler)


@settings(max_examples=150)
@given(cases())
def test_every_batch_has_p_different_identities_with_k_images_each(case):
    labels, persons, images, seed = case
    for batch in batches(labels, persons=persons, images=images, seed=seed):
        blocks = labels[batch].reshape(persons, images)
        assert (blocks == blocks[:, :1]).all()
        assert len(set(blocks[:, 0])) == persons


@settings(max_examples=150)
@given(cases(), st.integers(0, 5))
def test_every_identity_is_drawn_and_the_number_of_batches_is_the_length(case, epoch):
    labels, persons, images, seed = case
    sampler = PKSampler(labels, persons=persons, images=images, seed=seed)
    sampler.set_epoch(epoch)
    drawn = list(sampler)
    assert len(drawn) == len(sampler)
    assert set(labels[np.concatenate(drawn)]) == set(labels)


@settings(max_examples=150)
@given(cases())
def test_images_repeat_within_a_batch_only_if_an_identity_has_fewer_than_k(case):
    """Repeats are even: the counts of two images differ by at most one."""
    labels, persons, images, seed = case
    sizes = Counter(labels.tolist())
    for batch in batches(labels, persons=persons, images=images, seed=seed):
        for block in np.reshape(batch, (persons, images)):
            times = Counter(block.tolist())
            assert len(times) == min(images, sizes[labels[block[0]]])
            assert max(times.values()) - min(times.values()) <= 1


@settings(max_examples=150)
@given(cases())
def test_the_number_of_batches_is_what_different_identities_can_fill(case):
    """Oracle: count up while b batches can be filled, sum(min(chunks, b)) >= b * P, then until every identity fits."""
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
def test_the_batches_of_the_ranks_concatenate_to_the_batch_of_one_process(case, world):
    labels, _, images, seed = case
    persons = len(set(labels)) // world * world
    if persons == 0:
        return
    whole = batches(labels, persons=persons, images=images, seed=seed, epoch=1)
    by_rank = [
        batches(labels, persons=persons, images=images, seed=seed, epoch=1, rank=rank, world=world)
        for rank in range(world)
    ]
    for number, batch in enumerate(whole):
        parts = [rank_batches[number] for rank_batches in by_rank]
        assert np.concatenate(parts).tolist() == batch
        identities = [set(labels[part]) for part in parts]
        assert sum(map(len, identities)) == len(set.union(*identities))


def test_the_order_depends_on_seed_and_epoch_alone():
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


def test_an_even_set_draws_every_image_once_per_epoch():
    labels = np.repeat(np.arange(12), 8)
    drawn = np.concatenate(batches(labels, persons=4, images=4, seed=0))
    assert sorted(drawn.tolist()) == list(range(96))


def test_an_identity_with_many_images_does_not_fill_batches_alone():
    """Chunks 50, 1, 1, 1 and P = 2: each batch has one small identity, so three batches, all with 0."""
    labels = np.repeat([0, 1, 2, 3], [200, 4, 4, 4])
    drawn = batches(labels, persons=2, images=4, seed=0)
    assert [sorted(set(labels[batch]))[0] for batch in drawn] == [0, 0, 0]
    assert sorted(max(labels[batch]) for batch in drawn) == [1, 2, 3]


def test_the_identities_of_a_batch_change_from_epoch_to_epoch():
    labels = np.repeat(np.arange(20), 4)
    pairs = set()
    for epoch in range(30):
        for batch in batches(labels, persons=4, images=4, seed=0, epoch=epoch):
            identities = sorted(set(labels[batch].tolist()))
            pairs |= {(a, b) for a in identities for b in identities if a < b}
    assert len(pairs) > 180  # of 190; 30 epochs meet 30 x 30 at random


@settings(max_examples=150)
@given(cases(), st.integers(2, 6), st.integers(1, 5), st.randoms(use_true_random=False))
def test_batches_of_neighbors_draw_each_identity_as_often_as_random_batches(case, alike, width, random):
    """For any neighbors: different identities in a batch, the same length, the same draws in the epoch."""
    labels, persons, images, seed = case
    identities = range(len(set(labels)))
    neighbors = [
        random.sample([other for other in identities if other != identity], len(identities) - 1)[:width]
        for identity in identities
    ]
    setting = {"persons": persons, "images": images, "seed": seed}
    drawn = batches(labels, neighbors=np.array(neighbors), alike=alike, **setting)
    blocks = [labels[batch].reshape(persons, images) for batch in drawn]
    assert all((block == block[:, :1]).all() and len(set(block[:, 0])) == persons for block in blocks)
    visits = [
        Counter(np.concatenate([labels[batch] for batch in epoch]).tolist())
        for epoch in (drawn, batches(labels, **setting))
    ]
    assert visits[0] == visits[1]


def test_a_group_is_drawn_together_and_the_groups_of_a_batch_at_random():
    """Five groups of four neighbors: each batch of eight is two of them; all ten pairs of groups occur."""
    neighbors = np.array(
        [[other for other in range(20) if other != person and other // 4 == person // 4] for person in range(20)]
    )
    met = set()
    for epoch in range(12):
        for batch in batches(
            np.repeat(np.arange(20), 16), persons=8, images=4, alike=4, neighbors=neighbors, seed=0, epoch=epoch
        ):
            groups = Counter(person // 4 for person in set((np.array(batch) // 16).tolist()))
            assert set(groups.values()) == {4}
            met.add(tuple(sorted(groups)))
    assert len(met) == 10


def test_without_neighbors_all_identities_are_drawn_at_random():
    labels = np.repeat(np.arange(20), 4)
    setting = {"persons": 4, "images": 2, "seed": 0}
    assert batches(labels, alike=4, **setting) == batches(labels, **setting)


def test_one_image_per_identity_changes_with_the_epoch():
    labels = np.random.default_rng(0).permutation(np.repeat([3, 7, 9, 30], 25))
    sampler = PKSampler(labels, persons=2, images=2, seed=0)
    assert all(labels[sampler.draw_one_per_identity(epoch)].tolist() == [3, 7, 9, 30] for epoch in range(4))
    first, again, other = (sampler.draw_one_per_identity(epoch).tolist() for epoch in (0, 0, 1))
    assert first == again != other


def test_more_persons_than_identities_are_refused():
    with pytest.raises(DataError, match=r"takes 5 people, but the training data has 3 identities"):
        PKSampler([0, 0, 1, 1, 2], persons=5, images=2, seed=0)


def test_an_empty_training_set_is_refused():
    with pytest.raises(DataError, match=r"has 0 identities"):
        PKSampler([], persons=2, images=2, seed=0)


def test_persons_that_processes_cannot_share_are_refused():
    with pytest.raises(DataError, match=r"3 people cannot be shared evenly by 2 processes"):
        PKSampler([0, 0, 1, 1, 2], persons=3, images=2, seed=0, world=2)


def test_identities_with_one_image_are_refused_unless_k_is_one():
    with pytest.raises(DataError, match=r"none of the 3 identities has two images"):
        PKSampler([0, 1, 2], persons=2, images=2, seed=0)
    assert len(PKSampler([0, 1, 2], persons=3, images=1, seed=0)) == 1
