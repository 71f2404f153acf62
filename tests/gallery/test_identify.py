"""Identification. Oracle: Bayes' rule written out for a known likelihood ratio."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.errors import GalleryError
from passerby.gallery.identify import identify_hits
from passerby.gallery.sightings import Hit
from passerby.openset.identification import Identification

LINE = Identification(slope=12.0, offset=6.0)
"""Log ratio 6 - 12 d."""


def hits(*pairs):
    return [Hit(camera="c", label=label, distance=distance, id=f"{i}") for i, (label, distance) in enumerate(pairs)]


def test_the_probability_is_bayes_rule_over_the_nearest_sighting_of_each_label():
    result = identify_hits(hits(("Alice", 0.2), ("Alice", 0.3), ("Bob", 0.5)), labels=2, line=LINE, unknown=0.4)
    alice, bob = 0.3 * math.exp(6 - 12 * 0.2), 0.3 * math.exp(6 - 12 * 0.5)
    assert result.label == "Alice"
    assert result.probability == pytest.approx(alice / (alice + bob + 0.4))
    assert [(sighting.label, sighting.hit.id) for sighting in result.candidates] == [("Alice", "0"), ("Bob", "2")]


def test_labels_without_a_hit_count_as_far_as_the_last_hit():
    result = identify_hits(hits(("Alice", 0.1), ("Bob", 0.4)), labels=12, line=LINE)
    share = 0.5 / 12
    alice, bob = share * math.exp(6 - 1.2), share * math.exp(6 - 4.8)
    assert result.probability == pytest.approx(alice / (alice + bob + 10 * bob + 0.5))


def test_far_sightings_and_an_empty_gallery_are_unknown():
    far = identify_hits(hits(("Alice", 0.9)), labels=1, line=LINE)
    assert far.label is None
    assert far.probability == pytest.approx(0.5 / (0.5 + 0.5 * math.exp(6 - 10.8)))
    assert identify_hits([], labels=0, line=LINE).probability == 1


def test_an_answer_below_the_least_probability_is_not_sure():
    equal = hits(("Alice", 0.3), ("Bob", 0.3))
    answers = [identify_hits(equal, labels=2, line=LINE, at_least=p).answer for p in (0.3, 0.5)]
    assert answers == ["identified", "not sure"]
    assert identify_hits(hits(("Alice", 0.9)), labels=1, line=LINE, at_least=0.9).answer == "unknown"
    assert identify_hits([], labels=0, line=LINE).answer == "unknown"


@given(
    st.lists(st.tuples(st.sampled_from("ABCDE"), st.floats(0, 2)), min_size=1, max_size=20),
    st.floats(0.01, 0.99),
    st.floats(0, 1),
)
def test_probabilities_sum_to_at_most_one_and_a_label_needs_its_least_probability(pairs, unknown, at_least):
    ordered = sorted(pairs, key=lambda pair: pair[1])
    labels = len({label for label, _ in ordered}) + 3
    result = identify_hits(hits(*ordered), labels=labels, line=LINE, unknown=unknown, at_least=at_least)
    assert sum(item.probability for item in result.candidates) <= 1 + 1e-9
    assert (result.label is None) == (result.candidates[0].probability < at_least)
    assert list(result.candidates) == sorted(result.candidates, key=lambda item: -item.probability)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unknown": 0.0}, "unknown: got 0.0, expected a probability between"),
        ({"at_least": 1.5}, "at_least: got 1.5, expected a prob"),
    ],
)
def test_invalid_probabilities_raise(options, message):
    with pytest.raises(GalleryError, match=message):
        identify_hits(hits(("A", 0.1)), labels=1, line=LINE, **options)
