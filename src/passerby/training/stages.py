"""A training in stages, of which each trains a part of the network: RPP as its authors meant it.

Sun et al., "Beyond Part Models: Person Retrieval with Refined Part Pooling" (2018), section 3.3 (induced training):
stripes until they are learned; then the part classifier alone, everything else fixed, so that it must find the parts
that the necks know by now; then all of it. A recipe's `stages` are these or others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from passerby.losses.combine import Losses
from passerby.model.convnext_ap import ReID
from passerby.training.loader import TrainingLoader
from passerby.training.loop import Step, TrainingState, fit

PIECES: dict[str, tuple[str, ...]] = {
    "backbone": ("backbone",),
    "necks": ("pooling", "part_necks", "global_neck"),
    "refinement": ("refinement",),
}
"""What a stage can train: modules of `ReID` by name. Together they hold every parameter."""

BuildOptimizer = Callable[[nn.Module], torch.optim.Optimizer]


@dataclass(frozen=True)
class Stage:
    """One stage: how long, how fast, what learns, and whether parts are refined; the words are the recipe's."""

    name: str
    epochs: int
    warmup_epochs: int
    lr_init: float
    lr_max: float
    lr_min: float
    train: tuple[str, ...] = tuple(PIECES)
    refine: bool = False


def fit_stages(
    state: TrainingState,
    loader: TrainingLoader,
    losses: Losses,
    *,
    stages: Sequence[Stage],
    optimizer: BuildOptimizer,
    **settings: Any,
) -> Iterator[Step]:
    """`fit` every stage that is not over yet; epochs and steps count on from stage to stage.

    Each stage begins with an optimizer that remembers nothing of the one before. A `state` that comes from a checkpoint
    must have been in the checkpoint's stage (`enter_stage`) when it was filled.

    Args:
        state: What is trained; its network is a `ReID`.
        loader: As for `fit`.
        losses: As for `fit`; the same in every stage.
        stages: In their order.
        optimizer: Makes a new optimizer of the parameters that learn.
        settings: The other arguments of `fit`.
    """
    for number, stage in enumerate(stages):
        if number < state.stage:
            continue
        if number > state.stage:
            enter_stage(state, stages, number, optimizer=optimizer)
        yield from fit(
            state,
            loader,
            losses,
            epochs=stage.epochs,
            warmup_epochs=stage.warmup_epochs,
            lr_init=stage.lr_init,
            lr_max=stage.lr_max,
            lr_min=stage.lr_min,
            first_epoch=sum(each.epochs for each in stages[:number]),
            stage=stage.name,
            frozen=frozen_modules(state.network, stage),
            **settings,
        )


def enter_stage(state: TrainingState, stages: Sequence[Stage], number: int, *, optimizer: BuildOptimizer) -> None:
    """Make `state` ready for stage `number`: what learns, how parts are pooled, and a new optimizer."""
    stage = stages[number]
    set_stage(state.network, stage)
    if state.ema is not None:
        _set_refined(state.ema.module, stage)
    state.optimizer = optimizer(state.network)
    state.stage = number


def set_stage(network: nn.Module, stage: Stage) -> None:
    """Let the parameters learn that the stage trains and uses, and no others."""
    _set_refined(network, stage)
    frozen = {id(parameter) for module in frozen_modules(network, stage) for parameter in module.parameters()}
    for parameter in network.parameters():
        parameter.requires_grad_(id(parameter) not in frozen)
        parameter.grad = None


def frozen_modules(network: nn.Module, stage: Stage) -> list[nn.Module]:
    """The modules that the stage does not train, and the part classifier where parts are not refined."""
    learning = set(stage.train) - (set() if stage.refine else {"refinement"})
    names = [name for piece, members in PIECES.items() if piece not in learning for name in members]
    found = (getattr(network, name) for name in names)
    return [module for module in found if module is not None]


def _set_refined(network: nn.Module, stage: Stage) -> None:
    assert isinstance(network, ReID)
    network.refined = stage.refine
