"""Appearance of identities. Oracles: human bounds, the stated frequencies, the definition of a lookalike."""

from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest

from passerby.synthesis.garments import BOTTOMS, DETAILS, TOPS
from passerby.synthesis.palette import (
    CLOTH_COLORS,
    HAIR_COLORS,
    SKIN_TONE_WEIGHTS,
    SKIN_TONES,
    TOP_COLOR_WEIGHTS,
    draw_key,
)
from passerby.synthesis.persons import BAG_KINDS, HAIRCUTS, draw_lookalike, draw_person, draw_persons


@pytest.fixture(scope="module")
def persons():
    return draw_persons(2000, seed=0, stream=0, lookalikes=0.0)


def test_bodies_are_within_human_bounds_and_clothes_are_listed(persons):
    for person in persons:
        assert 1.4 < person.height < 2.0
        assert person.top.kind in TOPS
        assert person.bottom.kind in BOTTOMS
        assert person.top.name in CLOTH_COLORS
        assert person.hair_name in HAIR_COLORS
        assert 0 <= person.skin_tone < len(SKIN_TONES)
        colors = (person.skin, person.hair, person.top.color, person.bottom.color, person.shoes, person.bag_color)
        assert all(0 < channel < 1 for color in colors for channel in color)
        assert 0 <= person.top.sleeves <= 1
        assert 0 <= person.bottom.sleeves <= 1


@pytest.mark.parametrize(
    ("weights", "attribute"),
    [
        (TOP_COLOR_WEIGHTS, lambda person: person.top.name),
        (BAG_KINDS, lambda person: person.bag),
        (HAIRCUTS, lambda person: person.haircut),
        (dict(enumerate(SKIN_TONE_WEIGHTS)), lambda person: person.skin_tone),
    ],
)
def test_frequencies_follow_the_weights(persons, weights, attribute):
    """Oracle: the weights; 2,000 persons, five standard deviations."""
    counts, total = Counter(map(attribute, persons)), sum(weights.values())
    for name, weight in weights.items():
        p = weight / total
        assert counts[name] / 2000 == pytest.approx(p, abs=5 * (p * (1 - p) / 2000) ** 0.5)


def test_a_key_with_weight_zero_is_never_drawn():
    rng = np.random.default_rng(0)
    assert {draw_key(rng, {"a": 1, "b": 0, "c": 2}) for _ in range(200)} == {"a", "c"}


def test_a_lookalike_has_another_build_and_keeps_most_of_the_clothes():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        person = draw_person(rng)
        other = draw_lookalike(person, rng)
        assert other.height != person.height
        assert other != person
        same = [field.name for field in fields(person) if getattr(person, field.name) == getattr(other, field.name)]
        assert len(same) >= 6
        assert sum(getattr(person, part) == getattr(other, part) for part in ("top", "bottom", "hair", "shoes")) >= 1


def test_half_of_the_lookalikes_with_another_top_keep_the_garment_and_change_its_details():
    """Oracle: the definition; of 400 lookalikes, those whose top differs."""
    kept = {True: 0, False: 0}
    for seed in range(400):
        rng = np.random.default_rng(seed)
        person = draw_person(rng)
        other = draw_lookalike(person, rng)
        if other.top != person.top:
            own = {name: getattr(other.top, name) for name in DETAILS}
            assert any(getattr(person.top, name) != value for name, value in own.items())
            kept[replace(person.top, **own) == other.top] += 1
    assert 0.35 < kept[True] / sum(kept.values()) < 0.65


def test_details_of_garments_are_within_their_ranges(persons):
    for garment in [garment for person in persons for garment in (person.top, person.bottom)]:
        assert 0 <= garment.closure <= 0.01
        assert 0 <= garment.band <= 0.06
        assert abs(garment.emblem) <= 0.04
        assert 0 <= garment.fade <= 0.9
        assert 0 < garment.gloss < 0.4
    assert any(person.top.closure for person in persons)
    assert not any(person.top.closure for person in persons if person.top.pattern == "open")
    assert not any(person.bottom.emblem for person in persons)


def test_the_fraction_of_lookalikes_is_as_requested():
    sample = draw_persons(600, seed=3, stream=0, lookalikes=0.4)
    tops = Counter(person.top for person in sample)
    shared = sum(count for count in tops.values() if count > 1)
    assert 0.25 < shared / 600 < 0.75
    assert len(set(sample)) == 600
    assert len({person.top for person in draw_persons(600, seed=3, stream=0, lookalikes=0.0)}) == 600


def test_persons_do_not_depend_on_the_number_drawn_after_them():
    assert draw_persons(30, seed=1, stream=0, lookalikes=0.3)[:10] == draw_persons(10, seed=1, stream=0, lookalikes=0.3)
    assert draw_persons(3, seed=1, stream=0, lookalikes=0.0) != draw_persons(3, seed=1, stream=1, lookalikes=0.0)
