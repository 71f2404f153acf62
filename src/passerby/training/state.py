"""State of a training: what a step changes, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from passerby.training.loss_history import LossHistory, StepRecord
from passerby.types import IntArray


@dataclass
class TrainingState:
    """Everything that a step changes and a checkpoint holds.

    No generator is part of it: the randomness of a batch is a function of (seed, epoch, batch), that of the network of
    (seed, step, rank).

    Attributes:
        network: The network that is trained.
        optimizer: Optimizer of the current stage.
        scaler: Loss scaler of fp16; disabled otherwise.
        ema: Averaged weights, or None.
        step: Optimizer steps since the start of the run.
        stage: Index of the current stage.
        near: (I, n) nearest identities of each identity at the start of the epoch, see `find_similar_identities`; None
            for batches drawn at random.
        history: Losses since they were last read; in no checkpoint. None before the first step.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: ModelEmaV3 | None
    step: int = 0
    stage: int = 0
    near: IntArray | None = None
    history: LossHistory | None = None

    @property
    def averaged(self) -> nn.Module:
        """The averaged network if there is one, otherwise the network itself."""
        return self.network if self.ema is None else self.ema.module


@dataclass(frozen=True)
class Step:
    """Report on one optimizer step.

    Attributes:
        step: Optimizer steps since the start of the run, this one included.
        epoch: Epoch, from 0; `to_dict` counts from 1.
        epoch_ends: Whether this is the last step of the epoch.
        stage: Name of the stage; empty for a training without stages.
        stage_ends: Whether this is the last step of the stage.
        learning_rate: Rate of this step, before each group's scale.
    """

    step: int
    epoch: int
    epoch_ends: bool
    stage: str
    stage_ends: bool
    learning_rate: float
    _record: StepRecord = field(repr=False)
    _history: LossHistory = field(repr=False)

    @property
    def losses_read(self) -> bool:
        """Whether `losses` is on the host already; if not, reading it waits for the device."""
        return self._record.losses is not None

    @property
    def losses(self) -> dict[str, float]:
        """The weighted total as `loss`, and each loss before weighting: of the global batch of all processes.

        Raises:
            TrainingError: When a loss or gradient since the last reading was NaN or infinite.
        """
        if self._record.losses is None:
            self._history.read()
        assert self._record.losses is not None
        return self._record.losses

    @property
    def images_per_second(self) -> float:
        """Images of all processes per second, over the steps whose losses are read together with this one's."""
        assert self.losses
        return self._record.images_per_second

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable dict of all values, with the epoch counted from 1."""
        names = ("step", "epoch", "epoch_ends", "stage", "stage_ends", "learning_rate", "losses", "images_per_second")
        return {name: getattr(self, name) for name in names} | {"epoch": self.epoch + 1, "first_epoch": 1}
