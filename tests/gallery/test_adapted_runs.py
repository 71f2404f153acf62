"""Runs that were made from the crops of a gallery. Oracles: lists by hand, and the content of the file."""

import json
import stat

import pytest

from gallery.people import MODEL, people
from passerby.errors import GalleryError
from passerby.gallery.adapted_runs import FILE, drop_erased, record_adapted_run
from passerby.gallery.forget import expire, forget
from passerby.gallery.stores.opening import open_gallery


def test_runs_of_erased_sightings_are_named_once_and_their_ids_are_dropped(tmp_path):
    record_adapted_run(tmp_path, tmp_path / "a", ["s1", "s2"])
    record_adapted_run(tmp_path, tmp_path / "b", ["s2", "s3"])
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    asked = []
    assert drop_erased(tmp_path, lambda ids: asked.extend(ids) or ["s2", "s3"]) == [str(tmp_path / "a")]
    assert asked == ["s1", "s2", "s3"]
    assert json.loads((tmp_path / FILE).read_text()) == {
        "runs": [{"run": str(tmp_path / "a"), "ids": ["s2"]}, {"run": str(tmp_path / "b"), "ids": ["s2", "s3"]}]
    }
    assert drop_erased(tmp_path, lambda ids: ids) == drop_erased(tmp_path / "none", lambda ids: ()) == []


def test_a_run_that_is_made_again_is_in_the_list_once(tmp_path):
    record_adapted_run(tmp_path, tmp_path / "a", ["s1"])
    record_adapted_run(tmp_path, tmp_path / "a", ["s2"])
    assert json.loads((tmp_path / FILE).read_text()) == {"runs": [{"run": str(tmp_path / "a"), "ids": ["s2"]}]}


@pytest.mark.parametrize("erase", [lambda store, ids: forget(store, ids=ids), lambda store, _: expire(store, days=0)])
def test_each_way_of_erasing_names_the_runs(tmp_path, caplog, erase):
    store = open_gallery(tmp_path, model=MODEL)
    sightings = people(3)
    store.add(sightings)
    ids = [sighting.id for sighting in sightings]
    record_adapted_run(tmp_path, tmp_path / "run", ids)
    erase(store, ids[:1])
    assert caplog.messages == [
        f"{tmp_path / 'run'}: was adapted by erased crops; adapt again, and delete it and its copies"
    ]
    assert ids[0] not in (tmp_path / FILE).read_text()
    store.close()


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_list_is_named(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(GalleryError, match=r"adapted-runs\.json: cannot be read"):
        drop_erased(tmp_path, lambda ids: ids)
