"""Networks inside the module that trained them, as PyTorch Lightning saves it. Oracle: golden vectors."""

import re

import pytest
import torch

import passerby
from importers.peer_files import assert_same_vectors, peer_state, write
from passerby.errors import WeightsError
from passerby.importers.read_checkpoint import Checkpoint
from passerby.importers.recognize import unwrap_network
from passerby.model.weights import strip_wrappers

CASE = ("torchreid", "osnet_x0_25")
SIZE = (64, 32)


@pytest.fixture(scope="module")
def state():
    return peer_state(*CASE)


def checkpoint(state, prefix, **others):
    """Entries of a checkpoint of Lightning's `Trainer`, whose module has the network, a loss and others."""
    tensors = {f"{prefix}{name}": value for name, value in state.items()}
    return {
        "epoch": 3,
        "global_step": 120,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**tensors, **others},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4, "completed": 3}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'mAP'}": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 3e-4, "arch": "osnet_x0_25"},
    }


@pytest.mark.parametrize("prefix", ["model.", "_orig_mod.net._orig_mod."])
def test_a_network_in_a_lightning_module(state, tmp_path, prefix):
    torch.save(checkpoint(state, prefix), tmp_path / "last.ckpt")
    model = passerby.import_model(tmp_path / "last.ckpt", tmp_path / "run", size=SIZE)
    assert model.family == "torchreid"
    assert model.keys == ("state_dict",)
    assert_same_vectors(*CASE, tmp_path / "run", size=SIZE)


@pytest.mark.parametrize("outer", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("attribute", ["model.", "net.", "network."])
@pytest.mark.parametrize("inner", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_removed_on_both_sides_of_the_attribute(state, outer, attribute, inner):
    """`module.` is DataParallel's, `_orig_mod.` torch.compile's."""
    saved = {f"{outer}{attribute}{inner}{name}": value for name, value in state.items()}
    network = unwrap_network(Checkpoint(dict(strip_wrappers(saved))), family=None)
    assert network.tensors == state
    assert network.outside == ()


def test_tensors_beside_the_network_are_listed_as_not_used(state, tmp_path):
    tree = checkpoint(state, "model.", **{"criterion.centers": torch.zeros(4, 512), "metric.total": torch.tensor(0)})
    torch.save(tree, tmp_path / "last.ckpt")
    model = passerby.import_model(tmp_path / "last.ckpt", tmp_path / "run", size=SIZE)
    assert {"criterion.centers", "metric.total"} <= set(model.dropped)
    assert_same_vectors(*CASE, tmp_path / "run", size=SIZE)


def test_the_family_may_be_named(state, tmp_path):
    path = write({f"model.{name}": value for name, value in state.items()}, tmp_path / "a.safetensors")
    assert passerby.import_model(path, tmp_path / "run", family="boxmot", size=SIZE).family == "torchreid"
    with pytest.raises(WeightsError, match="not a network of FastReID"):
        passerby.import_model(path, tmp_path / "other", family="fastreid")


@pytest.mark.parametrize("prefix", ["", "model."])
def test_the_names_of_a_family_that_begin_with_model_are_tried_first(prefix):
    """layumi's `ft_net` calls its ResNet `model`; inside a module of Lightning it is `model.model`."""
    state = peer_state("layumi", "ft_net")
    network = unwrap_network(Checkpoint({f"{prefix}{name}": value for name, value in state.items()}), family=None)
    assert network.tensors.keys() == state.keys()


def test_a_missing_tensor_of_a_wrapped_network_is_named(state, tmp_path):
    few = {name: value for name, value in state.items() if name != "conv5.bn.weight"}
    torch.save(checkpoint(few, "model."), tmp_path / "last.ckpt")
    with pytest.raises(WeightsError, match=re.escape("1 missing: ")):
        passerby.import_model(tmp_path / "last.ckpt", tmp_path / "run")


def test_an_unknown_wrapped_network_is_described_by_its_own_names(tmp_path):
    path = write({"model.a.weight": torch.zeros(3, 2), "model.b": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=re.escape("an unknown network; it has 2 tensors: model.a.weight 3x2")):
        passerby.import_model(path, tmp_path / "run")
