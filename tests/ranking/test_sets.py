"""Sets of images. Oracle: loops over their pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.evaluation.score import score
from passerby.ranking.sets import compare_sets, group_images, label_sets, pool
from passerby.types import Embeddings, Labels


def images(vectors, person_ids, camera_ids):
    return Embeddings(np.asarray(vectors, dtype=np.float32), np.asarray(person_ids), np.asarray(camera_ids))


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.fixture
def pair():
    generator = np.random.default_rng(0)
    parts = []
    for count in (23, 57):
        people, cameras = generator.integers(0, 5, count), generator.integers(0, 2, count)
        parts.append(images(generator.standard_normal((count, 6)), people, cameras))
    return parts


def test_each_identity_in_each_camera_is_a_set_and_each_distractor_its_own():
    labels = Labels(np.array([3, 0, 3, 1, 0, 3]), np.array([0, 0, 1, 0, 0, 0]))
    assert group_images(labels).tolist() == [0, 1, 2, 3, 4, 0]


@pytest.mark.parametrize("block", [None, 4])
@pytest.mark.parametrize("method", ["best", "average", "hausdorff"])
def test_set_distances_equal_loops_over_pairs(pair, method, block, monkeypatch):
    """Oracle: every pair of every two sets, in float64; blocks of 4 rows split sets."""
    if block:
        from passerby.ranking import distance

        monkeypatch.setattr(distance, "_ROWS", block)
        monkeypatch.setattr(distance, "_BLOCK", 1)
    query, gallery = pair
    query_sets, gallery_sets = group_images(query), group_images(gallery)
    blocks = list(compare_sets(query, gallery, query_sets=query_sets, gallery_sets=gallery_sets, method=method))
    assert [first for first, _ in blocks] == list(range(query_sets.max() + 1))
    result = np.concatenate([block for _, block in blocks])
    assert result.dtype == np.float32
    between = 1 - unit(query.vectors.astype(float)) @ unit(gallery.vectors.astype(float)).T
    for s in range(query_sets.max() + 1):
        for t in range(gallery_sets.max() + 1):
            pairs = between[query_sets == s][:, gallery_sets == t]
            expected = {
                "best": pairs.min(),
                "average": pairs.mean(),
                "hausdorff": max(pairs.min(axis=1).mean(), pairs.min(axis=0).mean()),
            }[method]
            assert result[s, t] == pytest.approx(expected, abs=1e-6)


@given(seed=st.integers(0, 2**16), method=st.sampled_from(["mean", "attention"]))
def test_pooled_vectors_equal_a_loop_over_sets(seed, method):
    """Oracle: each set alone, in float64; quality by leave-one-out means."""
    generator = np.random.default_rng(seed)
    count = int(generator.integers(1, 20))
    some = images(
        generator.standard_normal((count, 4)), generator.integers(0, 4, count), generator.integers(0, 2, count)
    )
    sets = group_images(some)
    result = pool(some, sets, method=method, temperature=0.5)
    for s in range(sets.max() + 1):
        members = unit(some.vectors[sets == s].astype(float))
        weights = np.ones(len(members))
        if method == "attention" and len(members) > 1:
            quality = [unit(np.delete(members, i, axis=0).sum(axis=0)) @ one for i, one in enumerate(members)]
            weights = np.exp(np.array(quality) / 0.5)
        np.testing.assert_allclose(result.vectors[s], unit(weights @ members), atol=1e-6)
        assert (result.person_ids[s], result.camera_ids[s]) == (
            some.person_ids[sets == s][0],
            some.camera_ids[sets == s][0],
        )


def test_attention_gives_a_wrong_crop_little_weight():
    """Three vectors are similar, the fourth is not: attention is closer to the three than the mean is."""
    some = images([[1, 0.1, 0], [1, 0, 0.1], [1, 0.1, 0.1], [-0.2, 1, 1]], [1] * 4, [0] * 4)
    sets = np.zeros(4, dtype=int)
    mean, attended = (pool(some, sets, method=method).vectors[0] for method in ("mean", "attention"))
    assert attended[0] > 0.98 > mean[0]


def test_given_quality_sets_the_weights():
    some = images([[1, 0], [0, 1]], [1, 1], [0, 0])
    result = pool(some, np.zeros(2, dtype=int), method="attention", quality=np.array([0.0, 5.0]))
    np.testing.assert_allclose(result.vectors, [[0, 1]], atol=1e-6)


def test_sets_are_scored_like_images():
    """One of the query's two images is nearer to person 2; the best pair and the mean both find person 1."""
    query = images([[1, 0], [0.4, 1]], [1, 1], [0, 0])
    gallery = images([[1, 0.05], [0.8, 0.8], [0.5, 1], [-1, 0]], [1, 1, 2, 2], [1, 1, 1, 1])
    sets = [group_images(item) for item in (query, gallery)]
    assert score(query, gallery).rank1 == 0.5
    labels = [label_sets(item, some) for item, some in zip((query, gallery), sets, strict=True)]
    for method in ("average", "hausdorff"):
        blocks = compare_sets(query, gallery, query_sets=sets[0], gallery_sets=sets[1], method=method)
        assert score(*labels, distances=blocks).rank1 == 1
    assert score(pool(query, sets[0]), pool(gallery, sets[1])).rank1 == 1


two = images([[1, 0], [0, 1]], [1, 1], [0, 0])
zeros = np.zeros(2, dtype=int)


@pytest.mark.parametrize(
    ("some", "sets", "options", "message"),
    [
        (two, zeros, {"method": "max"}, "method: got 'max', expected one of mean, attention"),
        (two, zeros[:1], {}, r"sets: got shape \(1,\), expected \(2,\) integers"),
        (two, zeros * 1.0, {}, r"sets: got shape \(2,\), expected \(2,\) integers"),
        (two, zeros + 1, {}, "sets: got 1 number from 1 to 1, expected 0 to 0"),
        (images([[1, 0], [0, 1]], [1, 2], [0, 0]), zeros, {}, "sets: set 0 mixes people"),
        (images([[1, 0], [0, 1]], [1, 1], [0, 1]), zeros, {}, "sets: set 0 mixes cameras"),
        (images([[1, 0], [0, 0]], [1, 1], [0, 0]), zeros, {}, "images: 1 vector of zeros only, the first is row 1"),
        (images([[1, 0], [-1, 0]], [1, 1], [0, 0]), zeros, {}, "sets: 1 vector of zeros only, the first is row 0"),
        (two, zeros, {"quality": np.ones(2)}, "quality: given to method='mean'"),
        (two, zeros, {"method": "attention", "quality": np.ones(3)}, r"quality: got shape \(3,\), expected \(2,\)"),
        (two, zeros, {"method": "attention", "temperature": 0}, "temperature: got 0, expected a finite number above 0"),
    ],
)
def test_invalid_sets_are_rejected(some, sets, options, message):
    with pytest.raises(ValueError, match=message):
        pool(some, sets, **options)


def test_set_distances_reject_invalid_arguments_at_the_call():
    with pytest.raises(ValueError, match="method: got 'worst', expected one of best, average, hausdorff"):
        compare_sets(two, two, query_sets=zeros, gallery_sets=zeros, method="worst")
    with pytest.raises(ValueError, match="sets: got 1 number"):
        compare_sets(two, two, query_sets=zeros, gallery_sets=zeros + 3)
