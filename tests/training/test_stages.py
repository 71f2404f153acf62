"""A training in stages. Oracles: what must not move does not, an unbroken run, and the definition of each stage."""

from functools import partial

import pytest
import torch

from conftest import SIMPLE, STAGED, tiny_recipe
from passerby.data.datasets import load_data
from passerby.data.training_set import join_training
from passerby.distributed import Process
from passerby.model.convnext_ap import convnext_ap
from passerby.model.methods import build_model
from passerby.runs.arguments import build_losses, build_stages
from passerby.runs.assemble import training_loader, training_state, training_steps
from passerby.training.checkpoint import load_checkpoint, read_stage, save_checkpoint
from passerby.training.optimizer import build_optimizer
from passerby.training.stages import PIECES, Stage, enter_stage, frozen_modules, set_stage

ALONE = Process(0, 1, torch.device("cpu"))
PER_STAGE = 6
RATES = {"epochs": 1, "warmup_epochs": 0, "lr_init": 0.0, "lr_max": 1.0, "lr_min": 0.0}


@pytest.fixture(scope="module")
def people():
    return join_training(load_data(SIMPLE))


def begin(recipe, people, *, path=None):
    """State and the generator of steps, from a checkpoint when there is one, as a run does it."""
    _, state = training_state(recipe, people.identities, ALONE, stage=0 if path is None else read_stage(path))
    if path is not None:
        load_checkpoint(path, state)
    return state, training_steps(state, training_loader(recipe, people, ALONE), recipe, ALONE, people)


def snapshot(network):
    """Every parameter and buffer, batch norms' statistics among them."""
    return {key: value.clone() for key, value in network.state_dict().items()}


def moved(before, after):
    return {key for key, value in before.items() if not torch.equal(value, after[key])}


@pytest.fixture(scope="module")
def unbroken(people, tmp_path_factory):
    """A whole training with averaged weights: what each step said, snapshots at the stages' ends, checkpoints."""
    folder = tmp_path_factory.mktemp("stages")
    state, steps = begin(tiny_recipe(*STAGED, "training.ema=0.9"), people)
    told, ends = [], [snapshot(state.network)]
    for step in steps:
        told.append(step)
        save_checkpoint(folder / f"{step.step}.safetensors", state)
        if step.stage_ends:
            ends.append(snapshot(state.network))
    return state, told, ends, folder


def test_each_stage_changes_only_the_pieces_that_it_trains(unbroken):
    """Dropped paths, batch norms' statistics and weight decay included: what is frozen is equal to the bit."""
    _, _, (start, stripes, parts, together), _ = unbroken
    refinement = {key for key in start if key.startswith("refinement.")}
    statistics = {key for key in start if key.endswith("running_mean")}
    first = moved(start, stripes)
    assert not first & refinement
    assert statistics <= first
    assert any(key.startswith("backbone.") for key in first)
    assert moved(stripes, parts) == refinement
    last = moved(parts, together)
    assert refinement | statistics <= last
    assert any(key.startswith("backbone.") for key in last)


def test_steps_carry_their_stage_and_epochs_continue(unbroken):
    _, told, _, _ = unbroken
    assert [step.stage for step in told] == ["stripes"] * 6 + ["parts"] * 6 + ["together"] * 6
    assert [step.step for step in told] == list(range(1, 19))
    assert [step.epoch for step in told] == [0] * 6 + [1] * 6 + [2] * 6
    assert [step.step for step in told if step.stage_ends] == [6, 12, 18]


def test_each_stage_has_a_schedule_of_its_own(unbroken):
    """Oracle: cosine without warm-up begins at lr_max, and falls."""
    _, told, _, _ = unbroken
    rates = [step.learning_rate for step in told]
    assert [rates[0], rates[6], rates[12]] == [1e-3, 1e-3, 1e-4]
    assert all(rates[i] > rates[i + 1] for i in range(17) if i not in {5, 11})


@pytest.mark.parametrize("number", [1, 6, 7, 9, 12, 14, 18])
def test_resuming_in_any_stage_and_at_each_border_ends_with_the_same_bits(unbroken, people, number):
    """At a border the checkpoint holds the optimizer of the stage that ends, and the next begins with a new one."""
    state, told, _, folder = unbroken
    path = folder / f"{number}.safetensors"
    assert read_stage(path) == (number - 1) // PER_STAGE
    resumed, rest = begin(tiny_recipe(*STAGED, "training.ema=0.9"), people, path=path)
    assert [step.losses for step in rest] == [step.losses for step in told[number:]]
    assert (resumed.step, resumed.stage) == (18, 2)
    for kept, again in ((state.network, resumed.network), (state.ema.module, resumed.ema.module)):
        assert moved(kept.state_dict(), again.state_dict()) == set()
    before, after = state.optimizer.state_dict()["state"], resumed.optimizer.state_dict()["state"]
    assert before.keys() == after.keys()
    for index, values in before.items():
        assert all(torch.equal(value, after[index][key]) for key, value in values.items())


def test_the_first_stage_is_a_training_of_stripes(people):
    """Oracle: the same network without a part classifier, from the same weights."""
    recipe = tiny_recipe(*STAGED)
    _, state = training_state(recipe, people.identities, ALONE)
    plain = build_model(**{**recipe.model.model_dump(), "refine": False}, identities=people.identities)
    weights = state.network.state_dict()
    plain.load_state_dict({key: weights[key] for key in plain.state_dict()})
    batch = next(training_loader(recipe, people, ALONE).epoch(0))
    loss, _ = build_losses(recipe)(plain.eval()(batch.images), batch.labels)
    again, _ = build_losses(recipe)(state.network.eval()(batch.images), batch.labels)
    assert torch.equal(loss, again)
    assert state.network(batch.images).assignment is None


def test_a_new_stage_starts_with_an_empty_optimizer(people):
    recipe = tiny_recipe(*STAGED)
    state, steps = begin(recipe, people)
    next(steps)
    assert state.optimizer.state_dict()["state"]
    arguments = recipe.optimizer.model_dump(exclude={"clip", "accumulate"})
    enter_stage(state, build_stages(recipe), 1, optimizer=partial(build_optimizer, **arguments))
    assert state.optimizer.state_dict()["state"] == {}
    held = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    assert [parameter.shape for parameter in held] == [state.network.refinement.classifier.weight.shape]
    assert state.stage == 1
    assert state.network.refined


@pytest.mark.parametrize(
    "network",
    [
        lambda: convnext_ap("test_convnext", identities=3, parts=2, global_branch=True),
        lambda: build_model(method="hpm", backbone="resnet18", identities=3),
        lambda: build_model(method="bdb", backbone="resnet18", identities=3),
        lambda: build_model(method="scpnet", backbone="resnet18", identities=3),
        lambda: build_model(method="ianet", backbone="test_resnet", identities=3),
        lambda: build_model(method="dgnet", backbone="test_resnet", identities=3),
        lambda: build_model(method="cbn", backbone="test_resnet", identities=3),
        lambda: build_model(method="cama", backbone="test_resnet", identities=3),
        lambda: build_model(method="mhn", backbone="test_resnet", identities=3, orders=2),
        lambda: build_model(method="glad", backbone="test_resnet", identities=3),
        lambda: build_model(method="maskreid", backbone="test_resnet", identities=3),
        lambda: build_model(method="spreid", backbone="test_resnet", identities=3),
        lambda: build_model(method="horeid", backbone="test_resnet", identities=3),
    ],
)
def test_the_pieces_hold_every_parameter_once(network):
    network = network()
    names = [name for members in PIECES.values() for name in members]
    modules = [getattr(network, name) for name in names if getattr(network, name) is not None]
    held = [parameter for module in modules for parameter in module.parameters()]
    assert {id(each) for each in held} == {id(each) for each in network.parameters()}
    assert len(held) == len(list(network.parameters()))
    assert [name for name, _ in network.named_children() if name not in names] == []


def test_a_part_classifier_that_is_not_used_does_not_learn():
    network = convnext_ap("test_convnext", identities=3, parts=2)
    stage = Stage(name="a", **RATES, refine=False)
    set_stage(network, stage)
    assert frozen_modules(network, stage) == [network.refinement]
    assert not network.refinement.classifier.weight.requires_grad
    set_stage(network, Stage(name="b", **RATES, refine=True))
    assert all(parameter.requires_grad for parameter in network.parameters())
