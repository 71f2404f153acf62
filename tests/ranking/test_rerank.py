"""Re-ranking. Oracles: a dense implementation with loops, and the results of other toolkits."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.evaluation.score import score
from passerby.ranking.rerank import rerank, rerank_blocks, rerank_top
from passerby.types import Embeddings

GOLDEN = Path(__file__).parents[1] / "golden" / "ranking_small.npz"


def people(vectors, person_ids=None, camera_ids=None):
    ones = np.ones(len(vectors), dtype=int)
    return Embeddings(
        np.asarray(vectors), ones if person_ids is None else person_ids, ones if camera_ids is None else camera_ids
    )


def dense(query, gallery, *, k1, k2, lambda_, power):
    """Zhong et al. 2017 with N x N arrays and loops, in float64."""
    vectors = np.concatenate([query, gallery]).astype(np.float64)
    original = ((vectors[:, None] - vectors[None]) ** 2).sum(axis=2)
    order = np.argsort(original, axis=1, kind="stable")
    original = (original / np.maximum(original.max(axis=1, keepdims=True), 1e-300)) ** power

    def mutual(i, k):
        return {j for j in order[i, : k + 1] if i in order[j, : k + 1]}

    weights = np.zeros_like(original)
    for i in range(len(vectors)):
        own = mutual(i, k1)
        members = set(own)
        for j in own:
            near = mutual(j, round(k1 / 2))
            if len(near & own) > 2 / 3 * len(near):
                members |= near
        members = sorted(members or {i})  # more than k1 copies, none of them i itself
        weights[i, members] = np.exp(-original[i, members])
        weights[i] /= weights[i].sum()
    if k2 > 1:
        weights = np.array([weights[order[i, :k2]].mean(axis=0) for i in range(len(vectors))])
    shared = np.minimum(weights[: len(query), None], weights[None, len(query) :]).sum(axis=2)
    jaccard = 1 - shared / (2 - shared)
    return jaccard * (1 - lambda_) + original[: len(query), len(query) :] * lambda_


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**16),
    sizes=st.tuples(st.integers(1, 6), st.integers(1, 25)),
    k1=st.integers(1, 8),
    k2=st.integers(1, 4),
    lambda_=st.sampled_from([0.0, 0.3, 1.0]),
    variant=st.sampled_from(["zhong", "squared-twice"]),
    ties=st.booleans(),
)
def test_every_distance_equals_a_dense_loop(seed, sizes, k1, k2, lambda_, variant, ties):
    """Oracle: `dense`. With ties, vectors lie on a small grid, many of them on the same point."""
    generator = np.random.default_rng(seed)
    draw = (lambda shape: generator.integers(-1, 2, shape)) if ties else generator.standard_normal
    query, gallery = (draw((count, 3)).astype(np.float64) for count in sizes)
    k1 = min(k1, len(gallery))
    k2 = min(k2, k1 + 1)
    options = {"k1": k1, "k2": k2, "lambda_": lambda_, "variant": variant}
    result = rerank(people(query), people(gallery), **options, metric="euclidean")
    power = 1 if variant == "zhong" else 2
    expected = dense(query, gallery, k1=k1, k2=k2, lambda_=lambda_, power=power)
    np.testing.assert_allclose(result, expected, atol=2e-6)
    assert result.shape == sizes


@pytest.fixture
def golden():
    """Random inputs and other toolkits' results on them; see tests/golden/README.md."""
    return np.load(GOLDEN)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rerank_k20_k6_l03", {}),
        ("rerank_k8_k3_l05", {"k1": 8, "k2": 3, "lambda_": 0.5}),
        ("rerank_layumi_k20_k6_l03", {"variant": "squared-twice"}),
    ],
)
def test_distances_equal_those_of_torchreid_and_layumi(golden, name, options):
    sides = [people(golden[f"{side}_features"]) for side in ("query", "gallery")]
    np.testing.assert_allclose(rerank(*sides, **options), golden[name], atol=1e-5)


def test_re_ranked_metrics_equal_those_of_torchreid(golden):
    sides = [
        Embeddings(golden[f"{side}_features"], golden[f"{side}_pids"], golden[f"{side}_camids"])
        for side in ("query", "gallery")
    ]
    result = score(*sides, distances=rerank_blocks(*sides))
    np.testing.assert_allclose(result.cmc, golden["rerank_market_cmc"], atol=1e-6)
    assert result.mAP == pytest.approx(float(golden["rerank_market_mAP"]), abs=1e-5)


def clustered(count, identities, generator):
    """Vectors scattered around one center per identity."""
    centers = generator.standard_normal((identities, 16))
    ids = generator.integers(0, identities, count)
    vectors = centers[ids] + 0.6 * generator.standard_normal((count, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), ids + 1


def test_labels_have_no_effect_and_lists_agree_with_the_matrix():
    generator = np.random.default_rng(0)
    vectors, ids = clustered(300, 30, generator)
    cameras = np.arange(300) % 3
    sides = [people(vectors[part], ids[part], cameras[part]) for part in (slice(40), slice(40, None))]
    matrix = rerank(*sides)
    shuffled = [people(side.vectors, generator.permutation(side.person_ids)) for side in sides]
    np.testing.assert_array_equal(rerank(*shuffled), matrix)
    top = rerank_top(*sides, top=5, k1=20)
    for q in range(40):
        own = (sides[1].person_ids == ids[q]) & (sides[1].camera_ids == cameras[q])
        order = [g for g in np.argsort(matrix[q], kind="stable") if not own[g]]
        assert top.indices[q].tolist() == order[:5]


def test_lengths_have_an_effect_under_euclidean_only():
    generator = np.random.default_rng(2)
    sides = [people(generator.standard_normal((count, 6))) for count in (5, 40)]
    longer = [people(side.vectors * generator.uniform(1, 9, (len(side), 1))) for side in sides]
    np.testing.assert_allclose(rerank(*longer), rerank(*sides), atol=1e-5)
    assert abs(rerank(*longer, metric="euclidean") - rerank(*sides, metric="euclidean")).max() > 0.1


def test_re_ranking_improves_clustered_identities():
    """On noisy clusters, mAP is higher than with plain distances."""
    vectors, ids = clustered(600, 60, np.random.default_rng(1))
    cameras = np.arange(600) % 2
    sides = [Embeddings(vectors[cameras == c], ids[cameras == c], cameras[cameras == c]) for c in (0, 1)]
    assert score(*sides, distances=rerank_blocks(*sides)).mAP > score(*sides).mAP + 0.02


def test_memory_is_below_an_array_of_all_pairs():
    """20,100 x 20,100 float32 would be 1.6 GB; lists of 29 candidates and sparse rows are a few tens of MB."""
    generator = np.random.default_rng(0)
    sides = [people(generator.standard_normal((count, 8)).astype(np.float32)) for count in (100, 20_000)]
    for _ in rerank_blocks(people(sides[0].vectors[:5]), people(sides[1].vectors[:50])):
        pass  # compiled before it is measured
    tracemalloc.start()
    try:
        for _ in rerank_blocks(*sides):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_100 * 20_100 * 4 / 8


few = people(np.eye(3, dtype=np.float32))


@pytest.mark.parametrize(
    ("query", "gallery", "options", "message"),
    [
        (few, few, {"k1": 4}, "k1: got 4, expected a whole number from 1 to 3, the size of the gallery"),
        (few, few, {}, "k1: got 20, expected a whole number from 1 to 3"),
        (few, few, {"k1": 2.5}, "k1: got 2.5, expected a whole number"),
        (few, few, {"k1": True}, "k1: got True, expected a whole number"),
        (few, few, {"k1": 0}, "k1: got 0"),
        (few, few, {"k1": 2, "k2": 4}, "k2: got 4, expected a whole number from 1 to 3, k1 . 1"),
        (few, few, {"k1": 2, "k2": 0}, "k2: got 0"),
        (few, few, {"k1": 2, "k2": 1, "lambda_": 1.5}, "lambda_: got 1.5, expected 0 to 1"),
        (few, few, {"variant": "cubed"}, "variant: got 'cubed', expected one of zhong, squared-twice"),
        (few, people(np.zeros((3, 3), np.float32)), {"k1": 2, "k2": 1}, "gallery: 3 vectors of zeros only"),
        (few, people(np.eye(4, dtype=np.float32)), {"k1": 2, "k2": 1}, "query: vectors are 3 wide, gallery's are 4"),
        (few, people(np.empty((0, 3), np.float32)), {"k1": 2, "k2": 1}, r"gallery: got vectors of shape \(0, 3\)"),
    ],
)
def test_invalid_options_are_rejected_at_the_call(query, gallery, options, message):
    with pytest.raises(ValueError, match=message):
        rerank_blocks(query, gallery, **options)
