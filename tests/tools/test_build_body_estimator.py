"""The build of the body estimator. Oracles: the trained network, a perfect one, mirrored labels, Gaussians by hand."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from passerby.model.body_estimator import BODY_PARTS, KEY_POINTS, Body, BodyEstimator, FrozenConv
from passerby.model.weights import fill, read_tensors
from passerby.synthesis.dataset import SynthSettings, render_image
from passerby.synthesis.solids import PARTS
from tools.body_estimator.build import NormedConv, build_body_estimator, compute_loss, draw_targets, fold
from tools.body_estimator.examples import Examples, RenderedPeople, augment, stack
from tools.body_estimator.measure import measure

SETTINGS = SynthSettings(identities=6, cameras=4, seed=31, lookalikes=0)


@pytest.fixture(scope="module")
def examples():
    return stack([render_image(SETTINGS, n % 6, n % 4, n) for n in range(12)])


def copy(examples):
    return Examples(*(getattr(examples, name).clone() for name in ("pixels", "labels", "points", "visible")))


def test_labels_are_the_renderers_parts(examples):
    photo = render_image(SETTINGS, 0, 0, 0)
    names = {"legs": "lower", "occluder": "background", "passer-by": "background"}
    for index, name in enumerate(PARTS):
        mine = examples.labels[0][torch.from_numpy(photo.mask == index)]
        assert (mine == BODY_PARTS.index(names.get(name, name))).all()


def test_a_mirrored_example_has_mirrored_pixels_labels_and_sides(examples):
    class Always:
        """Draws that mirror and do nothing else."""

        def __init__(self):
            self.values = iter([0.0, 1.0, 1.0] * 12)

        def random(self):
            return next(self.values)

        def normal(self, *_):
            return 0.0

    mirrored = copy(examples)
    augment(mirrored, Always())
    assert torch.equal(mirrored.pixels, examples.pixels.flip(-1))
    assert torch.equal(mirrored.labels, examples.labels.flip(-1))
    for name in KEY_POINTS:
        swapped = name.replace("left", "*").replace("right", "left").replace("*", "right")
        here, there = KEY_POINTS.index(name), KEY_POINTS.index(swapped)
        torch.testing.assert_close(mirrored.points[:, here, 0], 1 - examples.points[:, there, 0])
        torch.testing.assert_close(mirrored.points[:, here, 1], examples.points[:, there, 1])
        assert torch.equal(mirrored.visible[:, here], examples.visible[:, there])


def test_erased_regions_are_background_and_hide_key_points(examples):
    changed = copy(examples)
    augment(changed, np.random.default_rng(3))
    assert (changed.labels == 0).float().mean() > (examples.labels == 0).float().mean()
    assert changed.visible.sum() < examples.visible.sum()
    assert changed.pixels.dtype == torch.uint8


def test_batches_hold_new_and_kept_people():
    people = RenderedPeople(SETTINGS, batch=8, kept=10)
    assert [len(people.draw()) for _ in range(4)] == [8] * 4
    assert people.drawn == 8 + 3
    assert len(people.pool) == 10


def test_targets_are_gaussians_at_visible_key_points_only(examples):
    targets = draw_targets(examples, (32, 16))
    for image in range(12):
        for k in range(len(KEY_POINTS)):
            if not examples.visible[image, k]:
                assert targets[image, k].sum() == 0
                continue
            x, y = examples.points[image, k] * torch.tensor([16.0, 32.0])
            row, column = min(int(y), 31), min(int(x), 15)
            expected = torch.exp(-((row + 0.5 - y) ** 2 + (column + 0.5 - x) ** 2) / 2)
            assert targets[image, k, row, column].item() == pytest.approx(expected.item(), abs=1e-5)
            assert targets[image, k].max() == targets[image, k, row, column]


def test_folded_norms_compute_the_same(examples):
    torch.manual_seed(0)
    trained = BodyEstimator(NormedConv)
    for module in trained.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1), module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2), torch.nn.init.uniform_(module.bias, -1, 1)
    frozen = fold(trained.eval())
    assert all(isinstance(module, FrozenConv) for name, module in frozen.named_modules() if name == "head")
    for first, second in zip(trained.scores(examples.pixels), frozen.scores(examples.pixels), strict=True):
        torch.testing.assert_close(second, first, atol=1e-3, rtol=1e-3)


def test_a_perfect_estimator_has_full_accuracy_and_a_constant_one_none(examples):
    def perfect(_images):
        areas = F.one_hot(examples.labels, len(BODY_PARTS)).permute(0, 3, 1, 2).float()
        return Body(draw_targets(examples, (64, 32)), areas)

    scores = measure(perfect, [examples])
    assert scores["images"] == 12
    assert set(scores["pck"].values()) == {100.0}
    assert scores["visibility_auc"] == 100.0
    assert scores["iou"]["person"] == 100.0
    assert {scores["iou"][name] for name in ("head", "upper", "lower")} == {100.0}

    def constant(_images):
        parts = torch.zeros(12, len(BODY_PARTS), 32, 16)
        parts[:, 0] = 1
        return Body(torch.zeros(12, len(KEY_POINTS), 32, 16), parts)

    poor = measure(constant, [examples])
    assert poor["iou"]["person"] == 0
    assert poor["pck"]["all"] < 20


def test_the_loss_falls_on_a_fixed_batch(examples):
    torch.manual_seed(0)
    network = BodyEstimator(NormedConv).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(10):
        loss = compute_loss(network, examples)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_a_short_build_writes_weights_that_load_and_a_description(tmp_path):
    scores = build_body_estimator(tmp_path / "body", steps=2, batch=8, images=20)
    estimator = BodyEstimator()
    tensors = read_tensors(tmp_path / "body" / "model.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    fill(estimator, {name: value.float() for name, value in tensors.items()}, source="test")
    manifest = json.loads((tmp_path / "body" / "manifest.json").read_text())
    assert manifest["key_points"] == list(KEY_POINTS)
    assert manifest["training"]["steps"] == 2
    assert manifest["test"]["pck"] == scores["pck"]
    card = (tmp_path / "body" / "MODEL_CARD.md").read_text()
    assert f"| head | {scores['iou']['head']} |" in card
    assert "No image of a real person was used." in card
    assert manifest["training"]["seed"] != manifest["test"]["seed"]
