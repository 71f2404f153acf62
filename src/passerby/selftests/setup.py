"""Sizes of the self-test: network, images, batches and durations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from passerby.recipe import Recipe, load_recipe
from passerby.synthesis.dataset import SynthSettings

Size = Literal["full", "small", "quick"]


@dataclass(frozen=True)
class SelfTestSize:
    """What the checks use.

    Attributes:
        recipe: Changes of the recipe `convnext-ap`.
        people: Identities, of which half are trained on.
        cameras: Cameras of each identity, with four images in each.
        seconds: Duration of each measurement of a speed.
        steps: Steps of the comparisons of two trainings.
        vectors: (queries, gallery items, width) of the comparison of distances.
        side: Side of the matrices whose product is timed.
        compiled: Precisions in which compiled steps are timed.
    """

    recipe: Mapping[str, Any]
    people: int
    cameras: int
    seconds: float
    steps: int
    vectors: tuple[int, int, int]
    side: int
    compiled: tuple[str, ...]


MODES = (("fp32", False), ("bf16", False), ("fp16", False), ("fp32", True), ("bf16", True))
"""(precision, compiled) of the rows of training steps."""
_ATTO = {"model": {"backbone": "convnext_atto"}, "images": {"size": [128, 64]}, "batches": {"persons": 8, "images": 4}}
_TINY = {
    "model": {"backbone": "test_convnext", "parts": 2, "part_dim": 16},
    "images": {"size": [64, 32]},
    "batches": {"persons": 4, "images": 2, "workers": 0},
}
SIZES: dict[Size, SelfTestSize] = {
    "full": SelfTestSize({}, 64, 4, 15.0, 8, (3368, 15913, 1536), 8192, ("fp32", "bf16")),
    "small": SelfTestSize(_ATTO, 32, 2, 5.0, 4, (500, 2000, 512), 1024, ("fp32",)),
    "quick": SelfTestSize(_TINY, 16, 2, 0.0, 2, (50, 200, 32), 128, ()),
}
"""`full` is for a GPU, `small` for the CPU, `quick` only shows that every check runs."""


def find_reason(name: Size, precision: str, *, compiled: bool, device: str) -> str | None:
    """Return why a row of training steps does not apply to a size and a type of device; None if it does."""
    if precision == "fp16" and device == "cpu":
        return "a CPU computes convolutions in fp16 in software; use bf16"
    if compiled and precision not in SIZES[name].compiled:
        return f"left out of the size {name}"
    return None


def build_recipe(size: SelfTestSize) -> Recipe:
    """Return the recipe of the checks: ConvNeXt-AP from random weights, in float32, with the batches of the size."""
    recipe = load_recipe("convnext-ap").with_changes(
        model={"backbone": "convnext_base", "pretrained": False},
        schedule={"epochs": 1, "warmup_epochs": 0, "lr_init": 1e-3, "lr_max": 1e-3},
        training={"precision": "fp32"},
        evaluation={"bootstrap": 0},
    )
    return recipe.with_changes(**size.recipe)


def render_people(size: SelfTestSize, recipe: Recipe, folder: Path) -> str:
    """Render the people of the checks at the network's image size, and return the spec of the data set."""
    from passerby.synthesis.write import synth

    height = recipe.images.size[0]
    settings = SynthSettings(identities=size.people, cameras=size.cameras, images=4, seed=0, height=height)
    synth(folder, settings)
    return f"market1501:{folder}"
