"""From embeddings to lists: each method is the library's function of that name. Oracle: calling that function."""

from pathlib import Path

import numpy as np
import pytest

from conftest import logged
from passerby.errors import DataError
from passerby.openset.calibration import Calibration, FittedOn
from passerby.ranking.blocks import iter_distances
from passerby.ranking.expand import expand_queries
from passerby.ranking.fuse import fuse
from passerby.ranking.rank import rank
from passerby.ranking.rerank import rerank
from passerby.ranking.sets import compare_sets, group_images, pool
from passerby.runs.ranking_method import RankingMethod, number_tracks, rank_with
from passerby.types import Embeddings, Sample


def matrix(blocks):
    return np.concatenate([block.copy() for _, block in blocks])


@pytest.fixture
def pairs():
    """Two models' vectors of the same 12 queries and 40 gallery images."""
    generator = np.random.default_rng(0)
    ids = [(generator.integers(1, 5, count), generator.integers(0, 2, count)) for count in (12, 40)]
    pairs = []
    for _ in range(2):
        sides = []
        for people, cameras in ids:
            vectors = generator.standard_normal((len(people), 8))
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            sides.append(Embeddings(vectors.astype(np.float32), people, cameras))
        pairs.append(tuple(sides))
    return pairs


def test_default_method_is_cosine_distance(pairs):
    query, gallery = pairs[0]
    lists = rank_with(RankingMethod(), pairs[:1])
    np.testing.assert_array_equal(matrix(lists.blocks), matrix(iter_distances(query, gallery)))
    assert lists.query_images.tolist() == list(range(12))
    assert RankingMethod().title == ""


def test_expansion_precedes_re_ranking(pairs):
    query, gallery = pairs[0]
    method = RankingMethod(rerank="k-reciprocal", expand="alpha", k1=6, k2=3)
    expected = rerank(expand_queries(query, gallery, alpha=3.0), gallery, k1=6, k2=3)
    np.testing.assert_array_equal(matrix(rank_with(method, pairs[:1]).blocks), expected)
    assert method.title == "query expansion (alpha), re-ranked (k-reciprocal, 6, 3, 0.3)"


@pytest.mark.parametrize("how", ["reciprocal", "average", "borda"])
def test_models_are_fused_after_their_own_re_ranking(pairs, how):
    method = RankingMethod(rerank="k-reciprocal", fuse_by=how, models=("b",))
    expected = fuse([rerank(*pair) for pair in pairs], method=how)
    np.testing.assert_allclose(matrix(rank_with(method, pairs).blocks), expected, rtol=1e-6)
    words = "average of standardized distances" if how == "average" else how
    assert method.title == f"fused with b ({words}), re-ranked (k-reciprocal, 20, 6, 0.3)"


def test_calibrated_models_are_averaged_by_probability(pairs):
    seen = FittedOn("here", 2, 4, 2, 2, False)
    known = [Calibration("logistic", "cosine", [0.0, end], [3.0, -3.0], seen) for end in (0.5, 2.0)]
    expected = fuse(
        [matrix(iter_distances(*pair)) for pair in pairs],
        method="average",
        calibrations=[calibration.probability for calibration in known],
    )
    method = RankingMethod(fuse_by="average", models=("b",), calibrated=True)
    assert method.title == "fused with b (average of probabilities)"
    np.testing.assert_allclose(matrix(rank_with(method, pairs, known).blocks), expected, rtol=1e-6)
    plain = matrix(rank_with(RankingMethod(fuse_by="average", models=("b",)), pairs).blocks)
    np.testing.assert_allclose(
        plain, fuse([matrix(iter_distances(*pair)) for pair in pairs], method="average"), rtol=1e-5
    )


@pytest.mark.parametrize("how", ["mean", "attention", "best", "average", "hausdorff"])
def test_sets_are_one_row_each_with_an_example_image(pairs, how):
    query, gallery = pairs[0]
    sets = [group_images(side) for side in (query, gallery)]
    lists = rank_with(RankingMethod(sets=how), pairs[:1])
    distances = matrix(lists.blocks)
    assert distances.shape == tuple(numbers.max() + 1 for numbers in sets) == (len(lists.query), len(lists.gallery))
    if how in ("mean", "attention"):
        expected = matrix(iter_distances(pool(query, sets[0], method=how), pool(gallery, sets[1], method=how)))
    else:
        expected = matrix(compare_sets(query, gallery, query_sets=sets[0], gallery_sets=sets[1], method=how))
    np.testing.assert_array_equal(distances, expected)
    np.testing.assert_array_equal(gallery.person_ids[lists.gallery_images], lists.gallery.person_ids)
    again = rank_with(RankingMethod(sets=how), pairs[:1])
    assert rank(again.query, again.gallery, distances=again.blocks, top=3).indices.shape == (len(lists.query), 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rerank": "k"}, "rerank: got 'k', expected one of k-reciprocal"),
        ({"expand": "beta"}, "expand: got 'beta', expected one of average, alpha"),
        ({"sets": "max"}, "sets: got 'max', expected one of mean, attention, best, average, hausdorff"),
        ({"fuse_by": "sum"}, "fuse_by: got 'sum', expected one of reciprocal, average, borda"),
        (
            {"sets": "best", "rerank": "k-reciprocal"},
            "sets: 'best' gives distances and no vectors.*use mean or attention",
        ),
        ({"calibrated": True}, "calibrated: a calibration applies to cosine distances between two images"),
        ({"calibrated": True, "fuse_by": "average", "expand": "alpha"}, "leave it out with re-ranking, expansion"),
    ],
)
def test_incompatible_options_raise(options, message):
    with pytest.raises(ValueError, match=message):
        RankingMethod(**options)


def test_few_images_have_fewer_neighbors_of_the_reranking():
    method = RankingMethod(rerank="k-reciprocal")
    with logged() as lines:
        assert method.limit(20) is method
        assert RankingMethod().limit(3) == RankingMethod()
        assert lines == []
        assert method.limit(4).title == "re-ranked (k-reciprocal, 4, 5, 0.3)"
    assert lines == [
        "re-ranking: the gallery has 4 items; k1 is 4 in place of 20, and k2 is 5. Choose them with k1 and k2"
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k1": 0}, "k1: got 0, expected 1 or more"),
        ({"k1": 5, "k2": 7}, r"k2: got 7, expected 1 to k1 \+ 1 = 6"),
        ({"lambda_": 7}, "lambda_: got 7, expected 0 to 1"),
    ],
)
def test_parameters_out_of_range_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        RankingMethod(**values)


def test_tracks_are_one_row_each_with_the_mean_of_their_images(pairs):
    """Each image of an identity in a camera is alternately of one of two tracks. Oracle: pool by those numbers."""
    query, gallery = pairs[0]
    tracks = []
    for side in (query, gallery):
        half = np.arange(len(side)) % 2
        tracks.append(np.unique(2 * group_images(side) + half, return_inverse=True)[1])
    method = RankingMethod(fuse_by="average").of_tracks()
    lists = rank_with(method, pairs[:1], tracks=(tracks[0], tracks[1]))
    expected = iter_distances(pool(query, tracks[0]), pool(gallery, tracks[1]))
    np.testing.assert_array_equal(matrix(lists.blocks), matrix(expected))
    assert method.title == "sets of images (mean)"
    assert RankingMethod(sets="best").of_tracks().sets == "best"


def test_tracks_are_numbered_in_order_of_first_appearance():
    samples = [Sample(Path("a"), 1, 0, track=track) for track in (7, 3, 7, 5)]
    assert number_tracks(samples).tolist() == [0, 1, 0, 2]
    assert number_tracks([*samples, Sample(Path("b"), 1, 0)]) is None
    assert number_tracks([]) is None
