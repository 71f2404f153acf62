"""Models of other toolkits as the start. Oracles: maps applied to embeddings, batch statistics by a loop, messages."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import passerby
from adaptation.drawn_site import adapt, draw_site
from importers.peer_files import peer_state, write
from passerby.adaptation import norms
from passerby.adaptation.norms import draw_camera_batches, estimate_norms, find_batch_norms
from passerby.adaptation.site import Site
from passerby.adaptation.start_model import StartModel, load_start
from passerby.errors import WeightsError
from passerby.importers.file_models import import_file_model
from passerby.metric.part_maps import apply_maps, split_parts
from passerby.recipe import load_recipe
from passerby.runtime.model_fingerprint import fingerprint_model, fingerprint_weights
from runtime.small_networks import save_color_grid

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return draw_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def file_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("file")
    save_color_grid(folder / "grid.onnx", size=(64, 32), cell=8)
    import_file_model(folder / "grid.onnx", folder / "run", mean=MEAN, std=STD)
    return folder / "run"


@pytest.fixture(scope="module")
def adapted_file(site, file_run, tmp_path_factory):
    return adapt(tmp_path_factory.mktemp("adapted") / "run", site, file_run, passes=1)


def test_an_onnx_file_is_adapted_by_a_map_of_its_embedding(adapted_file, file_run, site):
    notes = {rung.name: rung.note for rung in adapted_file.rungs}
    assert notes["norms"] == notes["finetune"] == "not applicable: the weights of an ONNX or OpenVINO file are fixed"
    assert adapted_file.helped, adapted_file.rungs
    folder = adapted_file.folder
    assert (folder / "model.onnx").read_bytes() == (file_run / "model.onnx").read_bytes()
    paths = sorted(site.rglob("*.png"))[:6]
    linear = np.load(folder / "map.npy")
    expected = apply_maps(split_parts(passerby.load(file_run).embed(paths, flip=False), 1), linear[None])
    np.testing.assert_allclose(passerby.load(folder).embed(paths, flip=False), expected[:, 0], atol=2e-5)


def test_an_adapted_file_is_another_model_for_galleries(adapted_file, file_run):
    before, after = passerby.load(file_run), passerby.load(adapted_file.folder)
    assert fingerprint_weights(before) != fingerprint_weights(after)
    assert fingerprint_model(before) != fingerprint_model(after)


def test_maps_of_a_file_that_was_adapted_are_joined(adapted_file, site):
    start = load_start(adapted_file.folder, device="cpu")
    paths = sorted(site.rglob("*.png"))[:4]
    before = start.embedder.embed(paths, flip=False)
    width = before.shape[1]
    second = np.random.default_rng(0).normal(size=(1, width, width))
    start.apply_maps(second)
    expected = apply_maps(split_parts(before, 1), second)[:, 0]
    np.testing.assert_allclose(start.embedder.embed(paths, flip=False), expected, atol=1e-4)


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_map_is_named(adapted_file, tmp_path, damage):
    import shutil

    run = shutil.copytree(adapted_file.folder, tmp_path / "run")
    content = (run / "map.npy").read_bytes()
    (run / "map.npy").unlink()
    if damage != "missing":
        (run / "map.npy").write_bytes(content[:100] if damage == "cut" else bytes(len(content)))
    with pytest.raises(WeightsError, match=r"map\.npy: cannot be read .*; copy the whole run again"):
        passerby.load(run)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("grid.onnx", "or of an imported model, or default; import it: `passerby model import .*grid.onnx"),
        ("nowhere.onnx", "or of an imported model, or default; name another one"),
        ("nowhere", "not a run or a saved model"),
    ],
)
def test_a_file_in_place_of_a_folder_is_named(name, message, tmp_path):
    (tmp_path / "grid.onnx").touch()
    with pytest.raises(WeightsError, match=message):
        load_start(tmp_path / name, device="cpu")


def test_a_checkpoint_of_torchreid_is_adapted_by_its_batch_norms_and_by_fine_tuning(site, tmp_path, monkeypatch):
    """Its embedding ends in a ReLU. Whatever is gained, fine-tuning is chosen here."""
    monkeypatch.setattr("passerby.adaptation.ladder.ERRORS", -1e9)
    monkeypatch.setattr("passerby.adaptation.ladder.RENDERED_KEPT", 0.0)
    path = write(peer_state("torchreid", "osnet_x0_25"), tmp_path / "osnet.safetensors")
    passerby.import_model(path, tmp_path / "osnet", size=(64, 32))
    result = adapt(tmp_path / "run", site, tmp_path / "osnet", passes=1)
    rungs = {rung.name: rung for rung in result.rungs}
    assert rungs["norms"].gain is not None
    assert "maps cannot be folded into it" in rungs["wccn"].note
    assert result.chosen == "finetune"
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["imported"]["family"] == "torchreid"
    assert np.isfinite(passerby.load(tmp_path / "run", device="cpu").embed(sorted(site.rglob("*.png"))[:2])).all()


def test_statistics_are_the_mean_of_those_of_the_cameras(monkeypatch):
    """Oracle: mean and variance of the input of the norm for each camera, computed by NumPy."""
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(3)).eval()
    rng = np.random.default_rng(0)
    cameras = np.repeat([0, 1], [30, 10])
    pixels = rng.integers(0, 255, (40, 4, 2, 3), np.uint8)
    pixels[30:] //= 4
    site = Site("drawn", pixels, ("a", "b"), cameras, cameras, cameras, ())

    def normalize(crops):
        return torch.from_numpy(crops).permute(0, 3, 1, 2).float()

    estimate_norms(network, site, normalize=normalize, seed=0)
    parts = [pixels[cameras == camera].reshape(-1, 3).astype(float) for camera in (0, 1)]
    norm = network[1]
    np.testing.assert_allclose(norm.running_mean, np.mean([part.mean(axis=0) for part in parts], axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        norm.running_var, np.mean([part.var(axis=0, ddof=1) for part in parts], axis=0), rtol=1e-5
    )
    assert not norm.training
    assert norm.momentum == 0.1


def test_cameras_have_as_many_batches_as_each_other(monkeypatch):
    monkeypatch.setattr(norms, "BATCH", 4)
    cameras = np.repeat([0, 1, 2], [10, 3, 1])
    batches = draw_camera_batches(cameras, seed=1)
    assert [int(cameras[batch[0]]) for batch in batches] == [0, 1, 2] * 3
    assert [len(batch) for batch in batches] == [4, 3, 1] * 3
    assert all(len(set(cameras[batch])) == 1 for batch in batches)
    assert len(draw_camera_batches(np.zeros(10_000, np.int64), seed=0)) == norms.BATCHES


def test_norms_without_running_statistics_are_not_counted():
    network = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False), nn.LayerNorm(2))
    assert find_batch_norms(network) == [network[0]]


def test_a_network_without_batch_norms_is_named(site, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(norms, "find_batch_norms", lambda _: [])
    result = adapt(tmp_path / "run", site, tiny_run)
    assert result.rungs[0].note == "not applicable: the network has no batch norms with running statistics"


def test_the_statistics_are_written_if_they_are_the_best(site, tiny_run, tmp_path, monkeypatch):
    """The maps are taken away and every gain is accepted."""
    monkeypatch.setattr("passerby.adaptation.adapt.find_obstacle", lambda _: "it is a test")
    monkeypatch.setattr("passerby.adaptation.ladder.ERRORS", -1e9)
    result = adapt(tmp_path / "run", site, tiny_run)
    assert result.chosen == "norms"
    before, after = (passerby.load(run, device="cpu").network.state_dict() for run in (tiny_run, tmp_path / "run"))
    changed = {name.rpartition(".")[2] for name in after if not torch.equal(before[name], after[name])}
    assert changed == {"running_mean", "running_var", "num_batches_tracked"}


def test_passes_of_a_cbn_model_are_refused_before_the_crops_are_read(tmp_path, monkeypatch):
    """The crops do not exist, so that a later check would name them."""
    manifest = {"model": {"method": "cbn"}}
    start = StartModel("runs/cbn", tmp_path, SimpleNamespace(manifest=manifest), load_recipe("cbn"), trainable=True)
    monkeypatch.setattr("passerby.adaptation.sources.load_start", lambda *_args, **_options: start)
    with pytest.raises(WeightsError, match="runs/cbn: passes=2: its method cbn trains on batches with cameras"):
        passerby.adapt(tmp_path / "out", data="folder:nothing?labels=none", passes=2)
