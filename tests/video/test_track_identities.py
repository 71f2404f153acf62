"""Identities of tracks while cameras run. Oracle: unit vectors in a plane, whose distances are known."""

from types import SimpleNamespace

import numpy as np
import pytest

from passerby.errors import GalleryError
from passerby.gallery.card import GalleryModel
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery
from passerby.openset.identification import Identification
from passerby.video import track_identities
from passerby.video.track_identities import IDENTITY, IdentityMatcher

HOUR = 3600.0
DAY = 24 * HOUR


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setattr(track_identities, "find_pair_threshold", lambda _calibration, prior=0.01: 0.1)
    store = open_gallery("memory", model=GalleryModel(architecture="", weights="", preprocessing={}, dimension=2))
    yield store
    store.close()


@pytest.fixture
def matcher(store):
    line = Identification(slope=30.0, offset=3.0)  # as probable as not at a distance of 0.1, if one of one
    return IdentityMatcher(SimpleNamespace(store=store, calibration=SimpleNamespace(identification=line)))


def track(degrees, *, start=DAY, length=4.0, camera="door", identity=None, label=None):
    angle = np.deg2rad(degrees)
    more = {} if identity is None else {IDENTITY: identity}
    return Sighting(
        vector=np.array([np.cos(angle), np.sin(angle)]),
        camera=camera,
        time=start,
        label=label,
        source=f"{camera}::{start}-{degrees}",
        attributes={"track.start": start, "track.end": start + length, **more},
    )


def enroll(matcher, store, sighting):
    """What `enroll_live` does; returns the match."""
    match = matcher.match(sighting)
    identity = match.identity or sighting.id
    store.add([track_with(sighting, identity)])
    matcher.remember(sighting, identity)
    return match


def track_with(sighting, identity):
    return Sighting(
        vector=sighting.vector,
        camera=sighting.camera,
        time=sighting.time,
        source=sighting.source,
        attributes={**sighting.attributes, IDENTITY: identity},
    )


def test_a_person_has_one_identity_across_cameras(store, matcher):
    first, other, again = track(0), track(60, camera="hall"), track(5, start=DAY + 60, camera="hall")
    assert enroll(matcher, store, first).identity is None
    assert enroll(matcher, store, other).identity is None
    match = enroll(matcher, store, again)
    assert match.identity == first.id
    assert match.distance == pytest.approx(1 - np.cos(np.deg2rad(5)), abs=1e-6)


def test_the_mean_distance_to_an_identity_decides_not_the_nearest_track(store, matcher):
    """Distances of 40 degrees to the new track: 0.234 and 0.0 of one identity, mean 0.117; 20 degrees: 0.06."""
    store.add(
        [
            track(0, identity="far"),
            track(40, start=DAY + 10, identity="far"),
            track(60, start=DAY + 20, identity="near"),
        ]
    )
    assert matcher.match(track(40, start=DAY + 100)).identity == "near"


def test_tracks_of_one_camera_at_one_time_are_two_identities(store, matcher):
    """However alike; a third one joins the first that it does not overlap."""
    first, beside, later = track(0), track(0.1, start=DAY + 1), track(0.1, start=DAY + 10)
    assert enroll(matcher, store, first).identity is None
    assert enroll(matcher, store, beside).identity is None
    assert enroll(matcher, store, track(0, start=DAY + 1, camera="hall")).identity in (first.id, beside.id)
    assert enroll(matcher, store, later).identity in (first.id, beside.id)


def test_a_label_that_identify_names_is_the_identity(store, matcher):
    store.add([track(0, start=0.0, label="Ada"), track(90, start=0.0, label="Eve")])
    match = enroll(matcher, store, track(2, start=100 * DAY))
    assert (match.identity, match.label, match.distance) == ("Ada", "Ada", None)
    assert match.probability > 0.5
    assert enroll(matcher, store, track(45, start=100 * DAY)).identity is None
    assert store.count_labels() == 2  # no label was written
    beside = enroll(matcher, store, track(2.1, start=100 * DAY + 1))
    assert beside.label is None


def test_an_identity_without_a_label_is_compared_for_a_day(store, matcher):
    enroll(matcher, store, track(0))
    assert matcher.match(track(0, start=DAY + 25 * HOUR)).identity is None
    assert matcher.match(track(0, start=DAY + 23 * HOUR)).identity is not None


def test_tracks_that_are_remembered_are_bounded(store, matcher):
    for number in range(2000):
        matcher.remember(track(0, start=DAY + 10 * number), "someone")
    assert len(matcher._recent["door"]) == 1000


def test_a_calibration_of_an_earlier_version_is_refused(store):
    gallery = SimpleNamespace(store=store, calibration=SimpleNamespace(identification=None))
    with pytest.raises(GalleryError, match="its model's calibration has no identification; calibrate the model again"):
        IdentityMatcher(gallery)
