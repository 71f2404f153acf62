"""Who is drawn: within human bounds, worn as often as stated, lookalikes alike but not equal."""

from collections import Counter
from dataclasses import fields

import numpy as np
import pytest

from passerby.synthesis.palette import CLOTH, HAIR, SKIN, SKIN_WEIGHTS, UPPER, pick
from passerby.synthesis.people import BAG_KINDS, BOTTOMS, HAIRCUTS, TOPS, lookalike, people, random_person


@pytest.fixture(scope="module")
def crowd():
    return people(2000, seed=0, stream=0, lookalikes=0.0)


def test_everybody_has_a_possible_body_and_known_clothes(crowd):
    for person in crowd:
        assert 1.4 < person.height < 2.0
        assert person.top.kind in TOPS
        assert person.bottom.kind in BOTTOMS
        assert person.top.name in CLOTH
        assert person.hair_name in HAIR
        assert 0 <= person.skin_tone < len(SKIN)
        colors = (person.skin, person.hair, person.top.color, person.bottom.color, person.shoes, person.bag_color)
        assert all(0 < channel < 1 for color in colors for channel in color)
        assert 0 <= person.top.sleeves <= 1
        assert 0 <= person.bottom.sleeves <= 1


@pytest.mark.parametrize(
    ("weights", "of"),
    [
        (UPPER, lambda person: person.top.name),
        (BAG_KINDS, lambda person: person.bag),
        (HAIRCUTS, lambda person: person.haircut),
        (dict(enumerate(SKIN_WEIGHTS)), lambda person: person.skin_tone),
    ],
)
def test_things_are_as_frequent_as_their_weights_say(crowd, weights, of):
    """Oracle: the weights; 2,000 people, five standard deviations."""
    counts, total = Counter(map(of, crowd)), sum(weights.values())
    for name, weight in weights.items():
        share = weight / total
        assert counts[name] / 2000 == pytest.approx(share, abs=5 * (share * (1 - share) / 2000) ** 0.5)


def test_pick_never_takes_what_weighs_nothing():
    rng = np.random.default_rng(0)
    assert {pick(rng, {"a": 1, "b": 0, "c": 2}) for _ in range(200)} == {"a", "c"}


def test_a_lookalike_is_of_another_build_and_keeps_most_of_the_clothes():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        person = random_person(rng)
        other = lookalike(person, rng)
        assert other.height != person.height
        assert other != person
        same = [field.name for field in fields(person) if getattr(person, field.name) == getattr(other, field.name)]
        assert len(same) >= 6
        assert sum(getattr(person, part) == getattr(other, part) for part in ("top", "bottom", "hair", "shoes")) >= 1


def test_the_share_of_lookalikes_is_the_one_asked_for():
    found = people(600, seed=3, stream=0, lookalikes=0.4)
    tops = Counter(person.top for person in found)
    shared = sum(count for count in tops.values() if count > 1)
    assert 0.25 < shared / 600 < 0.75
    assert len(set(found)) == 600
    assert len({person.top for person in people(600, seed=3, stream=0, lookalikes=0.0)}) == 600


def test_people_do_not_depend_on_how_many_come_after_them():
    assert people(30, seed=1, stream=0, lookalikes=0.3)[:10] == people(10, seed=1, stream=0, lookalikes=0.3)
    assert people(3, seed=1, stream=0, lookalikes=0.0) != people(3, seed=1, stream=1, lookalikes=0.0)
