"""Import through the public function and the command line. Oracle: the checkpoint's tensors and golden vectors."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import passerby
from importers.peer_files import assert_same_vectors, peer_state, write
from passerby.files import read_json

CASE = ("torchreid", "osnet_x0_25")
SIZE = (64, 32)


@pytest.fixture(scope="module")
def state():
    return peer_state(*CASE)


def test_wrappers_of_a_training_are_removed(state, tmp_path):
    """As Torchreid saves it: DataParallel's prefix, the optimizer, and Rank-1 as a number of NumPy."""
    tree = {
        "state_dict": {f"module.{name}": value for name, value in state.items()},
        "epoch": 60,
        "rank1": np.float64(0.95),
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
    }
    torch.save(tree, tmp_path / "model.pth.tar-60")
    model = passerby.import_model(tmp_path / "model.pth.tar-60", tmp_path / "run", size=SIZE)
    assert model.keys == ("state_dict",)
    assert_same_vectors(*CASE, tmp_path / "run", size=SIZE)


def test_a_checkpoint_of_torchs_first_format_and_without_counters(state, tmp_path):
    old = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    passerby.import_model(tmp_path / "a.pth", tmp_path / "run", size=SIZE)
    assert_same_vectors(*CASE, tmp_path / "run", size=SIZE)


def test_half_precision_becomes_float32(state, tmp_path):
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    passerby.import_model(write(half, tmp_path / "a.safetensors"), tmp_path / "run")
    tensors = load_file(tmp_path / "run" / "model.safetensors")
    stem = tensors["backbone.net.stem.0.0.weight"]
    assert stem.dtype == torch.float32
    assert torch.equal(stem, state["conv1.conv.weight"].half().float())


def test_the_manifest_records_the_source(state, tmp_path):
    path = write(state, tmp_path / "a.safetensors")
    model = passerby.import_model(path, tmp_path / "run")
    manifest = read_json(tmp_path / "run" / "manifest.json")
    assert manifest["imported"]["file"] == "a.safetensors"
    assert manifest["imported"]["sha256"] == model.sha256
    assert manifest["imported"]["family"] == "torchreid"
    assert manifest["imported"]["interpolation"] == "bilinear"
    assert manifest["preprocessing"] == {
        "size": [256, 128],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    assert json.loads(json.dumps(model.to_dict()))["width"] == 512


def test_preprocessing_can_be_changed(state, tmp_path):
    path = write(state, tmp_path / "a.safetensors")
    passerby.import_model(path, tmp_path / "run", size=(128, 64), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    embedder = passerby.load(tmp_path / "run", device="cpu")
    assert embedder.preprocessing.size == (128, 64)
    assert embedder.preprocessing.mean == (0.5, 0.5, 0.5)
    assert embedder.preprocessing.std == (0.25, 0.25, 0.25)


def test_boxmot_is_another_name_of_torchreid(state, tmp_path):
    path = write(state, tmp_path / "osnet_x0_25_msmt17.safetensors")
    assert passerby.import_model(path, tmp_path / "run", family="boxmot").family == "torchreid"
