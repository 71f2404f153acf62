import errno
import json
import os

import pytest
import safetensors.torch
import torch
from torch import nn

from passerby.errors import WeightsError, WriteError
from passerby.model.convnext_ap import convnext_ap
from passerby.model.embed import load
from passerby.model.weights import (
    fill,
    find_setting_differences,
    find_weights_file,
    load_state,
    read_tensors,
    save_model,
)
from passerby.runtime.model_manifest import DEFAULT_MODEL, MANIFEST_FORMAT, model_folder, read_manifest

MANIFEST = {"format": MANIFEST_FORMAT, "model": {}, "preprocessing": {}, "identities": 3, "passerby": "9.9"}


def network(out=2):
    return nn.Sequential(nn.Linear(3, out), nn.BatchNorm1d(out))


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_saved_model_is_loaded_equal(tmp_path):
    saved, loaded = network(), network()
    save_model(tmp_path / "new" / "run", saved, MANIFEST)
    load_state(tmp_path / "new" / "run", loaded)
    assert files(tmp_path) == ["manifest.json", "model.safetensors"]
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in saved.state_dict().items())
    assert read_manifest(tmp_path / "new" / "run") == MANIFEST


@pytest.mark.parametrize(
    ("manifest", "model", "found"),
    [
        ({"attention": True, "parts": 4}, {"attention": False, "parts": 6}, {"attention": True}),
        ({"attention": True}, {"attention": True, "instance_norm": 2}, {}),  # from before there was instance_norm
        ({"attention": True, "instance_norm": 2}, {"drop_height": 0.3}, {}),  # another method has neither
        (None, {"attention": True}, {}),  # timm's, with nothing beside them
    ],
)
def test_settings_without_a_tensor_are_compared_by_the_manifest(tmp_path, manifest, model, found):
    """Oracle: by hand; `parts` is left to the shapes."""
    if manifest is not None:
        save_model(tmp_path, network(), MANIFEST | {"model": manifest})
    assert find_setting_differences(tmp_path / "model.safetensors", model) == found


def test_channels_last_weights_are_saved(tmp_path):
    conv = nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)
    save_model(tmp_path, conv, MANIFEST)
    assert torch.equal(read_tensors(tmp_path / "model.safetensors")["weight"], conv.weight)


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("after", [0, 1])
def test_a_full_disk_leaves_the_older_files(tmp_path, monkeypatch, call, after):
    save_model(tmp_path, network(), MANIFEST)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    real, calls = getattr(os, call), []

    def full(*arguments):
        calls.append(arguments)
        if len(calls) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(os, call, full)
    with pytest.raises(WriteError, match=r"(model.safetensors|manifest.json): not saved \(No space left on device\)"):
        save_model(tmp_path, network(out=5), {**MANIFEST, "identities": 4})
    assert sorted(before) == sorted(tmp_path.iterdir())
    if call == "fsync":
        assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "not a run or a saved model; expected a folder with manifest.json"),
        ("{", "not readable as JSON"),
        ("[1]", "not a manifest of passerby"),
        ('{"a": 1}', "not a manifest of passerby"),
        (json.dumps({**MANIFEST, "format": 99}), r"format 99, this version reads 2; install .* \(9.9\)"),
        (json.dumps({**MANIFEST, "format": 1}), r"format 1, this version reads 2; convert it with `passerby model upg"),
        (json.dumps({"format": 2, "model": {}}), "lacks preprocessing, identities"),
    ],
)
def test_a_manifest_that_is_none_is_named(tmp_path, text, message):
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(WeightsError, match=message):
        read_manifest(tmp_path)


def test_a_manifest_that_is_not_text_is_named(tmp_path):
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WeightsError, match="not readable as JSON"):
        read_manifest(tmp_path)


def test_a_pickle_is_refused_unopened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "executed"),))

    for name, zipped in (("new.pth", True), ("old.pth", False)):
        torch.save({"bomb": Bomb()}, tmp_path / name, _use_new_zipfile_serialization=zipped)
        with pytest.raises(WeightsError, match=rf"{name}: a pickle.*save_file\(torch.load\(FILE, weights_only=True\)"):
            read_tensors(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_a_damaged_or_missing_file_is_named(tmp_path):
    safetensors.torch.save_file({"a": torch.ones(100)}, tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-50])
    (tmp_path / "empty.safetensors").touch()
    for name in ("cut", "empty"):
        with pytest.raises(WeightsError, match=f"{name}.safetensors: not a complete safetensors file"):
            read_tensors(tmp_path / f"{name}.safetensors")
    with pytest.raises(WeightsError, match=r"none.safetensors: no such file"):
        read_tensors(tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match=r"model.safetensors is missing; if the training was stopped, resume"):
        load_state(tmp_path, network())


def test_another_architecture_is_named_and_changes_nothing():
    target = network()
    before = {key: value.clone() for key, value in target.state_dict().items()}
    tensors = {**network(out=4).state_dict(), "extra": torch.ones(1), "more": torch.ones(1)}
    del tensors["1.bias"], tensors["1.running_var"]
    with pytest.raises(WeightsError) as caught:
        fill(target, tensors, source="x.safetensors")
    message = str(caught.value)
    assert "x.safetensors" in message
    assert "2 missing: 1.bias, 1.running_var" in message
    assert "2 unexpected: extra, more" in message
    assert "4 mis-shaped: 0.weight is (4, 3), expected (2, 3)" in message
    assert ", ..." in message
    assert all(torch.equal(value, before[key]) for key, value in target.state_dict().items())


def test_tensors_under_an_ignored_name_are_left_out():
    fill(network(), {**network().state_dict(), "head.fc.weight": torch.ones(1)}, source="x", ignore=("head.",))
    with pytest.raises(WeightsError, match=r"1 unexpected: head.fc.weight"):
        fill(network(), {**network().state_dict(), "head.fc.weight": torch.ones(1)}, source="x")


def test_an_installation_without_a_default_model_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr("passerby.runtime.model_manifest.DEFAULT_MODEL", tmp_path)
    for load_default in (load, lambda: load("default"), lambda: convnext_ap("test_convnext", weights="default")):
        with pytest.raises(
            WeightsError, match="default model: this installation has none; build it in a checkout with"
        ):
            load_default()


def test_weights_are_a_file_a_run_or_the_default_model(tmp_path):
    file = tmp_path / "a.safetensors"
    assert find_weights_file(None) is None
    assert find_weights_file(str(file)) == file
    assert find_weights_file(tmp_path) == tmp_path / "model.safetensors"
    assert find_weights_file("default") == DEFAULT_MODEL / "model.safetensors"
    assert model_folder("default") == DEFAULT_MODEL


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_weights_of_a_wrapped_network_are_loaded(tmp_path, prefix):
    """DataParallel and torch.compile add a prefix to all names. Oracle: the network that was wrapped."""
    first, second = network(), network()
    state = {f"{prefix}{name}": value.contiguous() for name, value in first.state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "wrapped.safetensors")
    load_state(tmp_path / "wrapped.safetensors", second)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
