"""Oracles: a step written out by hand, and an unbroken run of the same loop."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from conftest import SIMPLE, tiny_recipe
from passerby.data.datasets import load_data
from passerby.data.training_set import join_training
from passerby.distributed import Process
from passerby.errors import TrainingError
from passerby.losses.combine import Losses
from passerby.runs.arguments import build_loop_settings, build_stages, optimizer_arguments
from passerby.runs.assemble import training_loader, training_state
from passerby.training import loop
from passerby.training.checkpoint import load_checkpoint, save_checkpoint
from passerby.training.loop import LoopSettings, fit, seed_step
from passerby.training.optimizer import build_optimizer, set_learning_rate

ALONE = Process(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def people():
    return join_training(load_data(SIMPLE))


def begin(recipe, people, *, path=None, **changes):
    """State and the generator of steps, from a checkpoint when there is one."""
    _, state = training_state(recipe, people.identities, ALONE)
    if path is not None:
        load_checkpoint(path, state)
    return state, fit(
        state,
        training_loader(recipe, people, ALONE),
        Losses(**recipe.loss.model_dump()),
        stages=build_stages(recipe),
        optimizer=partial(build_optimizer, **optimizer_arguments(recipe)),
        settings=replace(build_loop_settings(recipe), **changes),
        process=ALONE,
        samples=people.samples,
    )


def weights(network):
    """All parameters as one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_a_step_is_forward_loss_backward_clip_step(people):
    recipe = tiny_recipe("optimizer.clip=0.5")
    state, steps = begin(recipe, people)
    step = next(steps)

    _, plain = training_state(recipe, people.identities, ALONE)
    batch = next(training_loader(recipe, people, ALONE).epoch(0))
    set_learning_rate(plain.optimizer, recipe.schedule.lr_init)
    seed_step(0, 0, 0)
    plain.network.train()
    loss, _ = Losses(**recipe.loss.model_dump())(
        plain.network(batch.images.contiguous(memory_format=torch.channels_last)), batch.labels
    )
    loss.backward()
    torch.nn.utils.clip_grad_norm_(plain.network.parameters(), 0.5)
    plain.optimizer.step()

    assert step.losses["loss"] == pytest.approx(float(loss.detach()), rel=1e-6)
    assert (step.step, step.epoch, step.learning_rate) == (1, 0, recipe.schedule.lr_init)
    torch.testing.assert_close(weights(state.network), weights(plain.network), rtol=1e-6, atol=1e-8)


def test_accumulated_gradients_are_the_mean_of_the_batches(people):
    """Oracle: backward of the mean of two batches' losses, written out (identity loss alone: no pairs between them)."""
    recipe = tiny_recipe("optimizer.accumulate=2", "loss.circle=null", "optimizer.name=sgd", "model.drop_path=0")
    state, steps = begin(recipe, people)
    step = next(steps)

    _, plain = training_state(recipe, people.identities, ALONE)
    set_learning_rate(plain.optimizer, recipe.schedule.lr_init)
    plain.network.train()
    batches = training_loader(recipe, people, ALONE).epoch(0)
    found = []
    for _ in range(2):
        batch = next(batches)
        images = batch.images.contiguous(memory_format=torch.channels_last)
        loss, _ = Losses(identity=recipe.loss.identity.model_dump())(plain.network(images), batch.labels)
        (loss / 2).backward()
        found.append(loss.item())
    plain.optimizer.step()
    assert step.losses["loss"] == pytest.approx(sum(found) / 2, rel=1e-6)
    torch.testing.assert_close(weights(state.network), weights(plain.network), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "settings",
    [
        ["optimizer.name=adamw", "training.ema=0.9"],
        ["optimizer.name=sgd", "batches.workers=1", "images.jitter={}"],
        ["optimizer.accumulate=2", "optimizer.clip=1", "training.precision=bf16", "model.refine=true"],
        ["training.ema=0.9", "batches.alike=2"],
    ],
)
def test_resuming_anywhere_ends_with_the_same_bits(people, tmp_path, settings):
    """Oracle: the run that was never stopped. Dropped paths and erasing are on; cuts fall inside epochs too."""
    recipe = tiny_recipe(*settings)
    unbroken, steps = begin(recipe, people)
    paths, last = [], None
    for step in steps:
        last = step
        if step.step in {1, 4, 7, 8}:
            paths.append(tmp_path / f"{step.step}.safetensors")
            save_checkpoint(paths[-1], unbroken)
    assert last.epoch_ends
    assert last.epoch == recipe.schedule.epochs - 1
    assert len(paths) == 4
    for path in paths:
        resumed, rest = begin(recipe, people, path=path)
        for _ in rest:
            pass
        assert resumed.step == unbroken.step
        averaged = [] if unbroken.ema is None else [(unbroken.ema.module, resumed.ema.module)]
        for kept, again in [(unbroken.network, resumed.network), *averaged]:
            for key, value in kept.state_dict().items():
                assert torch.equal(value, again.state_dict()[key]), (path.name, key)


def test_an_epoch_begins_with_the_nearest_identities_under_the_averaged_network(people, monkeypatch):
    """From the epoch `alike_from` on; the batches hold those identities."""
    recipe = tiny_recipe("training.ema=0.9", "batches.alike=2")
    asked = []

    def pairs(network, loader, epoch, **_):
        asked.append((network, epoch))
        return np.arange(people.identities)[:, None] ^ 1  # 0 and 1, 2 and 3, ...

    monkeypatch.setattr(loop, "find_similar_identities", pairs)
    state, steps = begin(recipe, people, alike_from=1)
    for step in steps:
        assert (state.near is None) == (step.epoch == 0)
    assert asked == [(state.ema.module, epoch) for epoch in range(1, recipe.schedule.epochs)]


def test_a_bf16_step_is_near_the_float32_step(people):
    """Oracle: the float32 loss; bf16 keeps 8 bits, and the pairwise loss multiplies similarities by 64."""
    found = [next(begin(tiny_recipe("model.drop_path=0"), people, precision=name)[1]) for name in ("fp32", "bf16")]
    assert found[1].losses["loss"] != found[0].losses["loss"]
    assert found[1].losses["identity"] == pytest.approx(found[0].losses["identity"], rel=0.01)
    assert found[1].losses["circle"] == pytest.approx(found[0].losses["circle"], rel=0.05)


def test_the_averaged_weights_follow_and_lag(people):
    state, steps = begin(tiny_recipe("training.ema=0.9"), people)
    start = weights(state.network)
    for _ in steps:
        pass
    averaged = weights(state.ema.module)
    assert 0 < (averaged - start).norm() < (weights(state.network) - start).norm()


def test_a_loss_that_is_not_a_number_stops_the_run_and_names_the_files(people):
    state, steps = begin(tiny_recipe(), people)
    next(steps)
    with torch.no_grad():
        next(state.network.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"at step 1 \(epoch 1\): loss nan.*files: \d{4}_c\ds\d.*jpg"):
        next(steps)


def test_a_gradient_that_is_not_a_number_stops_the_run_before_it_is_taken(people):
    """A finite loss with such a gradient would leave a checkpoint that nothing can continue from."""
    state, steps = begin(tiny_recipe("optimizer.clip=1"), people)
    next(steps)
    before = weights(state.network)
    next(state.network.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(
        TrainingError, match=r"gradient at step 1 \(epoch 1\): loss \d.*, gradient norm (inf|nan)\..*jpg"
    ):
        next(steps)
    assert state.step == 1
    assert torch.equal(before, weights(state.network))


def test_losses_that_are_read_together_are_those_read_one_by_one(people):
    """Oracle: the same run with every step read at once; values, weights and order are equal to the bit."""
    recipe = tiny_recipe("optimizer.accumulate=2", "training.ema=0.9")
    state, steps = begin(recipe, people)
    expected = [(step.step, step.losses) for step in steps]
    again, steps = begin(recipe, people, read_every=4)
    reports, read = [], []
    for step in steps:
        reports.append(step)
        read.append(step.losses_read)
        if step.losses_read:  # at the end of a window, all steps of it
            assert all(report.losses_read for report in reports)
            assert step.images_per_second > 0
    per_epoch = len(reports) // recipe.schedule.epochs
    assert read == [
        position % 4 == 0 or position == per_epoch
        for _ in range(recipe.schedule.epochs)
        for position in range(1, per_epoch + 1)
    ]
    assert [(step.step, step.losses) for step in reports] == expected
    assert torch.equal(weights(state.network), weights(again.network))


def test_reading_a_loss_in_between_reads_all_steps_so_far(people):
    _, steps = begin(tiny_recipe(), people, read_every=1000)
    first, second = next(steps), next(steps)
    assert (first.losses_read, second.losses_read) == (False, False)
    assert second.losses.keys() == {"loss", "identity", "circle"}
    assert first.losses_read
    assert second.to_dict()["losses"] == second.losses
    assert first.images_per_second == second.images_per_second


def test_a_bad_step_is_named_when_losses_are_read_later_and_no_checkpoint_is_written(people, tmp_path):
    """Oracle: the message of the run that reads every step; the first bad step is named, not the one of the reading."""
    messages = []
    for read_every in (1, 1000):
        state, steps = begin(tiny_recipe(), people, read_every=read_every)
        next(steps)
        with torch.no_grad():
            next(state.network.parameters()).fill_(float("nan"))
        if read_every == 1:
            with pytest.raises(TrainingError) as caught:
                next(steps)
        else:
            next(steps)
            next(steps)
            with pytest.raises(TrainingError) as caught:
                save_checkpoint(tmp_path / "last.safetensors", state)
            with pytest.raises(TrainingError):  # and again at the end of the epoch
                list(steps)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "at step 1 (epoch 1)" in messages[0]
    assert not list(tmp_path.iterdir())


def test_the_batch_that_is_named_is_the_first_bad_one_of_a_step(people):
    """Oracle: the files of the second of three accumulated batches."""
    recipe = tiny_recipe("optimizer.accumulate=3", "loss.circle=null")
    state, steps = begin(recipe, people)
    calls = []

    def spoil(_module, _inputs, output):
        calls.append(output)
        return (
            replace(output, logits=tuple(logits * float("nan") for logits in output.logits))
            if len(calls) == 2
            else None
        )

    state.network.register_forward_hook(spoil)
    batches = training_loader(recipe, people, ALONE).epoch(0)
    next(batches)
    files = ", ".join(people.samples[index].label for index in next(batches).indices.tolist())
    with pytest.raises(TrainingError) as caught:
        next(steps)
    assert str(caught.value).endswith(f"The batch's files: {files}")


def test_settings_of_the_loop_cannot_be_changed():
    with pytest.raises(AttributeError):
        LoopSettings().clip = 1.0


def test_fp16_skips_a_step_whose_gradient_overflows(people):
    """Oracle: the scaler's own rule: weights as they were, the scale halved, then a step that moves them."""
    state, steps = begin(tiny_recipe(), people)
    state.scaler = torch.amp.GradScaler("cpu", enabled=True, init_scale=2.0**10)
    before = weights(state.network)
    overflow = next(state.network.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    next(steps)
    assert torch.equal(before, weights(state.network))
    assert state.scaler.get_scale() == 2.0**9
    overflow.remove()
    next(steps)
    assert not torch.equal(before, weights(state.network))


def test_more_batches_to_a_step_than_an_epoch_has_is_refused(people):
    _, steps = begin(tiny_recipe(), people, accumulate=1000)
    with pytest.raises(TrainingError, match=r"accumulate: 1,000 batches make a step, but an epoch has \d+"):
        next(steps)
