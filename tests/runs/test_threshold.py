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


def test_without_data_it_is_of_the_training_people_and_says_so(tiny_run):
    (found,) = find_threshold(tiny_run, far=0.1, bootstrap=20, device="cpu")
    assert (found.split, found.trained_on, found.identities) == ("train", True, 12)
    vectors = embed(tiny_run, load_data(SIMPLE)[0].train)
    expected = compute_threshold(find_nearest_identities(vectors, vectors), 0.1, bootstrap=20)
    assert found.threshold.threshold == pytest.approx(expected.threshold, abs=1e-5)
    assert found.threshold.gallery_size == 11


def test_data_are_measured_one_by_one_on_their_queries_and_galleries(tiny_run):
    seen = []
    found = find_threshold(
        tiny_run,
        f"{OTHER}+{SIMPLE}",
        far=0.2,
        gallery_size=5,
        bootstrap=20,
        device="cpu",
        progress=lambda _task, *state: seen.append(state[:2]),
    )
    assert [each.data.spec for each in found] == [OTHER, SIMPLE]
    data = found[0].data
    expected = compute_threshold(
        find_nearest_identities(embed(tiny_run, data.query), embed(tiny_run, data.gallery)),
        0.2,
        gallery_size=5,
        bootstrap=20,
    )
    assert found[0].threshold.threshold == pytest.approx(expected.threshold, abs=1e-5)
    assert found[0].threshold.rate == pytest.approx(expected.rate)
    assert (found[0].split, found[0].trained_on, found[0].identities) == ("query and gallery", False, 8)
    total = sum(len(each.data.query) + len(each.data.gallery) for each in found)
    assert seen[-1] == (total, total)
    assert {"data", "split", "trained_on", "far", "gallery_size", "interval", "dir"} - set(found[0].to_dict()) == {
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
