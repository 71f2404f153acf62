"""A training step waits for nothing on the device.

Oracle: the meta device, whose tensors have no values, so that every read of one by the host is an error.
"""

from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch

from passerby.distributed import Process
from passerby.recipe import load_recipe, recipe_names
from passerby.runs.assemble import training_state, training_steps
from passerby.training.loader import Batch

META = Process(0, 1, torch.device("meta"))


class Batches:
    """Three batches of 4 x 2 empty images an epoch, in place of a loader."""

    sampler = SimpleNamespace(alike=1)

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return 3

    def epoch(self, _epoch, *, start=0):
        for _ in range(start, len(self)):
            labels = torch.arange(4).repeat_interleave(2)
            yield Batch(torch.zeros(8, 3, *self.size), labels, torch.arange(8) % 2, torch.arange(8))


def steps_on_meta(recipe, monkeypatch):
    """Take the two steps of a training that do not read the losses."""
    monkeypatch.setattr(torch, "autocast", lambda *_args, **_options: nullcontext())  # meta has no autocast
    with torch.device("meta"):
        _, state = training_state(recipe, 4, META)
    steps = training_steps(state, Batches(recipe.images.size), recipe, META, SimpleNamespace(samples=[]))
    return [next(steps), next(steps)]


def count_reads(recipe, monkeypatch):
    """Count the numbers that fp16's loss scaler reads in two steps; on the CPU, the loop reads losses otherwise."""
    reads = []
    item = torch.Tensor.item
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor: reads.append(1) or item(tensor))
    cpu = Process(0, 1, torch.device("cpu"))
    _, state = training_state(recipe, 4, cpu)
    steps = training_steps(state, Batches(recipe.images.size), recipe, cpu, SimpleNamespace(samples=[]))
    next(steps)
    next(steps)
    return len(reads)


def shrunk(name, **changes):
    options = {"model": {"pretrained": False, "weights": None}, "batches": {"alike": 1}, "optimizer": {"accumulate": 1}}
    options["training"] = {"precision": "fp32", "compile": False, "ema": None}
    return load_recipe(name).with_changes(**options).with_changes(**changes)


RECIPES = {name: load_recipe(name) for name in reversed(recipe_names())}
METHODS = {recipe.model.method: name for name, recipe in RECIPES.items() if recipe.metric is None}
"""One recipe for each method that is trained by steps."""


@pytest.mark.parametrize("name", [*METHODS.values(), "osnet"])
def test_no_method_reads_a_tensor_in_a_step(name, monkeypatch):
    first, second = steps_on_meta(shrunk(name), monkeypatch)
    assert not first.losses_read
    assert not second.losses_read


@pytest.mark.parametrize("loss", ["circle", "triplet", "contrastive", "supcon", "ranking", "center"])
def test_no_loss_reads_a_tensor_in_a_step(loss, monkeypatch):
    recipe = shrunk("lab-atto", model={"backbone": "test_convnext"}, loss={"circle": None, "supcon": None} | {loss: {}})
    assert len(steps_on_meta(recipe, monkeypatch)) == 2


def test_averaged_weights_read_no_tensor_in_a_step(monkeypatch):
    monkeypatch.setattr(torch, "Generator", Mock())  # meta has none; it rounds averages in bf16 only
    recipe = shrunk("lab-atto", model={"backbone": "test_convnext"}, training={"precision": "fp32", "ema": 0.9})
    assert len(steps_on_meta(recipe, monkeypatch)) == 2


def test_a_read_of_a_tensor_is_found(monkeypatch):
    monkeypatch.setattr("passerby.losses.circle.unit_vectors", lambda vectors: vectors * vectors.sum().item())
    recipe = shrunk("lab-atto", model={"backbone": "test_convnext"}, loss={"circle": {}})
    with pytest.raises(RuntimeError, match="meta"):
        steps_on_meta(recipe, monkeypatch)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_loss_scaler_reads_nothing_where_updates_are_fused(name, monkeypatch):
    tiny = {"backbone": "test_convnext", "parts": 2, "part_dim": 8}
    recipe = shrunk("lab-atto", model=tiny, optimizer={"name": name}, images={"size": [64, 32]})
    recipe = recipe.with_changes(training={"precision": "fp16"})
    assert count_reads(recipe, monkeypatch) > 0
    monkeypatch.setattr("passerby.training.optimizer.FUSED_DEVICES", ("cpu",))
    assert count_reads(recipe, monkeypatch) == 0
