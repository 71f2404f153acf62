"""The model that comes with the package. Oracle: its manifest and card, and rendered people whom it never saw."""

import json

import numpy as np

import passerby
from conftest import SIMPLE
from passerby.model.weights import DEFAULT_MODEL, read_tensors
from passerby.types import Embeddings


def test_the_shipped_model_is_small_and_trained_on_rendered_people():
    manifest = json.loads((DEFAULT_MODEL / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["data"].startswith("synth:")
    assert (manifest["initial_weights"], manifest["model"]["pretrained"]) == ("random", False)
    assert sum(file.stat().st_size for file in DEFAULT_MODEL.iterdir()) < 10_000_000
    card = (DEFAULT_MODEL / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert manifest["data"] in card
    assert manifest["whitening"] in card
    assert "skin tone" in card
    assert not [key for key in read_tensors(DEFAULT_MODEL / "model.safetensors") if "classifier" in key]


def test_the_shipped_model_retrieves_unseen_rendered_people():
    """People of another seed, 24 queries of 12 people: far above chance (about one in 12), with room for a bad day."""
    (data,) = passerby.load_data(SIMPLE)
    model = passerby.load()

    def embedded(samples):
        people, cameras = (np.array([getattr(each, name) for each in samples]) for name in ("person_id", "camera_id"))
        return Embeddings(model.embed(samples), people, cameras)

    scores = passerby.score(embedded(data.query), embedded(data.gallery))
    assert scores.rank1 > 0.5


def test_its_calibration_is_of_identities_outside_its_training():
    calibration = passerby.load_calibration(DEFAULT_MODEL)
    assert not calibration.fitted_on.trained_on
    assert calibration.probability(0.05) > 0.9
    assert calibration.probability(1.0) < 0.1
