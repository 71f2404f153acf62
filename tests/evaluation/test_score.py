"""Scores. Oracles: a double loop, lists worked by hand, and the results of other toolkits."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.evaluation.score import score
from passerby.types import Embeddings, Labels

GOLDEN = Path(__file__).parents[1] / "golden" / "ranking_small.npz"


def people(vectors, person_ids, camera_ids):
    count = len(person_ids)
    return Embeddings(
        np.asarray(vectors, dtype=np.float32).reshape(count, -1), np.array(person_ids), np.array(camera_ids)
    )


@st.composite
def embeddings(draw, largest, first_person=0):
    """Small integer vectors (exact distances, many ties), few identities (0 is a distractor) and cameras."""
    count = draw(st.integers(1, largest))
    numbers = draw(st.lists(st.integers(-2, 2), min_size=2 * count, max_size=2 * count))
    ids = [
        draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
        for low, high in ((first_person, 4), (0, 2))
    ]
    return people(numbers, *ids)


def naive_ranks(query, gallery, q):
    """Ranks of one query's matches by comparing every pair, in exact arithmetic; ties to the earlier item."""
    person, camera = query.person_ids[q], query.camera_ids[q]
    listed = []
    for g in range(len(gallery)):
        same = gallery.person_ids[g] == person
        if not (same and gallery.camera_ids[g] == camera):
            squared = sum((float(a) - float(b)) ** 2 for a, b in zip(query.vectors[q], gallery.vectors[g], strict=True))
            listed.append((squared, g, same))
    return [1 + sum(other < item for other in listed) for item in listed if item[2]]


@settings(max_examples=1000)
@given(
    query=embeddings(5, first_person=1),
    gallery=embeddings(16),
    rule=st.sampled_from(["step", "trapezoid"]),
    max_rank=st.integers(1, 20),
)
def test_metrics_equal_a_double_loop(query, gallery, rule, max_rank):
    lists = {q: sorted(ranks) for q in range(len(query)) if (ranks := naive_ranks(query, gallery, q))}
    if not lists:
        with pytest.raises(ValueError, match=f"none of {len(query)} quer.* has a match among {len(gallery)} gallery"):
            score(query, gallery, metric="euclidean", ap=rule, max_rank=max_rank)
        return
    precision = {}
    for q, ranks in lists.items():
        terms = [i / rank for i, rank in enumerate(ranks, start=1)]
        if rule == "trapezoid":
            before = [1.0 if rank == 1 else (i - 1) / (rank - 1) for i, rank in enumerate(ranks, start=1)]
            terms = [(a + b) / 2 for a, b in zip(terms, before, strict=True)]
        precision[q] = sum(terms) / len(terms)
    result = score(query, gallery, metric="euclidean", ap=rule, max_rank=max_rank)
    kept = min(max_rank, len(gallery))
    np.testing.assert_allclose(
        result.cmc, [np.mean([ranks[0] <= k for ranks in lists.values()]) for k in range(1, kept + 1)], rtol=1e-6
    )
    assert result.mAP == pytest.approx(np.mean(list(precision.values())), abs=1e-12)
    assert result.mINP == pytest.approx(np.mean([len(ranks) / ranks[-1] for ranks in lists.values()]), abs=1e-12)
    assert (result.queries, result.valid_queries, result.gallery) == (len(query), len(lists), len(gallery))
    assert (result.protocol, result.ap) == ("market", rule)
    for q in range(len(query)):
        assert result.first_match[q] == (lists[q][0] if q in lists else 0)
        assert result.average_precision[q] == pytest.approx(precision.get(q, np.nan), nan_ok=True)


@pytest.fixture
def golden():
    """Random inputs and other toolkits' results on them; see tests/golden/README.md."""
    return np.load(GOLDEN)


def golden_people(golden):
    return (
        Embeddings(golden[f"{side}_features"], golden[f"{side}_pids"], golden[f"{side}_camids"])
        for side in ("query", "gallery")
    )


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_market_metrics_equal_those_of_torchreid(golden, metric):
    result = score(*golden_people(golden), metric=metric)
    np.testing.assert_allclose(result.cmc, golden["market_cmc"], atol=1e-6)
    assert result.mAP == pytest.approx(float(golden["market_mAP"]), abs=1e-6)


def test_trapezoid_precision_equals_that_of_layumi(golden):
    result = score(*golden_people(golden), ap="trapezoid")
    np.testing.assert_allclose(result.average_precision, golden["trapezoid_ap_per_query"], atol=1e-6)
    assert result.mAP == pytest.approx(float(golden["trapezoid_mAP_over_valid_queries"]), abs=1e-6)
    over_all = result.mAP * result.valid_queries / result.queries
    assert over_all == pytest.approx(float(golden["trapezoid_mAP_over_all_queries"]), abs=1e-6)


def test_single_shot_equals_torchreid_within_sampling_error(golden):
    """The golden mean is over 30 samples, so its error is std / sqrt(30); the error over 3,000 draws is smaller.

    Tolerance: 4 such errors (the 40 ranks are correlated, not 40 independent chances), at least 0.001.
    """
    result = score(*golden_people(golden), protocol="single-gallery-shot", repeats=3000)
    tolerance = np.maximum(4 * golden["single_gallery_shot_cmc_std"] / np.sqrt(30), 1e-3)
    assert result.cmc.shape == golden["single_gallery_shot_cmc_mean"].shape
    assert (np.abs(result.cmc - golden["single_gallery_shot_cmc_mean"]) <= tolerance).all()
    assert result.mAP == pytest.approx(float(golden["market_mAP"]), abs=1e-6)


def test_multi_query_scores_the_mean_of_the_images():
    """Each query is nearer to identity 2; their mean is nearer to identity 1."""
    query = people([[1, 2], [1, -2]], [1, 1], [0, 0])
    gallery = people([[1, 0], [1, 2], [1, -2]], [1, 2, 2], [1, 1, 1])
    assert score(query, gallery).rank1 == 0
    assert score(query, gallery, protocol="multi-query").rank1 == 1
    single = people([[1, 2]], [1], [0])
    assert score(single, gallery, protocol="multi-query", multi_query=query).rank1 == 1


def test_intervals_include_their_metrics_and_are_1_for_perfect_results():
    generator = np.random.default_rng(0)
    people_vectors = np.eye(20, dtype=np.float32)
    ids = np.arange(20) + 1
    right = score(
        Embeddings(people_vectors, ids, np.zeros(20, int)),
        Embeddings(people_vectors, ids, np.ones(20, int)),
        bootstrap=200,
    )
    assert right.intervals == dict.fromkeys(("rank1", "rank5", "rank10", "mAP", "mINP"), (1.0, 1.0))
    noisy = people_vectors + generator.normal(0, 0.5, (20, 20)).astype(np.float32)
    pair = Embeddings(noisy, ids, np.zeros(20, int)), Embeddings(people_vectors, ids, np.ones(20, int))
    result, again = (score(*pair, bootstrap=500, seed=3) for _ in range(2))
    assert result.intervals == again.intervals
    figures = {
        "rank1": result.rank1,
        "rank5": result.rank(5),
        "rank10": result.rank(10),
        "mAP": result.mAP,
        "mINP": result.mINP,
    }
    for name, (low, high) in result.intervals.items():
        assert 0 <= low <= figures[name] <= high <= 1
        assert name == "rank10" or low < high
    assert score(*pair).intervals == {}


def test_single_shot_draws_do_not_change_with_the_bootstrap():
    pair = (people(np.random.default_rng(c).random((30, 2)), np.arange(30) % 6 + 1, [c] * 30) for c in (0, 1))
    query, gallery = pair
    plain, sure = (score(query, gallery, protocol="single-gallery-shot", bootstrap=b) for b in (0, 50))
    np.testing.assert_array_equal(plain.cmc, sure.cmc)


def test_memory_does_not_grow_with_queries_times_gallery():
    """3,000 x 16,000 float32 distances are 192 MB; one block and its tile are held at a time."""
    generator = np.random.default_rng(0)
    query, gallery = (
        Embeddings(
            generator.standard_normal((count, 8)).astype(np.float32),
            generator.integers(1, 400, count),
            generator.integers(0, 6, count),
        )
        for count in (3_000, 16_000)
    )
    tracemalloc.start()
    try:
        score(query, gallery, bootstrap=100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000 * 16_000 * 4 / 4


one = people([[1.0, 0.0]], [1], [0])
other = people([[1.0, 0.0]], [1], [1])


@pytest.mark.parametrize(
    ("query", "gallery", "options", "message"),
    [
        (one, one, {}, "query: none of 1 query has a match among 1 gallery item"),
        (
            Embeddings(np.empty((0, 2)), np.empty(0, int), np.empty(0, int)),
            other,
            {},
            r"query: got vectors of shape \(0",
        ),
        (one, people([[1.0]], [1], [1]), {}, "query: vectors are 2 wide, gallery's are 1"),
        (people([[0.0, 0.0]], [1], [0]), other, {}, "query: 1 vector of zeros only"),
        (one, other, {"protocol": "markt"}, "protocol: got 'markt', expected one of market, single-gallery-shot"),
        (one, other, {"ap": "11-point"}, "ap: got '11-point', expected one of step, trapezoid"),
        (one, other, {"metric": "dot"}, "metric: got 'dot'"),
        (one, other, {"max_rank": 0}, "max_rank: got 0, expected at least 1"),
        (one, other, {"bootstrap": -1}, "bootstrap: got -1, expected at least 0"),
        (one, other, {"repeats": 0}, "repeats: got 0, expected at least 1"),
        (one, other, {"multi_query": other}, "multi_query: given to protocol 'market', which does not use it"),
    ],
)
def test_invalid_arguments_are_rejected(query, gallery, options, message):
    with pytest.raises(ValueError, match=message):
        score(query, gallery, **options)


def test_queries_with_identity_0_are_rejected():
    """0 marks a distractor; without the error, queries with identity 0 would silently be not valid."""
    query = people([[1, 0], [0, 1]], [0, 1], [0, 0])
    gallery = people([[1, 0], [0, 1]], [0, 1], [1, 1])
    with pytest.raises(ValueError, match=r"query\.person_ids: 1 of 2 are 0, which marks distractors.*from 1"):
        score(query, gallery)


@settings(max_examples=1000)
@given(query=embeddings(5, first_person=1), gallery=embeddings(16))
def test_given_distances_give_the_scores_of_their_vectors(query, gallery):
    """Oracle: the scores from the vectors; the matrix is not changed."""
    matrix = np.linalg.norm(query.vectors[:, None].astype(float) - gallery.vectors[None].astype(float), axis=2)
    labels = [Labels(each.person_ids, each.camera_ids) for each in (query, gallery)]
    for protocol in ("market", "single-gallery-shot"):
        try:
            expected = score(query, gallery, metric="euclidean", protocol=protocol)
        except ValueError:
            continue
        for given_ in (matrix, iter([(0, matrix.copy())])):
            result = score(*labels, distances=given_, protocol=protocol)
            np.testing.assert_array_equal(result.cmc, expected.cmc)
            np.testing.assert_array_equal(result.average_precision, expected.average_precision)
    assert np.isfinite(matrix).all()


def test_a_match_at_infinity_is_excluded():
    query, gallery = Labels([1, 2], [0, 0]), Labels([1, 1, 2, 3], [1, 2, 1, 1])
    matrix = np.array([[np.inf, 2, 3, 1], [1, 1, np.inf, 1]], dtype=np.float32)
    result = score(query, gallery, distances=matrix)
    assert (result.valid_queries, result.first_match.tolist(), result.mAP) == (1, [2, 0], 0.5)


def test_distances_of_multi_query_are_those_of_the_averaged_queries():
    query = people([[1, 2], [1, -2]], [1, 1], [0, 0])
    gallery = people([[1, 0], [1, 2], [1, -2]], [1, 2, 2], [1, 1, 1])
    matrix = np.array([[0, 1, 1], [0, 1, 1]], dtype=np.float32)
    result = score(query, gallery, distances=matrix, protocol="multi-query")
    assert (result.rank1, result.protocol) == (1, "multi-query")
    with pytest.raises(ValueError, match="multi_query: given to distances, which does not use it"):
        score(query, gallery, distances=matrix, protocol="multi-query", multi_query=query)


def test_the_rank_in_a_gallery_of_a_million_is_exact():
    """By hand: the 700,001 items before the match and the nearer items after it rank ahead."""
    people_, cameras = np.full(1_000_000, 2), np.ones(1_000_000, dtype=int)
    people_[700_001] = 1
    distances = np.ones((1, 1_000_000), dtype=np.float32)
    distances[0, 900_000:] = 0.5
    result = score(Labels([1], [0]), Labels(people_, cameras), distances=distances)
    assert result.first_match.tolist() == [700_001 + 100_000 + 1]
