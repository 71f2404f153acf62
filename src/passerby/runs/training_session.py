"""Training of one network: checkpoints, log, and evaluations in between."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from passerby.data.training_set import TrainingSet
from passerby.distributed import Process
from passerby.model.torch_encoder import TorchEncoder
from passerby.model.weights import save_model
from passerby.progress import ProgressCallback
from passerby.recipe import Recipe
from passerby.runs.assemble import training_loader, training_state, training_steps
from passerby.runs.evaluate_model import EvaluationResult, evaluate_model, evaluation_options
from passerby.runs.manifest import warn_of_other_weights
from passerby.runs.metric_training import learn_metric
from passerby.runs.run_folder import RunFolder
from passerby.runs.run_plots import plot_training
from passerby.runs.scores_file import record_stage
from passerby.runtime.embedder import Embedder
from passerby.runtime.preprocessing import Preprocessing
from passerby.training.checkpoint import load_checkpoint, read_stage, save_checkpoint
from passerby.training.log import RunLog, read_log
from passerby.training.loop import steps_per_epoch
from passerby.training.state import Step, TrainingState
from passerby.types import DataSet

if TYPE_CHECKING:
    from passerby.model.convnext_ap import ReID

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """One training: its inputs, its folder and the process that it runs in."""

    folder: RunFolder
    recipe: Recipe
    sets: Sequence[DataSet]
    training_set: TrainingSet
    manifest: dict[str, Any]
    process: Process
    progress: ProgressCallback

    def embedder(self, network: ReID) -> Embedder:
        """Return the embedder of a network, with the recipe's preprocessing."""
        images = self.recipe.images
        preprocessing = Preprocessing(size=images.size, mean=images.mean, std=images.std)
        encoder = TorchEncoder(network, preprocessing, device=self.process.device)
        return Embedder(encoder, preprocessing, self.manifest)

    def evaluate(self, network: ReID, *, keep: bool = False) -> list[EvaluationResult]:
        """Evaluate on every data set that has queries.

        Args:
            network: The network.
            keep: Keep the embeddings in the user's cache, for later evaluations of the finished run.
        """
        embedder, options = self.embedder(network), evaluation_options(self.recipe)
        if keep:
            embedder.use_cache()
        return [
            evaluate_model([embedder], data_set, options, progress=self.progress)
            for data_set in self.sets
            if data_set.query
        ]


def train_network(session: Session) -> ReID:
    """Train from the last checkpoint, or from the start, save the model and return its network."""
    if session.recipe.metric is not None:
        return learn_metric(session)
    folder, recipe, process = session.folder, session.recipe, session.process
    resumed = folder.checkpoint.is_file()
    stage = read_stage(folder.checkpoint) if resumed else 0
    network, state = training_state(
        recipe, session.training_set.identities, process, stage=stage, initialize=not resumed
    )
    if process.first and not resumed:
        warn_of_other_weights(recipe)
    loader = training_loader(recipe, session.training_set, process, progress=session.progress)
    total = recipe.schedule.epochs * steps_per_epoch(len(loader), recipe.optimizer.accumulate)
    if resumed:
        load_checkpoint(folder.checkpoint, state)
        if process.first:
            name = f", stage {recipe.plan[stage].name}," if recipe.plan[stage].name else ""
            logger.info("resumed at step %d%s from %s", state.step, name, folder.checkpoint)
    kept: ReID = network if state.ema is None else state.ema.module
    steps = training_steps(state, loader, recipe, process, session.training_set)
    if not process.first:
        deque(steps, maxlen=0)
        return kept
    if not folder.manifest.exists():  # after every check, so that a refused training leaves no run
        folder.write_settings(recipe, session.manifest)
    saved = time.monotonic()
    with closing(RunLog(folder.log, folder.tensorboard, step=state.step)) as log:
        unlogged: list[Step] = []
        for step in steps:
            unlogged.append(step)
            save = step.epoch_ends or time.monotonic() - saved > 60 * recipe.training.checkpoint_minutes
            if not (save or step.losses_read):
                continue
            _log_steps(log, unlogged)
            note = _describe(step)
            session.progress("train", step.step, total, note)
            if step.epoch_ends:
                logger.info(note)
                _evaluate_between(session, kept, step, log)
            if save:
                saved = _save(folder, state, log)
    plot_training(folder, read_log(folder.log))
    kept.forget_training()
    save_model(folder.root, kept, session.manifest)
    return kept


def _log_steps(log: RunLog, steps: list[Step]) -> None:
    """Log the steps whose losses have been read together, and empty the list."""
    for step in steps:
        log.write(step.to_dict())
    steps.clear()


def _save(folder: RunFolder, state: TrainingState, log: RunLog) -> float:
    """Save a checkpoint after the log that belongs to it, and return the time."""
    log.sync()
    save_checkpoint(folder.checkpoint, state)
    return time.monotonic()


def _describe(step: Step) -> str:
    """Describe a step in one line: epoch, loss, learning rate, images per second."""
    return (
        f"{step.stage}{'  ' if step.stage else ''}epoch {step.epoch + 1}  loss {step.losses['loss']:.3f}  "
        f"lr {step.learning_rate:.2e}  {step.images_per_second:.0f} images/s"
    )


def _evaluate_between(session: Session, network: ReID, step: Step, log: RunLog) -> None:
    """Evaluate at the end of a named stage, or of an epoch where the recipe's `evaluate_every` requires it."""
    training, epochs = session.recipe.training, step.epoch + 1
    stage_ends = bool(step.stage) and step.stage_ends
    due = training.evaluate_every and epochs % training.evaluate_every == 0 and epochs < session.recipe.schedule.epochs
    if not stage_ends and not due:
        return
    results = session.evaluate(network)
    metrics: dict[str, float] = {}
    for result in results:
        name, scores = result.data.name, result.scores
        logger.info(
            "%s %d: %s Rank-1 %.1f%%, mAP %.1f%%",
            f"end of stage {step.stage}, epoch" if step.stage_ends else "epoch",
            epochs,
            result.data.title,
            100 * scores.rank1,
            100 * scores.mAP,
        )
        metrics |= {f"{name}/rank1": scores.rank1, f"{name}/mAP": scores.mAP}
    if stage_ends:
        record_stage(session.folder, step.stage, results, epochs=epochs)
    log.write({"step": step.step, "epoch": epochs, "first_epoch": 1, "stage": step.stage, "scores": metrics})
