"""Change of a retention. Oracles: the sightings that are left, the card of a gallery that is opened again."""

import pytest

from gallery.people import DAY, MODEL, NOW, Watch, people
from passerby.errors import GalleryError
from passerby.gallery.retention import count_past, set_retention
from passerby.gallery.stores.opening import open_gallery


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def store(tmp_path, watch):
    """12 sightings, 5 of them enrolled 10 days ago and the others now."""
    store = open_gallery(tmp_path / "gallery", model=MODEL, clock=watch, user="ada")
    store.add(people(5, seed=1, enrolled=NOW - 10 * DAY))
    store.add(people(7, seed=2, enrolled=NOW))
    yield store
    store.close()


def test_a_longer_retention_is_set_and_kept(store, watch, tmp_path):
    assert set_retention(store, 30, clock=watch) == 0
    assert store.card.retention == 30
    with pytest.raises(
        GalleryError, match=r"retention is 30 in the gallery, opened with 7; leave it out, or change it"
    ):
        open_gallery(tmp_path / "gallery", model=MODEL, retention=7, clock=watch)
    again = open_gallery(tmp_path / "gallery", clock=watch)
    assert (again.card.retention, again.count()) == (30, 12)
    again.close()
    assert [entry.counts for entry in store.audit() if entry.action == "retention"] == [{"days": 30}]


def test_a_shorter_retention_erases_only_after_a_confirmation(store, watch):
    assert count_past(store, 9, clock=watch) == 5
    with pytest.raises(GalleryError, match=r"days: 5 of 12 sightings enrolled more than 9 days ago would be"):
        set_retention(store, 9, clock=watch)
    assert (store.card.retention, store.count()) == (None, 12)
    assert set_retention(store, 9, confirm_erase=True, clock=watch) == 5
    assert (store.card.retention, store.count()) == (9, 7)
    assert set_retention(store, None, clock=watch) == 0
    watch.now += 100 * DAY
    assert (store.card.retention, count_past(store, None, clock=watch)) == (None, 0)


@pytest.mark.parametrize("days", [0, -1, float("nan"), float("inf")])
def test_a_number_of_days_is_above_0(store, days):
    with pytest.raises(GalleryError, match=f"days: got {days}, expected days above 0, or None to keep everything"):
        set_retention(store, days)
    assert store.card.retention is None
