import pytest
import torch

from losses.naive import batch
from passerby.distributed import gather
from passerby.errors import RecipeError
from passerby.losses import combine
from passerby.losses.circle import circle_loss
from passerby.losses.combine import LOSSES, Losses
from passerby.losses.contrastive import contrastive_loss
from passerby.losses.identity import identity_loss
from passerby.losses.triplet import triplet_loss
from passerby.model.convnext_ap import Output
from passerby.recipe import LossSettings

SETTINGS = {
    "identity": {"weight": 0.5, "label_smoothing": 0.1},
    "circle": {"weight": 2.0, "margin": 0.25, "gamma": 32.0},
    "triplet": {"weight": 3.0, "margin": None},
    "contrastive": {"weight": 0.25, "margin": 1.0},
}


def output(dtype=torch.float32):
    embedding, labels = batch(4, 3, dtype=dtype)
    logits = tuple(torch.randn(12, 4, dtype=dtype, requires_grad=True) for _ in range(2))
    empty = torch.empty(0)
    return Output(embedding.requires_grad_(), logits, parts=empty, assignment=None, map=empty), labels


def test_the_total_is_the_weighted_sum_of_the_named_losses():
    """Oracle: the four losses by themselves, weighed by hand."""
    made, labels = output()
    total, named = Losses(**SETTINGS)(made, labels)
    expected = {
        "identity": identity_loss(made.logits, labels, label_smoothing=0.1),
        "circle": circle_loss(made.embedding, labels, margin=0.25, gamma=32.0),
        "triplet": triplet_loss(made.embedding, labels, margin=None),
        "contrastive": contrastive_loss(made.embedding, labels, margin=1.0),
    }
    assert list(named) == list(expected)
    torch.testing.assert_close(named, expected)
    weighed = sum(SETTINGS[name]["weight"] * value for name, value in expected.items())
    torch.testing.assert_close(total, weighed)
    total.backward()
    assert made.embedding.grad.any()
    assert made.logits[0].grad.any()


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"identity": SETTINGS["identity"]}, ["identity"]),
        ({**SETTINGS, "identity": None, "triplet": None}, ["circle", "contrastive"]),
        ({**SETTINGS, "identity": {"weight": 0.0, "label_smoothing": 0.1}}, ["circle", "triplet", "contrastive"]),
    ],
)
def test_a_loss_without_weight_is_not_computed(settings, names):
    made, labels = output()
    assert list(Losses(**settings)(made, labels)[1]) == names


def test_the_recipes_section_fits_the_arguments():
    assert LOSSES.keys() == LossSettings.model_fields.keys()
    made, labels = output()
    assert list(Losses(**LossSettings().model_dump())(made, labels)[1]) == ["identity", "circle"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_autocast_give_finite_float32_losses(dtype):
    made, labels = output(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        total, named = Losses(**SETTINGS)(made, labels)
    total.backward()
    assert {value.dtype for value in named.values()} == {torch.float32}
    assert total.isfinite()
    assert made.embedding.grad.isfinite().all()


def test_alone_the_gathered_rows_are_the_rows():
    rows = torch.randn(3, 2)
    assert gather(rows) is rows


def test_metric_losses_see_the_rows_of_every_process_and_the_identity_loss_its_own(monkeypatch):
    """Oracle: the same losses of the whole batch, and of one process's half."""
    whole, labels = output()
    mine = Output(whole.embedding[:6], tuple(each[:6] for each in whole.logits), whole.parts, None, whole.map)
    monkeypatch.setattr(combine, "gather", lambda rows: whole.embedding if rows.is_floating_point() else labels)
    named = Losses(**SETTINGS)(mine, labels[:6])[1]
    alone = Losses(**SETTINGS)(whole, labels)[1]
    torch.testing.assert_close(named["identity"], identity_loss(mine.logits, labels[:6], label_smoothing=0.1))
    for name in ("circle", "triplet", "contrastive"):
        torch.testing.assert_close(named[name], alone[name])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "every loss is off"),
        (
            {"circle": None, "triplet": {"weight": 0, "margin": None}},
            "every loss is off; give at least one of identity",
        ),
        ({"arcface": {"weight": 1.0}}, "loss 'arcface': unknown; expected identity, circle, triplet, contrastive"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(RecipeError, match=message):
        Losses(**settings)


def test_metric_losses_look_at_each_branch_by_itself():
    """Oracle: the losses of each branch alone, averaged; the joined embedding has no part in them."""
    made, labels = output()
    branches = tuple(torch.randn(12, width, requires_grad=True) for width in (4, 6))
    branched = Output(made.embedding, made.logits, made.parts, None, made.map, branches)
    total, named = Losses(**SETTINGS)(branched, labels)
    for name, function in (("circle", circle_loss), ("triplet", triplet_loss), ("contrastive", contrastive_loss)):
        settings = {key: value for key, value in SETTINGS[name].items() if key != "weight"}
        alone = [function(each, labels, **settings) for each in branches]
        torch.testing.assert_close(named[name], sum(alone) / 2)
    total.backward()
    assert made.embedding.grad is None
    assert all(each.grad.any() for each in branches)
