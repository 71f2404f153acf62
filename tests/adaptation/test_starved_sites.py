"""Sites with little or wrong evidence. Oracle: the mAP of other drawn people before and after the ladder's choice."""

import numpy as np
import pytest

from adaptation.drawn_people import LOSS, SITES, climb, crops, draw


@pytest.mark.parametrize("name", SITES)
def test_the_choice_is_not_worse_than_the_start(name):
    persons, cameras = SITES[name]
    tracks = np.where(persons == 0, 10**6 + np.arange(len(persons)) // 6, persons) * 10 + cameras
    gain, _, _ = climb(persons, cameras, tracks, draw(np.random.default_rng(1), persons, cameras))
    assert gain >= -LOSS


def test_enough_tracks_help():
    """So that the tests above do not hold because nothing is ever chosen."""
    persons, cameras = crops(120)
    gain, _, chosen = climb(persons, cameras, 10 * persons + cameras, draw(np.random.default_rng(1), persons, cameras))
    assert gain > 0.02
    assert chosen is not None


def test_copies_of_one_person_refuse_the_maps_that_no_direction_is_left_for():
    """All tracks have the same crops, so that their differences are those of one track."""
    persons, cameras = np.zeros(160, np.int64), np.zeros(160, np.int64)
    crop, other = draw(np.random.default_rng(1), persons[:2], cameras[:2])
    vectors = np.tile(np.stack([crop, other]), (80, 1))
    _, rungs, chosen = climb(persons, cameras, np.arange(160) // 2, vectors)
    notes = {rung.name: rung.note for rung in rungs}
    assert notes["kissme"] == notes["xqda"]
    assert "no direction is left" in notes["kissme"]
    assert chosen is None
