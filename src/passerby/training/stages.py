"""Stages of a training, each of which trains a part of the network.

Sun et al., "Beyond Part Models: Person Retrieval with Refined Part Pooling" (2018), section 3.3 (induced training):
first stripes; then the part classifier alone, with everything else frozen, so that it learns the parts that the necks
were trained on; then the whole network. A recipe's `stages` are these or others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from passerby.model.convnext_ap import ReID
from passerby.training.schedule import learning_rate
from passerby.training.state import TrainingState

PIECES: dict[str, tuple[str, ...]] = {
    "backbone": ("backbone",),
    "necks": ("inserted", "pooling", "part_necks", "global_neck"),
    "refinement": ("refinement",),
}
"""What a stage can train: modules of `ReID` by name. Together they hold every parameter."""

BuildOptimizer = Callable[[nn.Module], torch.optim.Optimizer]
"""Builds a new optimizer for the parameters that require a gradient."""


@dataclass(frozen=True)
class Stage:
    """One stage; the fields have the names of the recipe's keys.

    Attributes:
        name: Empty for a training without stages.
        epochs: Length.
        warmup_epochs: Length of the rise from `lr_init` to `lr_max`.
        lr_init: Learning rate of the first step.
        lr_max: Learning rate at the end of the warm-up.
        lr_min: Learning rate at the end.
        train: Names in `PIECES`; the other pieces are frozen.
        refine: Whether parts are pooled by the part classifier, not by stripes.
    """

    name: str
    epochs: int
    warmup_epochs: int
    lr_init: float
    lr_max: float
    lr_min: float
    train: tuple[str, ...] = tuple(PIECES)
    refine: bool = False

    def learning_rate(self, progress: float) -> float:
        """Compute the rate after `progress` epochs of the stage, fractions included."""
        return learning_rate(
            progress,
            epochs=self.epochs,
            warmup_epochs=self.warmup_epochs,
            lr_init=self.lr_init,
            lr_max=self.lr_max,
            lr_min=self.lr_min,
        )


def enter_stage(state: TrainingState, stages: Sequence[Stage], number: int, *, optimizer: BuildOptimizer) -> None:
    """Prepare `state` for stage `number`: freeze and unfreeze parameters, set the pooling, build a new optimizer."""
    stage = stages[number]
    set_stage(state.network, stage)
    if state.ema is not None:
        _set_refined(state.ema.module, stage)
    state.optimizer = optimizer(state.network)
    state.stage = number


def set_stage(network: nn.Module, stage: Stage) -> None:
    """Require gradients of the parameters that the stage trains and uses, and of no others."""
    _set_refined(network, stage)
    frozen = {id(parameter) for module in frozen_modules(network, stage) for parameter in module.parameters()}
    for parameter in network.parameters():
        parameter.requires_grad_(id(parameter) not in frozen)
        parameter.grad = None


def frozen_modules(network: nn.Module, stage: Stage) -> list[nn.Module]:
    """List the modules that the stage does not train, the part classifier among them where parts are not refined."""
    trained = set(stage.train) - (set() if stage.refine else {"refinement"})
    names = [name for piece, members in PIECES.items() if piece not in trained for name in members]
    modules = (getattr(network, name) for name in names)
    return [module for module in modules if module is not None]


def _set_refined(network: nn.Module, stage: Stage) -> None:
    assert isinstance(network, ReID)
    network.refined = stage.refine
