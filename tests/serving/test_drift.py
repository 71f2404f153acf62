"""Drift of a service per camera. Oracle: vectors whose distances are, or are not, those of the reference."""

import asyncio
import threading
from dataclasses import replace

import httpx
import numpy as np
import pytest

from gallery.people import MODEL, unit
from passerby import Client, Gallery
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery
from passerby.openset.calibration import QUANTILES, Calibration, FittedOn
from passerby.openset.identification import Identification
from passerby.serving.app import create_app
from passerby.serving.drift_monitor import FEWEST, MEMORY, DriftMonitor
from passerby.serving.pages.rendering import find_calibration
from passerby.serving.service import GalleryService
from passerby.serving.settings import ServeSettings
from serving import patient
from serving.running import make_gallery, running

FACTS = FittedOn("synth:identities=9", identities=10, images=40, same=60, different=700, trained_on=False)


def make(folder, *, calibrated=True, reference=True, common=0.0):
    """A gallery of 400 random vectors of two cameras, calibrated on such vectors without the common part."""
    vectors = unit(np.random.default_rng(0), 400)
    quantiles = np.quantile((1 - vectors @ vectors.T)[np.triu_indices(400, 1)], np.linspace(0, 1, QUANTILES))
    vectors += common
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    plain = Calibration("logistic", "cosine", [0.0, 1.0], [6.0, -6.0], FACTS, identification=Identification(12.0, 6.0))
    calibration = replace(plain, cameras=plain, reference=quantiles if reference else None)
    model = replace(MODEL, calibration=calibration.to_dict() if calibrated else None)
    store = open_gallery(folder, model=model)
    store.add([Sighting(vector=v, camera=f"cam{n % 2}", id=f"s{n}") for n, v in enumerate(vectors)])
    store.close()


@pytest.mark.parametrize(("common", "low", "high"), [(0.0, 0.0, 0.05), (0.2, 0.5, 1.0)])
def test_a_site_whose_distances_differ_drifts(tmp_path, common, low, high):
    make(tmp_path / "people", common=common)
    queries = unit(np.random.default_rng(1), 200) + common
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    with Gallery(tmp_path / "people") as gallery:
        monitor = DriftMonitor()
        monitor.observe(gallery, queries, ["cam0", "door"] * 100)
        drifts = monitor.read()
    assert {camera: drift.queries for camera, drift in drifts.items()} == {"cam0": 100, "door": 100}
    assert all(low <= drift.drift <= high for drift in drifts.values()), drifts


def test_later_queries_count_more(tmp_path):
    make(tmp_path / "people")
    with Gallery(tmp_path / "people") as gallery:
        monitor = DriftMonitor()
        (stored,) = gallery.store.get(["s0"])
        monitor.observe(gallery, np.repeat(stored.vector[None], 500, axis=0), ["door"] * 500)
        first = monitor.read()["door"].drift
        generator = np.random.default_rng(2)
        for _ in range(4):
            count = int(MEMORY)
            monitor.observe(gallery, unit(generator, count).astype(np.float32), ["door"] * count)
    assert monitor.read()["door"].drift < first / 2


def test_removed_sightings_are_not_compared_any_more(tmp_path):
    make(tmp_path / "people")
    with Gallery(tmp_path / "people") as gallery:
        monitor = DriftMonitor()
        query = unit(np.random.default_rng(2), 1).astype(np.float32)
        monitor.observe(gallery, query, ["door"])
        gallery.forget(ids=[f"s{n}" for n in range(400 - FEWEST + 1)])
        monitor.observe(gallery, query, ["door"])  # fewer are left than are needed
        assert monitor.read()["door"].queries == 1
        assert len(monitor._sample.vectors) == FEWEST - 1


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"calibrated": False}, "the model is not calibrated; run `passerby calibrate`"),
        (
            {"reference": False},
            "the calibration is of an earlier version, without a reference; calibrate the model again",
        ),
    ],
)
def test_without_a_reference_the_reason_is_given(tmp_path, settings, reason):
    make(tmp_path / "people", **settings)
    with running(tmp_path / "people") as address:
        body = {"camera": "door", "vector": unit(np.random.default_rng(2), 1)[0].tolist()}
        assert patient.post(f"{address}/v1/sightings", json=body).status_code == 201
        assert patient.get(f"{address}/v1/stats").json()["drift"] == {
            "reference": None,
            "reason": reason,
            "cameras": {},
        }
        assert "passerby_distance_drift{" not in patient.get(f"{address}/metrics").text


def test_metrics_are_read_while_the_gallery_is_busy(tmp_path):
    make(tmp_path / "people")
    with GalleryService(tmp_path / "people", ServeSettings(queue=64)) as service:
        application = create_app(service)
        gate = threading.Event()

        async def ask():
            waiting = [asyncio.create_task(service.call(lambda gallery: gate.wait(60), user="Ada")) for _ in range(64)]
            await asyncio.sleep(0)
            transport = httpx.ASGITransport(application)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                statuses = [(await http.get(path)).status_code for path in ("/metrics", "/v1/stats", "/healthz")]
            gate.set()
            await asyncio.gather(*waiting)
            return statuses

        assert asyncio.run(ask()) == [200, 503, 200]


def test_the_service_reports_drift_per_camera(tmp_path):
    make(tmp_path / "people")
    vectors = unit(np.random.default_rng(3), 40).tolist()
    with running(tmp_path / "people") as address:
        body = {"vectors": vectors, "seen_by": "cam0"}
        assert patient.post(f"{address}/v1/identify", json=body).status_code == 200
        for vector in vectors[:5]:
            patient.post(f"{address}/v1/sightings", json={"camera": "door", "vector": vector}).raise_for_status()
        drift = patient.get(f"{address}/v1/stats").json()["drift"]
        metrics = patient.get(f"{address}/metrics").text
        with Client(address) as client:
            assert client.stats().sightings == 405
    assert (drift["reference"], drift["reason"]) == ("synth:identities=9", None)
    assert {camera: value["queries"] for camera, value in drift["cameras"].items()} == {"cam0": 40, "door": 5}
    assert drift["cameras"]["cam0"]["drift"] < 0.1
    assert 'passerby_distance_drift_queries{camera="cam0"} 40.0' in metrics


def test_pages_and_review_use_a_later_calibration_of_the_model(tmp_path, monkeypatch):
    """Oracle: the calibration that the model's file has now, not the copy that was made at enrollment."""
    make(tmp_path / "people")
    with GalleryService(tmp_path / "people", ServeSettings()) as service:
        first = asyncio.run(service.call(service.find_review, user="Ada"))
        assert asyncio.run(service.call(service.find_review, user="Ada")) is first
        later = replace(asyncio.run(service.call(find_calibration, user="Ada")), log_ratios=[1.0, -1.0])
        monkeypatch.setattr(Gallery, "calibration", later)
        assert asyncio.run(service.call(find_calibration, user="Ada")) is later
        assert asyncio.run(service.call(service.find_review, user="Ada")) is not first


def test_drawn_sightings_are_those_of_the_gallery(tmp_path):
    sightings = make_gallery(tmp_path / "people", 30)
    store = open_gallery(tmp_path / "people")
    cameras, vectors = store.draw_vectors(10, seed=0)
    every, _ = store.draw_vectors(100, seed=0)
    again, _ = store.draw_vectors(10, seed=0)
    store.close()
    known = {sighting.vector.astype(np.float32).tobytes(): sighting.camera for sighting in sightings}
    assert [known[vector.tobytes()] for vector in vectors] == cameras == again
    assert (len(vectors), len(every)) == (10, 30)
    empty = open_gallery(tmp_path / "empty", model=MODEL)
    assert empty.draw_vectors(10, seed=0)[1].shape == (0, MODEL.dimension)
    empty.close()
