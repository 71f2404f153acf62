"""A calibration of a run. Oracles: distances of the loaded model, pair by pair; the file itself."""

import json
import re
import shutil

import numpy as np
import pytest

import passerby
from conftest import SIMPLE, tiny_recipe
from passerby.data.datasets import load_data
from passerby.data.fingerprint import fingerprint
from passerby.errors import WeightsError
from passerby.evaluation.pair_histogram import count_pairs
from passerby.openset.fitting import fit_calibration
from passerby.ranking.camera_normalization import standardize_cameras
from passerby.runs.calibrate import calibrate, load_calibration, was_trained_on
from passerby.runs.draw import draw_identities
from passerby.runs.train import train
from passerby.runtime.model_manifest import DEFAULT_MODEL
from passerby.types import Embeddings

OTHER = "synth:identities=16,cameras=2,images=2,seed=9"


@pytest.fixture
def run(tiny_run, tmp_path):
    """A finished run that may be written to, not calibrated."""
    shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("plots", "calibration.json"))
    return tmp_path / "run"


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_calibration_of_training_images_is_written_and_loaded(run, method):
    seen = []
    calibration = calibrate(run, method=method, device="cpu", progress=lambda _task, *state: seen.append(state[:2]))
    train = load_data(SIMPLE)[0].train
    pairs = [(a, b) for i, a in enumerate(train) for b in train[:i] if a.camera_id != b.camera_id]
    same = sum(a.person_id == b.person_id for a, b in pairs)
    facts = calibration.fitted_on
    assert (facts.data, facts.identities, facts.images, facts.trained_on) == (SIMPLE, 12, len(train), True)
    assert (facts.same, facts.different) == (same, len(pairs) - same)
    assert seen[-1] == (len(train), len(train))

    back = load_calibration(run)
    distances = 1 - np.float32(np.prod(passerby.load(run).embed(train[:2]).astype(np.float64), axis=0).sum())
    assert back.probability(distances) == calibration.probability(distances)
    assert back.fitted_on == facts
    normalized = standardize_cameras(
        Embeddings(
            passerby.load(run).embed(train),
            np.array([s.person_id for s in train]),
            np.array([s.camera_id for s in train]),
        )
    )
    expected = fit_calibration(count_pairs(normalized, normalized), facts, method=method)
    at = np.linspace(0, 2, 9)
    np.testing.assert_allclose(back.cameras.log_ratio(at), expected.log_ratio(at), atol=1e-6)
    assert 0 < calibration.probability(distances, prior=0.1) < calibration.probability(distances, prior=0.9) < 1


def test_folders_with_the_same_title_have_different_fingerprints(tiny_run, tmp_path):
    """A run on one folder was not trained on another one. Oracle: the images that were copied into each."""
    embedder = passerby.load(tiny_run, device="cpu")
    (data,) = load_data(SIMPLE)
    folders = []
    for name, samples in (("a", data.train[:24]), ("b", data.train[24:])):
        for sample in samples:
            folder = tmp_path / name / "people" / "train" / f"{sample.person_id}"
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(sample.path, folder)
        folders += load_data(f"folder:{tmp_path / name / 'people'}?camera=market")
    first, second = folders
    assert first.title == second.title
    embedder.manifest = {"titles": [first.title], "fingerprints": [fingerprint([first])]}
    assert [was_trained_on(embedder, folder) for folder in folders] == [True, False]
    embedder.manifest = {"titles": [first.title], "fingerprints": None}  # upgraded without its data
    assert was_trained_on(embedder, second)


def test_training_calibrates_the_model_in_memory(tmp_path, monkeypatch):
    """Oracle: the calibration of the saved model; nothing is loaded from the disk."""

    def refuse(*_arguments, **_options):
        raise AssertionError("the model was loaded")

    with monkeypatch.context() as patch:
        for name in ("load", "load_run_data"):
            patch.setattr(f"passerby.runs.calibrate.{name}", refuse)
        train(tiny_recipe("schedule.epochs=2"), SIMPLE, tmp_path / "run", device="cpu")
    trained = load_calibration(tmp_path / "run")
    again = calibrate(tmp_path / "run", device="cpu")
    assert again.fitted_on == trained.fitted_on
    distances = np.linspace(0, 2, 9)
    np.testing.assert_allclose(again.log_ratio(distances), trained.log_ratio(distances), rtol=1e-3)


def test_the_default_model_is_not_written_to():
    message = f"default: the folder of the default model is not written to; copy {DEFAULT_MODEL} and calibrate the copy"
    with pytest.raises(WeightsError, match=re.escape(message)):
        calibrate("default", device="cpu")
    assert load_calibration("default").method == "logistic"


def test_calibration_on_other_data_is_not_marked_trained_on(run):
    fitted_on = calibrate(run, f"{OTHER}+{SIMPLE.replace('seed=0', 'seed=3')}", device="cpu").fitted_on
    assert not fitted_on.trained_on
    assert fitted_on.identities == 20
    assert calibrate(run, f"{OTHER}+{SIMPLE}", device="cpu").fitted_on.trained_on


def test_image_limit_draws_all_images_of_random_identities():
    data = load_data(SIMPLE)[0]
    draws = [draw_identities(data, 13, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert len(draws[0]) == 12
    assert all(sum(s.person_id == person for s in draws[0]) == 4 for person in {s.person_id for s in draws[0]})
    assert len({s.person_id for s in draw_identities(data, 1, np.random.default_rng(0))}) == 2
    assert len(draw_identities(data, 10**6, np.random.default_rng(0))) == len(data.train)


def test_unusable_input_is_named_and_nothing_is_written(run, tmp_path):
    with pytest.raises(ValueError, match="images: got 0"):
        calibrate(run, images=0, device="cpu")
    with pytest.raises(ValueError, match=r"calibration\.json: no such file; make it with passerby\.calibrate"):
        load_calibration(run)
    (run / "calibration.json").write_text("{")
    with pytest.raises(ValueError, match=r"calibration\.json: Expecting"):
        load_calibration(run)
    (run / "calibration.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(ValueError, match=r"run/calibration\.json: calibration: file lacks method"):
        load_calibration(run)
    with pytest.raises(ValueError, match="not a run or a saved model"):
        calibrate(tmp_path)
