"""A threshold of a run. Oracle: `compute_threshold` of the loaded model's own vectors."""

import numpy as np
import pytest

import passerby
from conftest import SIMPLE
from passerby.data.datasets import load_data
from passerby.errors import DataError
from passerby.openset.nearest_identities import find_nearest_identities
from passerby.openset.thresholds import compute_threshold
from passerby.runs.threshold import find_threshold
from passerby.types import Embeddings

OTHER = "synth:identities=16,cameras=2,images=2,seed=9"


def embed(run, samples):
    ids = (np.array([getattr(sample, name) for sample in samples]) for name in ("person_id", "camera_id"))
    return Embeddings(passerby.load(run).embed(samples), *ids)


def test_threshold_without_data_is_marked_trained_on(tiny_run):
    (result,) = find_threshold(tiny_run, far=0.1, bootstrap=20, device="cpu")
    assert (result.split, result.trained_on, result.identities) == ("train", True, 12)
    vectors = embed(tiny_run, load_data(SIMPLE)[0].train)
    expected = compute_threshold(find_nearest_identities(vectors, vectors), 0.1, bootstrap=20)
    assert result.threshold.threshold == pytest.approx(expected.threshold, abs=1e-5)
    assert result.threshold.gallery_size == 11


def test_each_data_set_has_its_own_threshold(tiny_run):
    seen = []
    results = find_threshold(
        tiny_run,
        f"{OTHER}+{SIMPLE}",
        far=0.2,
        gallery_size=5,
        bootstrap=20,
        device="cpu",
        progress=lambda _task, *state: seen.append(state[:2]),
    )
    assert [result.data.spec for result in results] == [OTHER, SIMPLE]
    data = results[0].data
    expected = compute_threshold(
        find_nearest_identities(embed(tiny_run, data.query), embed(tiny_run, data.gallery)),
        0.2,
        gallery_size=5,
        bootstrap=20,
    )
    assert results[0].threshold.threshold == pytest.approx(expected.threshold, abs=1e-5)
    assert results[0].threshold.rate == pytest.approx(expected.rate)
    assert (results[0].split, results[0].trained_on, results[0].identities) == ("query and gallery", False, 8)
    total = sum(len(result.data.query) + len(result.data.gallery) for result in results)
    assert seen[-1] == (total, total)
    assert {"data", "split", "trained_on", "far", "gallery_size", "interval", "dir"} - set(results[0].to_dict()) == {
        "dir"
    }


def test_data_without_queries_are_refused(tiny_run, tmp_path):
    source = sorted((load_data(SIMPLE)[0].root / "bounding_box_train").glob("*.jpg"))
    for path in source:
        folder = tmp_path / "people" / "train" / path.name.split("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="has no query or no gallery split"):
        find_threshold(tiny_run, f"folder:{tmp_path / 'people'}?camera=market", far=0.1, device="cpu")
