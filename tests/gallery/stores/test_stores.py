"""The same tests for every store. Oracle: brute force over the added sightings, in float64."""

import dataclasses
import inspect
import io
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from gallery.oracle import brute_force, select
from gallery.people import DAY, MODEL, NOW, OTHER, D, encoded_image, people, unit
from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.forget import forget
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery
from passerby.gallery.stores.proposals import ScoredPart

COUNT = 300
FILTERS = {
    "none": Filter(),
    "camera": Filter(cameras=["cam1"]),
    "two cameras": Filter(cameras=("cam0", "cam2")),
    "not camera": Filter(not_cameras=["cam1"]),
    "time": Filter(since=NOW + 200, until=NOW + 700),
    "since": Filter(since=NOW + 500),
    "until": Filter(until=NOW + 500),
    "label": Filter(labels=["person 2"]),
    "labeled": Filter(labeled=True, cameras=["cam0"]),
    "labels and camera": Filter(labels=["person 2", "person 5"], not_cameras=["cam2"], since=NOW),
    "ids": Filter(ids=[sighting.id for sighting in people(COUNT)[:40]]),
    "sources": Filter(sources=["seed0/3.jpg", "seed0/7.jpg", "elsewhere.jpg"]),
    "film": Filter(sources=["seed0/film.avi"]),
    "no film": Filter(sources=["seed0/film.av", "seed0/film.avi:", "seed0/3.jp"]),
    "no sources": Filter(sources=[]),
    "no ids": Filter(ids=[]),
    "no sighting": Filter(cameras=["nowhere"]),
    "enrolled": Filter(enrolled_before=NOW),
    "quotes": Filter(labels=['it\'s "me" \\ or 1 = 1']),
}


@contextmanager
def opened(address, **options):
    store = open_gallery(address, **({"model": MODEL, "user": "test", "clock": lambda: NOW} | options))
    try:
        yield store
    finally:
        store.close()


def same(sighting, other):
    """Whether two sightings are equal, vectors bit by bit, apart from crop and time of enrollment."""
    a, b = (dataclasses.replace(item, crop=None, enrolled=None, vector=sighting.vector) for item in (sighting, other))
    facts = [{f.name: getattr(item, f.name) for f in dataclasses.fields(item) if f.name != "vector"} for item in (a, b)]
    return facts[0] == facts[1] and sighting.vector.tobytes() == other.vector.tobytes()


def test_the_nearest_are_those_of_brute_force(address):
    """Ids in order, ties by id, and distances to the last digits of float32, for every filter and several tops."""
    sightings = people(COUNT)
    queries = np.concatenate([unit(np.random.default_rng(9), 4), sightings[0].vector[None]])
    with opened(address) as store:
        store.add(sightings[:100])
        store.add(sightings[100:])
        for name, where in FILTERS.items():
            left = select([dataclasses.replace(item, enrolled=NOW) for item in sightings], where)
            assert store.count(where) == len(left), name
            for top in (1, 5, 60, 1000):
                for query, hits in zip(queries, store.search(queries, top=top, where=where), strict=True):
                    expected = brute_force(query, left, top)
                    assert [hit.id for hit in hits] == [item for item, _ in expected], (name, top)
                    distances = [hit.distance for hit in hits]
                    np.testing.assert_allclose(distances, [value for _, value in expected], rtol=1e-6, atol=1e-7)


def test_a_hit_has_the_metadata_of_its_sighting(address):
    sightings = people(20)
    with opened(address) as store:
        store.add(sightings)
        hits = {hit.id: hit for hit in store.search(sightings[0].vector, top=20)[0]}
    for sighting in sightings:
        hit = hits[sighting.id]
        assert (hit.camera, hit.time, hit.label, hit.source) == (
            sighting.camera,
            sighting.time,
            sighting.label,
            sighting.source,
        )
        assert (hit.quality, dict(hit.attributes), hit.enrolled) == (sighting.quality, dict(sighting.attributes), NOW)


def test_get_and_walk_return_every_bit(address):
    sightings = people(50)
    with opened(address) as store:
        store.add(sightings)
        assert all(map(same, sightings, store.get([sighting.id for sighting in sightings])))
        walked = [sighting for batch in store.walk(batch=7) for sighting in batch]
        assert [sighting.id for sighting in walked] == sorted(sighting.id for sighting in sightings)
        assert all(map(same, sorted(sightings, key=lambda sighting: sighting.id), walked))
        some = [sighting.id for batch in store.walk(Filter(cameras=["cam1"]), batch=3) for sighting in batch]
        assert some == sorted(sighting.id for sighting in sightings if sighting.camera == "cam1")


def test_the_same_sighting_is_stored_once(address):
    sightings = people(30)
    with opened(address) as store:
        assert len(store.add(sightings).new) == 30
        again = store.add([*sightings, *people(5, seed=1)])
        assert again.known == tuple(sighting.id for sighting in sightings)
        assert again.new == tuple(sighting.id for sighting in people(5, seed=1))
        twice = people(1, seed=2) * 2
        assert (len(store.add(twice).new), store.count()) == (1, 36)


def test_stored_labels_are_found_without_reading_vectors_or_crops(address):
    sightings = people(30)
    with opened(address) as store:
        store.add(sightings)
        labels = {sighting.id: sighting.label for sighting in sightings[:12]}
        ids = [*labels]
        assert store.stored_labels([*ids, "not there", ids[0]]) == labels
        assert store.stored_labels([]) == {}
        if hasattr(store, "_database"):  # SQLite: the statement names neither table
            statements = []
            store._database.connection.set_trace_callback(statements.append)
            store.stored_labels(ids)
            store._database.connection.set_trace_callback(None)
            assert not [text for text in statements if "vectors" in text or "crops" in text]


def test_proposals_are_the_nearest_up_to_rounding(address):
    """Oracle: brute force. Where distances differ by more than float32 rounds, ids and their order agree, too."""
    sightings = [item for i, item in enumerate(people(COUNT)) if i % 7 != 1]  # no ties
    queries = unit(np.random.default_rng(9), 3)
    with opened(address) as store:
        store.add(sightings)
        for where in (Filter(cameras=["cam1"]), Filter(not_cameras=["cam0"], since=NOW), Filter(), Filter(ids=[])):
            left = select([dataclasses.replace(item, enrolled=NOW) for item in sightings], where)
            part = ScoredPart(where, queries, np.ones(3), np.zeros(3))
            for query, keys in zip(queries, store.propose([part], count=20), strict=True):
                assert read_ids(store, keys) == [name for name, _ in brute_force(query, left, 20)]


def test_proposals_of_several_parts_are_merged_by_their_scores(address):
    """Oracle: scores computed from all vectors, for parts with factors, offsets and directions of their own."""
    sightings = [item for i, item in enumerate(people(COUNT)) if i % 7 != 1]  # no ties
    generator = np.random.default_rng(10)
    cameras = sorted({item.camera for item in sightings})
    parts = [
        ScoredPart(Filter(cameras=[name]), unit(generator, 2), generator.uniform(0.5, 2, 2), generator.uniform(0, 1, 2))
        for name in cameras
    ] + [ScoredPart(Filter(not_cameras=cameras), unit(generator, 2), np.ones(2), np.ones(2))]  # without a sighting
    with opened(address) as store:
        store.add(sightings)
        for query, keys in enumerate(store.propose(parts, count=25)):
            scores = {}
            for item in sightings:
                part = parts[cameras.index(item.camera)]
                scores[item.id] = item.vector @ part.directions[query] * part.factors[query] + part.offsets[query]
            assert read_ids(store, keys) == sorted(scores, key=lambda name: -scores[name])[:25]


def read_ids(store, keys):
    """The ids of proposals, in their order."""
    candidates = store.read_proposed(keys)
    ids = dict(zip(candidates.keys, candidates.ids, strict=True))
    return [ids[key] for key in keys]


def test_proposed_sightings_are_read_as_they_are_stored(address):
    """Those that were removed meanwhile are missing."""
    sightings = people(40)
    part = ScoredPart(Filter(), unit(np.random.default_rng(9), 1), np.ones(1), np.zeros(1))
    with opened(address) as store:
        store.add(sightings)
        (keys,) = store.propose([part], count=40)
        store.remove(Filter(ids=[sightings[7].id]))
        candidates = store.read_proposed(keys)
        empty = store.read_proposed([]).vectors
    expected = {item.id: item for item in sightings if item is not sightings[7]}
    infos = [candidates.to_info(record) for record in candidates.records]
    columns = (candidates.ids, candidates.cameras, candidates.vectors, infos)
    assert {*candidates.ids} == {*expected}
    for name, camera, vector, info in zip(*columns, strict=True):
        assert camera == expected[name].camera
        assert same(expected[name], Sighting.restore(vector=vector, crop=None, **info))
    assert empty.shape == (0, D)


def test_sightings_are_walked_without_their_crops(address):
    with opened(address, keep="crops") as store:
        store.add(people(3, crop=encoded_image()))
        ((first, *_),) = store.walk(crops=False)
        assert first.crop is None
        assert same(next(sighting for sighting in people(3) if sighting.id == first.id), first)


def test_removed_sightings_are_not_found(address):
    sightings = people(60)
    with opened(address) as store:
        store.add(sightings)
        store.search(sightings[0].vector)  # an index exists
        assert store.remove(Filter(cameras=["cam1"])) == 20
        assert forget(store, label="person 2") == 10
        assert forget(store, ids=[sightings[0].id, "not there"]) == 1
        left = [s for s in sightings[1:] if s.camera != "cam1" and s.label != "person 2"]
        assert store.count() == len(left)
        (hits,) = store.search(sightings[0].vector, top=100)
        assert [hit.id for hit in hits] == [item for item, _ in brute_force(sightings[0].vector, left, 100)]
        with pytest.raises(GalleryError, match=r"no sighting .* \(1 of 2 ids missing\)"):
            store.get([sightings[0].id, left[0].id])
        store.add(sightings)  # who was forgotten can come again
        assert store.count() == 60


def test_the_ids_of_a_filter_are_those_of_its_sightings(address):
    with opened(address) as store:
        sightings = people(60)
        store.add(sightings)
        for where in (Filter(cameras=["cam1"]), Filter(ids=[]), Filter(not_cameras=["cam2"])):
            assert store.find_ids(where) == sorted(item.id for item in select(sightings, where))


def test_sightings_can_be_labeled_later_and_found_by_label(address):
    sightings = people(60)
    chosen = Filter(ids=[sighting.id for sighting in sightings[:7]], cameras=["cam0", "cam1"])
    expected = {sighting.id for sighting in sightings[:7] if sighting.camera != "cam2"}
    with opened(address) as store:
        store.add(sightings)
        store.search(sightings[0].vector)
        assert store.relabel(chosen, "Ada") == len(expected)
        assert {sighting.id for rows in store.walk(Filter(labels=["Ada"])) for sighting in rows} == expected
        (hits,) = store.search(sightings[0].vector, top=60, where=Filter(labels=["Ada"]))
        assert {hit.id for hit in hits} == expected
        (again,) = store.get([sightings[0].id])
        assert again.label == "Ada"
        assert same(sightings[0], dataclasses.replace(again, label=sightings[0].label))
        assert store.count() == 60
        assert store.relabel(Filter(labels=["Ada"]), None) == len(expected)
        assert store.count(Filter(labels=["Ada"])) == 0
        told = [dict(entry.counts) for entry in store.audit() if entry.action == "label"]
        assert told == [{"sightings": len(expected)}] * 2
        with pytest.raises(GalleryError, match="relabel: the filter has no condition"):
            store.relabel(Filter(), "Ada")
        with pytest.raises(GalleryError, match="relabel: label is '', expected 1 to 255 characters"):
            store.relabel(chosen, "")


def test_an_empty_gallery_returns_empty_results(address):
    with opened(address) as store:
        assert store.search(np.ones((2, D), np.float32)) == [[], []]
        assert store.search(np.ones((0, D), np.float32)) == []
        assert (store.count(), store.get([]), list(store.walk())) == (0, [], [])
        assert store.add([]).new == ()
        assert store.remove(Filter(labels=["x"])) == 0
        stats = store.stats()
        assert (stats.sightings, stats.labels, stats.first, stats.last) == (0, 0, None, None)


def test_stats_count(address):
    sightings = people(31)
    with opened(address) as store:
        store.add(sightings)
        stats = store.stats()
    times = [sighting.time for sighting in sightings if sighting.time is not None]
    assert stats.cameras == {"cam0": 11, "cam1": 10, "cam2": 10}
    assert (stats.sightings, stats.labels) == (31, len({sighting.label for sighting in sightings} - {None}))
    assert (stats.first, stats.last, stats.card.model) == (min(times), max(times), MODEL)


def test_the_audit_log_has_user_action_and_counts_and_no_label(address):
    with opened(address, user="anna") as store:
        sightings = people(10, camera="lobby", label="Bo")
        store.add(sightings)
        store.search(np.ones((3, D), np.float32), top=2)
        store.remove(Filter(ids=[sightings[0].id]))
        forget(store, label="Bo")
        store.log("export", sightings=0)
        audit = store.audit()
    assert [(entry.action, dict(entry.counts)) for entry in audit] == [
        ("create", {}),
        ("enroll", {"sightings": 10, "known": 0}),
        ("search", {"queries": 3, "hits": 6}),
        ("remove", {"sightings": 1}),
        ("forget", {"sightings": 9}),
        ("export", {"sightings": 0}),
    ]
    assert {(entry.user, entry.time) for entry in audit} == {("anna", NOW)}
    assert "Bo" not in repr(audit)
    assert "lobby" not in repr(audit)


@pytest.mark.parametrize("keep", ["thumbnails", "crops"])
def test_pixels_are_stored_as_their_encoded_image_is(address, keep):
    """Oracle: the same pixels given as a PNG."""
    encoded = encoded_image(size=(80, 200))
    with Image.open(io.BytesIO(encoded)) as image:
        pixels = np.array(image)
    with opened(address, keep=keep) as store:
        store.add([*people(1, crop=encoded), *people(1, seed=1, crop=pixels)])
        crops = [sighting.crop for batch in store.walk() for sighting in batch]
    decoded = [np.array(Image.open(io.BytesIO(crop))) for crop in crops]
    assert (decoded[0] == decoded[1]).all()
    assert decoded[0].shape == ((200, 80, 3) if keep == "crops" else (128, 51, 3))


@pytest.mark.parametrize("keep", ["vectors", "thumbnails", "crops"])
def test_keep_determines_what_is_stored_of_crops(address, keep):
    crop = encoded_image(size=(80, 200))
    with opened(address, keep=keep) as store:
        store.add(people(1, crop=crop))
        ((kept,),) = store.walk()
    if keep == "thumbnails":
        assert kept.crop[:2] == b"\xff\xd8"
        assert len(kept.crop) < len(crop) / 2
    else:
        assert kept.crop == (crop if keep == "crops" else None)


def test_an_invalid_sighting_adds_nothing(address):
    with opened(address) as store:
        wide = Sighting(vector=unit(np.random.default_rng(0), 1, 5)[0], camera="c", source="wide.jpg")
        with pytest.raises(GalleryError, match=r"wide\.jpg: vector of 5 numbers, this gallery's have 24"):
            store.add([*people(3), wide])
        with pytest.raises(GalleryError, match=r"broken\.jpg: crop of 4 bytes cannot be stored: .*JPEG, PNG"):
            store.add([*people(3), dataclasses.replace(people(1)[0], crop=b"nope", source="broken.jpg")])
        assert store.count() == 0


@pytest.mark.parametrize(
    ("vectors", "top", "message"),
    [
        (np.ones((1, 5), np.float32), 1, r"query: got shape \(1, 5\) of float32, expected \(Q, 24\)"),
        (np.ones((1, D), np.int64), 1, "query: got .* of int64, expected .* floating point"),
        (np.zeros((1, D), np.float32), 1, "query 0: vector of length 0"),
        (np.full((1, D), np.nan, np.float32), 1, "query 0: vector of length nan"),
        (np.ones((1, D), np.float32), 0, "top: got 0, expected at least 1"),
    ],
)
def test_a_query_that_cannot_be_compared_is_refused(address, vectors, top, message):
    with opened(address) as store, pytest.raises(GalleryError, match=message):
        store.search(vectors, top=top)


def test_removal_needs_a_condition(address):
    with opened(address) as store:
        with pytest.raises(GalleryError, match="filter has no condition"):
            store.remove(Filter())
        with pytest.raises(GalleryError, match="removal: got 'burn', expected one of remove, forget, expire"):
            store.remove(Filter(ids=[]), action="burn")


def test_opening_erases_what_is_past_its_retention(address, watch):
    if address == "memory":
        pytest.skip("a gallery in memory is never opened again")
    with opened(address, retention=30, clock=watch) as store:
        store.add(people(5))
        watch.now += 20 * DAY
        store.add(people(3, seed=1))
    watch.now += 9 * DAY
    with opened(address, model=None, clock=watch) as store:
        assert store.count() == 8
    watch.now += 2 * DAY
    with opened(address, model=None, clock=watch) as store:
        assert store.count() == 3
        last = store.audit()[-1]
        assert (last.action, dict(last.counts)) == ("expire", {"sightings": 5})


def test_another_model_or_other_settings_are_refused(address):
    if address == "memory":
        pytest.skip("a gallery in memory is never opened again")
    with opened(address, keep="crops", retention=7):
        pass
    with pytest.raises(GalleryError, match=r"contains vectors of model aaaa.*opened with model cccc.*no meaning"):
        open_gallery(address, model=OTHER)
    with pytest.raises(GalleryError, match="keep is 'crops' in the gallery, opened with 'vectors'"):
        open_gallery(address, keep="vectors")
    with pytest.raises(GalleryError, match="retention is 7 in the gallery, opened with 8"):
        open_gallery(address, model=MODEL, retention=8)
    recalibrated = dataclasses.replace(MODEL, calibration={"format": 1})
    with opened(address, model=recalibrated) as store:
        assert store.card.model == MODEL


def test_every_test_of_this_file_runs_on_every_store():
    """Oracle: the parameters of the functions; `address` opens each store, a real Milvus server among them."""
    tests = {name: function for name, function in globals().items() if name.startswith("test_")}
    without = [name for name, function in tests.items() if "address" not in inspect.signature(function).parameters]
    assert without == ["test_every_test_of_this_file_runs_on_every_store"]
