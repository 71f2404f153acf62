"""Center loss. Oracle: equations 2 and 4 of Wen et al., person by person in a loop."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

import passerby
from conftest import SIMPLE, tiny_recipe
from losses.test_combine import output
from passerby.distributed import Process
from passerby.errors import RecipeError
from passerby.losses.center import center_loss, move_centers
from passerby.losses.combine import Losses
from passerby.model.convnext_ap import Output, convnext_ap
from passerby.recipe import parse_recipe
from passerby.runs.assemble import training_state
from passerby.runs.train import resume, train

CENTERED = ("loss.center.weight=0.05", "training.ema=0.9")


def batch(people, images, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pooled = torch.randn(people * images, 5, generator=generator, dtype=torch.float64)
    labels = torch.arange(people).repeat_interleave(images)[torch.randperm(people * images, generator=generator)]
    return pooled, labels, torch.randn(people + 2, 5, generator=generator, dtype=torch.float64)


@given(st.integers(1, 6), st.integers(1, 4), st.floats(0.01, 1), st.integers(0, 99))
def test_loss_and_move_are_the_papers(people, images, alpha, seed):
    pooled, labels, centers = batch(people, images, seed)
    value = center_loss(pooled, labels, centers=centers)
    expected = centers.clone()
    distances = []
    for person in range(people):
        mine = pooled[labels == person]
        distances += [float(((x - centers[person]) ** 2).sum()) for x in mine]
        change = sum(centers[person] - x for x in mine) / (1 + len(mine))
        expected[person] = centers[person] - alpha * change
    torch.testing.assert_close(float(value), sum(distances) / len(distances) / 2)
    move_centers(centers, pooled, labels, alpha=alpha)
    torch.testing.assert_close(centers, expected)


def test_centers_converge_to_the_means_of_their_identities():
    pooled, labels, centers = batch(3, 4)
    for _ in range(60):
        move_centers(centers, pooled, labels, alpha=0.5)
    for person in range(3):
        torch.testing.assert_close(centers[person], pooled[labels == person].mean(dim=0))


def test_the_gradient_pulls_each_image_to_its_center_and_leaves_the_center_to_its_own_rule():
    """Oracle: (x - c) / B, with the centers from before they moved."""
    pooled, labels, centers = batch(3, 2)
    before = centers.clone()
    pooled.requires_grad_()
    value = center_loss(pooled, labels, centers=centers)
    move_centers(centers, pooled, labels, alpha=0.5)
    value.backward()
    torch.testing.assert_close(pooled.grad, (pooled.detach() - before[labels]) / 6)
    assert not centers.requires_grad


def test_in_the_weighted_sum_it_uses_the_average_of_the_map_and_then_moves_the_centers():
    made, labels = output()
    features = torch.randn(12, 7, 3, 2, requires_grad=True)
    centers = torch.randn(4, 7)
    before = centers.clone()
    given_ = Output(made.embedding, made.logits, made.parts, None, features, centers=centers)
    losses = Losses(identity={"weight": 1.0, "label_smoothing": 0.0}, center={"weight": 0.1, "alpha": 0.5})
    total, named = losses(given_, labels)
    pooled = features.mean(dim=(2, 3))
    torch.testing.assert_close(named["center"], center_loss(pooled, labels, centers=before))
    torch.testing.assert_close(total, named["identity"] + 0.1 * named["center"])
    move_centers(before, pooled, labels, alpha=0.5)
    torch.testing.assert_close(centers, before)
    total.backward()
    assert features.grad.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    pooled, labels, centers = batch(3, 2)
    centers = centers.float()
    assert center_loss(pooled.to(dtype), labels, centers=centers).dtype == torch.float32
    move_centers(centers, pooled.to(dtype), labels, alpha=0.5)
    assert centers.isfinite().all()


def test_a_network_without_centers_is_an_error_with_advice():
    made, labels = output()
    with pytest.raises(RecipeError, match=r"loss\.center: the network has no centers; call its keep_centers\(\)"):
        Losses(center={"weight": 1.0, "alpha": 0.5})(made, labels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"identity": None, "circle": None, "center": {}},
            "every loss is off.*as center alone moves all",
        ),
        ({"center": {"alpha": 0}}, "loss.center.alpha: expected a number above 0 and at most 1, got 0"),
        ({"center": {"margin": 1}}, "unknown key 'loss.center.margin'; loss.center has the keys weight, alpha"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe({"loss": settings})


def test_a_network_has_centers_only_after_keep_centers():
    network = convnext_ap("test_convnext", identities=4, parts=2)
    plain = network.state_dict().keys()
    network.keep_centers()
    assert network.state_dict().keys() - plain == {"centers"}
    assert network.centers.shape == (4, network.backbone.channels)
    assert "centers" not in dict(network.named_parameters())
    network.forget_training()
    assert network.state_dict().keys() == plain
    for weight, kept in (("0.05", True), ("0", False)):
        state = training_state(tiny_recipe(f"loss.center.weight={weight}"), 3, Process(0, 1, torch.device("cpu")))[1]
        assert (state.network.centers is not None) is kept


def test_a_run_with_centers_resumes_to_the_bit_and_its_model_has_none(tmp_path):
    """Oracle: the run that was not stopped; the checkpoint holds the centers, averaged weights beside them."""
    recipe = tiny_recipe(*CENTERED, "training.checkpoint_minutes=1e-9")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(recipe, SIMPLE, whole, device="cpu")

    def stop(task, done, _total, _note=""):
        if (task, done) == ("train", 8):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, SIMPLE, stopped, device="cpu", progress=stop)
    with safe_open(stopped / "checkpoints" / "last.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["passerby"])["step"] == 7
        assert file.get_tensor("network.centers").any()
    resume(stopped, device="cpu")
    names = ("model.safetensors", "checkpoints/last.safetensors")
    assert [(whole / name).read_bytes() == (stopped / name).read_bytes() for name in names] == [True, True]
    with safe_open(whole / "model.safetensors", framework="pt") as file:
        assert "centers" not in file.keys()  # noqa: SIM118 - not a dict
    assert passerby.load(whole).network.centers is None
