"""Oracle: the state that was saved, bit for bit."""

import errno
import json
import os

import pytest
import torch
from safetensors.torch import save_file

from conftest import SIMPLE, tiny_recipe
from passerby.data.datasets import load_data
from passerby.data.training_set import join_training
from passerby.distributed import Process
from passerby.errors import WeightsError, WriteError
from passerby.runs.assemble import training_loader, training_state, training_steps
from passerby.training.checkpoint import load_checkpoint, save_checkpoint

ALONE = Process(0, 1, torch.device("cpu"))


def state_of(*overrides, identities=12):
    return training_state(tiny_recipe(*overrides), identities, ALONE)[1]


@pytest.fixture(scope="module")
def stepped():
    """A state after two steps, with averaged weights."""
    recipe = tiny_recipe("training.ema=0.9")
    people = join_training(load_data(SIMPLE))
    _, state = training_state(recipe, people.identities, ALONE)
    steps = training_steps(state, training_loader(recipe, people, ALONE), recipe, ALONE, people)
    next(steps)
    next(steps)
    return state


def test_everything_comes_back(stepped, tmp_path):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, stepped)
    other = state_of("training.ema=0.9", "training.seed=7")
    load_checkpoint(path, other)
    assert other.step == stepped.step == 2
    for saved, loaded in (
        (stepped.network.state_dict(), other.network.state_dict()),
        (stepped.ema.module.state_dict(), other.ema.module.state_dict()),
    ):
        assert saved.keys() == loaded.keys()
        assert all(torch.equal(value, loaded[key]) for key, value in saved.items())
    before, after = stepped.optimizer.state_dict()["state"], other.optimizer.state_dict()["state"]
    assert before.keys() == after.keys()
    assert len(before) > 10
    for index, values in before.items():
        assert all(torch.equal(value, after[index][key]) for key, value in values.items())


def test_the_loss_scale_of_fp16_comes_back(tmp_path):
    """Oracle: a scale that no fresh scaler has."""
    state, other = state_of(), state_of()
    for each, scale in ((state, 123.0), (other, 7.0)):
        each.scaler = torch.amp.GradScaler("cpu", enabled=True, init_scale=scale)
    save_checkpoint(tmp_path / "a.safetensors", state)
    load_checkpoint(tmp_path / "a.safetensors", other)
    assert other.scaler.get_scale() == 123.0


@pytest.mark.parametrize("change", ["model.parts=3", "model.backbone=test_convnext2"])
def test_another_architecture_is_named_and_nothing_is_loaded(stepped, tmp_path, change):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, stepped)
    other = state_of("training.ema=0.9", change)
    before = {key: value.clone() for key, value in other.network.state_dict().items()}
    with pytest.raises(WeightsError, match=r"last\.safetensors.*another architecture.*(missing|unexpected|mis-shaped)"):
        load_checkpoint(path, other)
    assert all(torch.equal(value, other.network.state_dict()[key]) for key, value in before.items())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "not a checkpoint"),
        (lambda path: path.write_bytes(b""), "not a checkpoint"),
        (lambda path: save_file({"x": torch.zeros(1)}, path), "not a checkpoint"),
        (
            lambda path: save_file({"x": torch.zeros(1)}, path, metadata={"passerby": json.dumps({"format": 99})}),
            "format 99.*reads 1",
        ),
    ],
)
def test_a_file_that_is_no_checkpoint_is_named(stepped, tmp_path, spoil, message):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, stepped)
    spoil(path)
    with pytest.raises(WeightsError, match=f"last.safetensors.*{message}"):
        load_checkpoint(path, state_of("training.ema=0.9"))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_older_checkpoint(stepped, tmp_path, monkeypatch, call):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, stepped)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(WriteError, match=r"last\.safetensors: not saved \(No space left on device\)"):
            save_checkpoint(path, state_of())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["last.safetensors"]
