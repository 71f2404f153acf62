"""Scores: JSON and text. Oracle: the scores that were written."""

import json

import numpy as np
import pytest

from passerby.evaluation.score import score
from passerby.evaluation.summary import Scores
from passerby.types import Embeddings


@pytest.fixture
def scores():
    generator = np.random.default_rng(0)
    query = Embeddings(generator.standard_normal((12, 3)), np.arange(12) % 5 + 1, np.zeros(12, dtype=int))
    gallery = Embeddings(generator.standard_normal((30, 3)), np.arange(30) % 4 + 1, np.ones(30, dtype=int))
    return score(query, gallery, bootstrap=50)


def test_reading_returns_what_was_written(scores):
    back = Scores.from_dict(json.loads(json.dumps(scores.to_dict(), allow_nan=False)))
    assert np.isnan(scores.average_precision).any()
    for name, value in vars(scores).items():
        np.testing.assert_array_equal(getattr(back, name), value)


def test_metrics_are_written_with_protocol_and_counts(scores):
    tree = scores.to_dict(per_query=False)
    assert tree["rank1"] == scores.rank1
    assert set(tree) >= {"mAP", "mINP", "valid_queries", "queries", "gallery", "protocol", "ap", "intervals", "cmc"}
    assert not {"average_precision", "first_match"} & set(tree)
    assert len(Scores.from_dict(tree).average_precision) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "markt"}, "scores: protocol is 'markt', expected one of market"),
        ({"ap": None}, "scores: ap is None"),
        ({"mAP": "high"}, "scores: mAP cannot be read"),
        ({"cmc": []}, "scores: cmc is empty"),
        ({"intervals": {"mAP": [0.1]}}, "scores: intervals cannot be read"),
    ],
)
def test_an_invalid_entry_is_named(scores, change, message):
    with pytest.raises(ValueError, match=message):
        Scores.from_dict({**scores.to_dict(), **change})


def test_a_missing_entry_is_named(scores):
    tree = scores.to_dict()
    del tree["gallery"]
    with pytest.raises(ValueError, match="scores: gallery is missing"):
        Scores.from_dict(tree)


def test_the_repr_is_one_line_of_metrics_and_counts(scores):
    text = repr(scores)
    assert text.startswith(f"Scores(rank1={scores.rank1:.4f}, rank5=")
    assert f"; market rule, step AP, {scores.valid_queries} of 12 queries valid, gallery 30)" in text
    assert "\n" not in text
