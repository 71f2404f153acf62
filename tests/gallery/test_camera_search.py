"""Search across cameras, in every store. Oracle: exact search over `normalize_cameras`, and planted shifts."""

import dataclasses
from contextlib import closing, contextmanager

import numpy as np
import pytest

from conftest import SIMPLE
from gallery.people import MODEL, NOW, D, unit
from passerby import Gallery
from passerby.data.datasets import load_data
from passerby.errors import GalleryError
from passerby.gallery import camera_search as cameras
from passerby.gallery.camera_search import CameraViews, search_across
from passerby.gallery.card import GalleryCard
from passerby.gallery.crops import list_data_crops
from passerby.gallery.embedding_model import EmbeddingModel
from passerby.gallery.filters import Filter
from passerby.gallery.identify import identify_hits
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores import near_cells
from passerby.gallery.stores.faiss_index import InvertedFile
from passerby.gallery.stores.opening import open_gallery
from passerby.gallery.stores.sqlite import SqliteStore
from passerby.ranking.camera_normalization import PRIOR_IMAGES, normalize_cameras
from passerby.types import Embeddings

PEOPLE = 60


@contextmanager
def opened(address, sightings=()):
    store = open_gallery(address, model=MODEL, user="test", clock=lambda: NOW)
    try:
        if sightings:
            store.add(sightings)
        yield store
    finally:
        store.close()


def make_sightings(*, push=2.0, names=("north", "south", "west"), people=PEOPLE, seed=0):
    """A sighting of each person in each camera; each camera shifts and scales its vectors in its own way."""
    generator = np.random.default_rng(seed)
    centers = unit(generator, people)
    sightings = []
    for name in names:
        away, stretch = push * unit(generator, 1) / D**0.5 * 3, generator.uniform(0.5, 1.5, D)
        vectors = (centers + 0.05 * generator.standard_normal((people, D)) + away) * stretch
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        sightings += [
            Sighting(camera=name, label=f"person {i}", source=f"{name}/{i}.jpg", time=NOW + i, vector=vector)
            for i, vector in enumerate(vectors)
        ]
    return sightings


def found_by(hits):
    return [[(hit.label, hit.camera) for hit in line] for line in hits]


def test_results_equal_exact_search_over_normalized_vectors(address, monkeypatch):
    """Without shrinkage, and with the queries among the sightings, statistics are those of `normalize_cameras`."""
    monkeypatch.setattr("passerby.ranking.camera_normalization.PRIOR_IMAGES", 0)
    sightings = make_sightings()
    queries = [sighting for sighting in sightings if sighting.camera == "north"][:7]
    names = sorted({sighting.camera for sighting in sightings})
    vectors = np.stack([sighting.vector for sighting in sightings])
    labels = np.arange(len(sightings)), np.array([names.index(sighting.camera) for sighting in sightings])
    empty = Embeddings(np.empty((0, D), np.float32), np.empty(0, int), np.empty(0, int))
    normalized, _ = normalize_cameras(Embeddings(vectors, *labels), empty)
    with opened(address, sightings) as store:
        for where in (Filter(), Filter(not_cameras=["north"]), Filter(cameras=["west", "south"], since=NOW + 20)):
            left = [i for i, sighting in enumerate(sightings) if passes(sighting, where)]
            hits = search_across(
                store,
                CameraViews(store),
                np.stack([sighting.vector for sighting in queries]),
                seen_by="north",
                top=6,
                where=where,
            )
            for place, line in enumerate(hits):
                distances = 1 - normalized.vectors[left].astype(float) @ normalized.vectors[place].astype(float)
                order = np.argsort(distances)[:6]
                assert [hit.id for hit in line] == [sightings[left[i]].id for i in order]
                np.testing.assert_allclose([hit.distance for hit in line], distances[order], atol=1e-6)


def passes(sighting, where):
    wanted = where.cameras is None or sighting.camera in where.cameras
    return wanted and sighting.camera not in where.not_cameras and (where.since is None or sighting.time >= where.since)


def test_normalization_recovers_matches_across_shifted_cameras(address):
    sightings = make_sightings(push=4.0)
    queries = [sighting for sighting in sightings if sighting.camera == "south"]
    vectors = np.stack([sighting.vector for sighting in queries])
    elsewhere = Filter(cameras=["north", "west"])
    with opened(address, sightings) as store:
        plain = found_by(store.search(vectors, top=1, where=elsewhere))
        views = CameraViews(store)
        across = found_by(search_across(store, views, vectors, seen_by="south", top=1, where=elsewhere))
    right = [
        np.mean([line[0][0] == sighting.label for line, sighting in zip(lines, queries, strict=True)])
        for lines in (plain, across)
    ]
    assert right[0] < 0.5
    assert right[1] > 0.9


def test_statistics_of_a_camera_with_few_sightings_are_shrunk(address):
    """PRIOR_IMAGES sightings weigh as much as the mean and variance of all; computed by hand."""
    sightings = [*make_sightings(), *make_sightings(names=("new",), people=PRIOR_IMAGES, seed=1)]
    with opened(address, sightings) as store:
        views = CameraViews(store)
    of = {name: np.stack([s.vector for s in sightings if s.camera == name]).astype(float) for name in ("north", "new")}
    whole = np.stack([sighting.vector for sighting in sightings]).astype(float)
    for name, own in ((("new", 0.5)), ("north", PEOPLE / (PEOPLE + PRIOR_IMAGES))):
        mean = own * of[name].mean(axis=0) + (1 - own) * whole.mean(axis=0)
        variance = own * of[name].var(axis=0) + (1 - own) * whole.var(axis=0)
        np.testing.assert_allclose(views[name].mean, mean, atol=1e-6)
        np.testing.assert_allclose(views[name].deviation, variance**0.5, atol=1e-6)


def test_a_camera_added_later_is_searched_and_one_line_is_logged(address):
    late = make_sightings(names=("late",), seed=2, people=5)
    with opened(address, make_sightings()) as store:
        views = CameraViews(store)
        store.add(late)
        logged = len(store.audit())
        for where in (Filter(), Filter(cameras=["late", "west"]), Filter(cameras=["late"])):
            (hits,) = search_across(store, views, late[0].vector, seen_by="west", top=400, where=where)
            expected = store.count(where)
            assert len(hits) == len({hit.id for hit in hits}) == expected
            assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)
        lines = store.audit()[logged:]
    assert [(line.action, line.counts["queries"]) for line in lines] == [("search", 1)] * 3


def test_too_few_sightings_or_an_unknown_camera_raise(address):
    some = make_sightings()
    with opened(address, some[:9]) as store:
        with pytest.raises(GalleryError, match="9 sightings, expected at least 10 to estimate"):
            CameraViews(store)
        store.add(some)
        with pytest.raises(
            GalleryError, match=r"seen_by 'nroth': the gallery has no sighting of that camera, only of north, south, "
        ):
            search_across(store, CameraViews(store), some[0].vector, seen_by="nroth", top=3, where=Filter())


def test_equal_vectors_raise():
    twins = [Sighting(camera="c", source=str(i), vector=unit(np.random.default_rng(0), 1)[0]) for i in range(20)]
    with opened("memory", twins) as store, pytest.raises(GalleryError, match="all sightings have the same vector"):
        CameraViews(store)


def test_vectors_of_the_best_candidates_are_read_once_and_no_crop(address, monkeypatch):
    """One read for all cameras and queries, of at most the candidates that are compared."""
    with opened(address, make_sightings()) as store:
        views, reads, read = CameraViews(store), [], store.read_proposed
        monkeypatch.setattr(store, "read_proposed", lambda keys: reads.append(keys) or read(keys))
        monkeypatch.setattr(store, "search", None)
        monkeypatch.setattr(store, "get", None)
        queries = np.stack([sighting.vector for sighting in make_sightings()[:3]])
        lines = search_across(store, views, queries, seen_by="north", top=5, where=Filter())
    assert [len(hits) for hits in lines] == [5] * 3
    (keys,) = reads
    assert len(keys) == len(set(keys)) <= 3 * cameras.MIN_CANDIDATES


def test_statistics_are_estimated_again_after_growth_or_for_a_new_camera(tiny_run, monkeypatch):
    """Once for many searches, again after growth by a tenth, and at once for a new camera."""
    estimates = []
    original = cameras.CameraViews

    def count(store):
        estimates.append(store.count())
        return original(store)

    monkeypatch.setattr(cameras, "CameraViews", count)
    crops = list_data_crops(SIMPLE)
    first, more, other = crops[:20], crops[20:], [crop for crop in crops if crop.camera != crops[0].camera][:1]
    image = load_data(SIMPLE)[0].query[0]
    with Gallery("memory", model=tiny_run) as gallery:
        gallery.enroll(first)
        for _ in range(2):
            (hits,) = gallery.search(image, top=3, seen_by=first[0].camera)
        assert len(hits) == 3
        assert estimates == [20]
        gallery.enroll(more)
        gallery.search(image, seen_by=first[0].camera)
        assert estimates == [20, len(crops)]
        gallery.store.add([Sighting(camera="new", source="x", vector=gallery.embedder.embed([other[0].image])[0])])
        gallery.search(image, seen_by="new")
        assert estimates == [20, len(crops), len(crops) + 1]


def test_identify_across_cameras_uses_the_calibration_of_normalized_distances(tiny_run, monkeypatch):
    """The same hits as `search`, and probabilities of the calibration for normalized distances."""
    image = load_data(SIMPLE)[0].query[0]
    with Gallery("memory", model=tiny_run) as gallery:
        gallery.enroll(list_data_crops(SIMPLE))
        (found,) = gallery.identify(image, seen_by="c1", at_least=0.0)
        (hits,) = gallery.search(image, top=100, seen_by="c1", where=Filter(labeled=True))
        calibration = gallery.calibration
        expected = identify_hits(
            hits, labels=gallery.store.count_labels(), line=calibration.cameras.identification, at_least=0.0
        )
        assert (found.label, found.probability) == (expected.label, pytest.approx(expected.probability))
        assert found.candidates[0].hit.distance == pytest.approx(hits[0].distance)
        old = dataclasses.replace(calibration, cameras=None)
        monkeypatch.setattr(EmbeddingModel, "calibration", property(lambda _self: old))
        with pytest.raises(GalleryError, match="of an earlier version, without identification; calibr"):
            gallery.identify(image, seen_by="c1")
        assert gallery.identify(image, at_least=0.0)[0].label is not None


def make_large(folder, people=400):
    """A gallery on disk with an inverted file, and its sightings; the best lie in few of its cells."""
    generator = np.random.default_rng(3)
    sightings = make_sightings(people=people)
    store = SqliteStore(folder, GalleryCard(MODEL), user="test", clock=lambda: NOW, exact_below=500)
    store.add([sightings[i] for i in generator.permutation(len(sightings))])
    return store, sightings


def test_cells_near_the_query_in_each_camera_are_learned_from_searches_of_all(tmp_path, monkeypatch):
    """Oracle: the hits of searches of all cells. Later searches read fewer cells, and find nearly all of them."""
    monkeypatch.setattr(near_cells, "PROBES", 1)
    store, sightings = make_large(tmp_path / "gallery")
    with closing(store):
        views, read = CameraViews(store), []
        search = InvertedFile.search

        def count_cells(index, queries, *, cells=None, **options):
            read.append(index.cells if cells is None else cells.shape[1])
            return search(index, queries, cells=cells, **options)

        monkeypatch.setattr(InvertedFile, "search", count_cells)

        def find(sighting):
            (hits,) = search_across(store, views, sighting.vector, seen_by="north", top=5, where=Filter())
            return [hit.id for hit in hits]

        chosen = sightings[: 2 * near_cells.SEARCHES]
        whole = [find(sighting) for sighting in chosen[: near_cells.SEARCHES]]
        cells = store._follower._index.cells
        assert {*read} == {cells}
        read.clear()
        again = [find(sighting) for sighting in chosen[: near_cells.SEARCHES]]
        held_out = [find(sighting) for sighting in chosen[near_cells.SEARCHES :]]
        assert max(read) < cells
        monkeypatch.setattr(near_cells.NearCells, "probes", lambda *_: None)
        whole += [find(sighting) for sighting in chosen[near_cells.SEARCHES :]]
    shared = [len({*a} & {*b}) / 5 for a, b in zip(again + held_out, whole, strict=True)]
    assert np.mean(shared) >= 0.99


def test_a_filter_or_a_long_list_reads_all_cells(tmp_path, monkeypatch):
    """Few cells would miss some of the best of a part; and the list is as long as that of an exact search."""
    store, sightings = make_large(tmp_path / "gallery")
    with closing(store):
        views, proposed = CameraViews(store), store.propose
        parts = []
        monkeypatch.setattr(store, "propose", lambda of, **options: parts.extend(of) or proposed(of, **options))
        for where, top in ((Filter(not_cameras=["north"]), 5), (Filter(), 51), (Filter(), 900)):
            (hits,) = search_across(store, views, sightings[0].vector, seen_by="north", top=top, where=where)
            assert len(hits) == top
        assert all(part.near is None for part in parts)
        monkeypatch.setattr(near_cells.NearCells, "probes", lambda *_: 1)  # one cell has fewer than 200 sightings
        (hits,) = search_across(store, views, sightings[0].vector, seen_by="north", top=50, where=Filter())
        assert len(hits) == 50


def test_the_number_of_cells_is_learned_again_after_growth():
    """By hand: the best are in the nearest and in the third nearest cell of four, so that three are read."""
    centers = np.eye(4, dtype=np.float32)
    index = InvertedFile(centers)
    index.add(np.arange(1, 11), centers[np.arange(10) % 4])
    point = np.array([[0.9, 0.8, 0.7, 0.6]], np.float32)
    learned = near_cells.NearCells()
    for _ in range(near_cells.SEARCHES):
        assert learned.probes(index) is None
        learned.note(index, np.repeat(point, 2, axis=0), centers[[0, 2]])
    assert learned.probes(index) == 4  # PROBES is more than there are cells
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_cells, "PROBES", 1)
        assert learned.probes(index) == 3
        index.add(np.array([11]), centers[:1])
        assert learned.probes(index) == 3
        index.add(np.array([12]), centers[:1])
        assert learned.probes(index) is None
