"""Train a model: from a recipe and a data set to weights, metrics and plots in one folder."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from passerby.data.datasets import load_data
from passerby.data.training_set import TrainingSet, join_training
from passerby.distributed import Process, join_processes
from passerby.errors import DataError, RecipeError, TrainingError
from passerby.model.convnext_ap import ReID
from passerby.model.embed import Embedder, Preprocessing, load
from passerby.model.weights import save_model
from passerby.progress import ProgressCallback, ProgressOption, open_progress
from passerby.recipe import Recipe, load_recipe
from passerby.runs.assemble import training_loader, training_state, training_steps
from passerby.runs.calibrate import calibrate_model, has_calibration, write_calibration
from passerby.runs.evaluate_model import (
    EvaluationResult,
    evaluate_model,
    evaluation_options,
    require_valid_queries,
)
from passerby.runs.manifest import build_manifest, warn_of_other_weights
from passerby.runs.run_data import ABSOLUTE, describe_data, load_run_data
from passerby.runs.run_folder import RunFolder
from passerby.runs.run_plots import plot_evaluations, plot_training
from passerby.runs.scores_file import record_evaluations, record_stage
from passerby.training.checkpoint import load_checkpoint, read_stage, save_checkpoint
from passerby.training.log import RunLog, read_log
from passerby.training.loop import steps_per_epoch
from passerby.training.state import Step, TrainingState
from passerby.types import DataSet

logger = logging.getLogger(__name__)


def train(
    recipe: Recipe,
    data: str,
    out: str | Path,
    *,
    device: str = "auto",
    progress: ProgressOption = False,
) -> list[EvaluationResult]:
    """Train a recipe on data sets into a new folder, then evaluate on every data set that has queries.

    Args:
        recipe: The settings; see `load_recipe`.
        data: Data sets, such as `market1501:/data/Market-1501-v15.09.15+cuhk01:/data/cuhk01`.
        out: A folder that holds no run yet.
        device: `auto`, `cpu`, `cuda` or `mps`. Under torchrun each process has its own GPU.
        progress: True for a bar and log lines on stderr, or a callback, which receives each optimizer step as task
            `train` with a note of epoch, loss, learning rate and images/s. Each epoch's note is also logged.

    Returns:
        The evaluations of the finished model; empty in every process of torchrun but the first.

    Raises:
        PasserbyError: For data, settings or a folder that cannot be used; existing files are not changed.

    Example:
        >>> tiny = ["model.backbone=test_convnext", "model.pretrained=false", "model.parts=2", "images.size=[64, 32]"]
        >>> short = ["schedule.epochs=1", "schedule.warmup_epochs=0", "batches.persons=4", "evaluation.bootstrap=0"]
        >>> recipe = passerby.load_recipe("lab-atto", overrides=[*tiny, *short])
        >>> (result,) = passerby.train(recipe, "market1501:people", "runs/new")
        >>> passerby.load("runs/new").embed("a.jpg").shape[0]
        1
    """
    folder = RunFolder(Path(out))
    folder.require_unused()
    with open_progress(progress) as report:
        return _run(folder, recipe, data, device=device, progress=report)


def resume(
    out: str | Path,
    data: str | None = None,
    *,
    epochs: int | None = None,
    device: str = "auto",
    progress: ProgressOption = False,
) -> list[EvaluationResult]:
    """Continue a run from its last checkpoint. On the CPU the weights are those of an uninterrupted run.

    A run whose training has ended is evaluated again. With more `epochs` its training continues: each further step has
    the learning rate of the schedule over `epochs`, as if that had been the length from the start, so that the rate
    rises again after the end of a shorter cosine. The model of the shorter training is kept in the folder
    `epochs-N` of the run, with its metrics and its calibration.

    Args:
        out: Folder of the run.
        data: The run's data sets at another path; None is where they were, see `load_run_data`.
        epochs: New length of a training without stages, larger than the present one; None keeps it.
        device: As for `train`.
        progress: As for `train`.

    Raises:
        TrainingError: If there is no run, another process trains it, or the data have changed.
        RecipeError: For `epochs` that do not lengthen the training.

    Example:
        >>> (result,) = passerby.resume("runs/m")
        >>> result.scores.valid_queries
        24
    """
    folder = RunFolder(Path(out))
    manifest = folder.read_manifest()
    recipe = load_recipe(folder.recipe)
    if epochs is not None:
        recipe = lengthen_recipe(recipe, epochs)
    with open_progress(progress) as report:
        return _run(folder, recipe, data, device=device, progress=report, started=manifest)


def lengthen_recipe(recipe: Recipe, epochs: int) -> Recipe:
    """Return a recipe with more epochs.

    Raises:
        RecipeError: For fewer epochs than it has, or a training in stages.
    """
    if recipe.stages:
        raise RecipeError("schedule.epochs: a run in stages cannot be lengthened; start a new run with other stages")
    if epochs < recipe.schedule.epochs:
        raise RecipeError(
            f"schedule.epochs: got {epochs}, the run has {recipe.schedule.epochs}; a resumed run can only be lengthened"
        )
    return recipe.with_changes(schedule={"epochs": epochs})


@dataclass(frozen=True)
class _Session:
    """One training: its inputs, its folder and the process that it runs in."""

    folder: RunFolder
    recipe: Recipe
    sets: Sequence[DataSet]
    training_set: TrainingSet
    manifest: dict[str, Any]
    process: Process
    progress: ProgressCallback

    def embedder(self, network: ReID) -> Embedder:
        images = self.recipe.images
        preprocessing = Preprocessing(size=images.size, mean=images.mean, std=images.std)
        return Embedder(network, preprocessing, self.manifest, device=self.process.device)

    def evaluate(self, network: ReID) -> list[EvaluationResult]:
        """Evaluate on every data set that has queries."""
        embedders, options = [self.embedder(network)], evaluation_options(self.recipe)
        return [
            evaluate_model(embedders, data_set, options, progress=self.progress)
            for data_set in self.sets
            if data_set.query
        ]


def _run(
    folder: RunFolder,
    recipe: Recipe,
    data: str | None,
    *,
    device: str,
    progress: ProgressCallback,
    started: dict[str, Any] | None = None,
) -> list[EvaluationResult]:
    """Train unless the model exists, calibrate, evaluate.

    Args:
        folder: Of the run.
        recipe: Its settings.
        data: Data sets; None is those of `started`.
        device: As for `train`.
        progress: Callback.
        started: Manifest of a run that is resumed.
    """
    recipe = recipe.with_changes()  # a copy, in which the rules between sections hold after assignments too
    if recipe.training.threads is not None:
        torch.set_num_threads(recipe.training.threads)
    if started is None or data is not None:
        assert data is not None
        sets, described = load_data(data), describe_data(data, folder.root)
    else:
        sets = load_run_data(folder.root, started)
        described = {key: started[key] for key in ("data", "data_from_run", ABSOLUTE) if key in started}
    training_set = join_training(sets)
    for data_set in sets:
        require_valid_queries(data_set)
    manifest = build_manifest(recipe, described, sets, training_set)
    if started is not None and started["fingerprint"] != manifest["fingerprint"]:
        raise TrainingError(
            f"{folder.root}: the data set at {described['data']} is not the one that the run started with (fingerprint "
            f"{manifest['fingerprint'][:12]}, was {started['fingerprint'][:12]}); restore it, or start a new run"
        )
    with join_processes(device) as process, folder.lock() if process.first else nullcontext():
        session = _Session(folder, recipe, sets, training_set, manifest, process, progress)
        if process.first:
            _prepare(session, started, moved=data is not None)
        process.wait()
        if folder.model.is_file():
            if process.first:
                logger.info("%s: already finished; evaluating it", folder.root)
            network = load(folder.root, device=process.device).network
        else:
            network = _train(session)
        return _finish(session, network) if process.first else []


def _prepare(session: _Session, started: dict[str, Any] | None, *, moved: bool) -> None:
    """Check, under the lock, that nothing has changed; record a new path of the data, or a new length.

    Args:
        session: The training.
        started: Manifest of a run that is resumed.
        moved: Whether its data were named by another path.
    """
    folder = session.folder
    if started is None:
        folder.require_unused()  # another process may have begun a run here since the first check
        return
    before = load_recipe(folder.recipe).schedule.epochs
    if session.recipe.schedule.epochs != before:
        if folder.model.is_file() and not folder.checkpoint.is_file():
            raise TrainingError(f"{folder.checkpoint}: no such file; a longer training continues from it")
        folder.set_aside(f"epochs-{before}")
        folder.write_settings(session.recipe, session.manifest)
    elif moved:
        folder.write_settings(session.recipe, session.manifest)


def _finish(session: _Session, network: ReID) -> list[EvaluationResult]:
    """Calibrate and evaluate a trained network, and record the metrics and plots."""
    folder, recipe = session.folder, session.recipe
    if recipe.evaluation.calibration is not None and not has_calibration(folder.root):
        _calibrate(session, network)
    results = session.evaluate(network)
    if not results:
        logger.warning("no data set has a query split: the model is saved and not evaluated")
    record_evaluations(folder, results)
    plot_evaluations(folder, results)
    return results


def _train(session: _Session) -> ReID:
    """Train from the last checkpoint, or from the start, save the model and return its network."""
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
    kept.forget_centers()  # used by the center loss alone
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


def _evaluate_between(session: _Session, network: ReID, step: Step, log: RunLog) -> None:
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
    log.write({"step": step.step, "epoch": step.epoch, "stage": step.stage, "scores": metrics})


def _calibrate(session: _Session, network: ReID) -> None:
    """Write the calibration; without pairs of images from two cameras, log a warning and write none."""
    method = session.recipe.evaluation.calibration
    assert method is not None
    try:
        calibration = calibrate_model(
            session.embedder(network),
            session.sets,
            evaluation_options(session.recipe),
            spec=session.manifest["data"],
            method=method,
            seed=session.recipe.training.seed,
            progress=session.progress,
        )
    except DataError as error:
        logger.warning("not calibrated: %s", error)
    else:
        write_calibration(session.folder, calibration)
