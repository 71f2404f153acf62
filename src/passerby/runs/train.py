"""Train: a recipe and a data set in; a model, its figures and everything needed to trust them out."""

from __future__ import annotations

import json
import logging
import platform
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from passerby.data.datasets import load_data
from passerby.data.fingerprint import fingerprint
from passerby.data.training_set import TrainingSet, join_training
from passerby.distributed import Process, join_processes
from passerby.errors import DataError, TrainingError
from passerby.files import write_all_atomic
from passerby.model.convnext_ap import ReID
from passerby.model.embed import Embedder, Preprocessing, load
from passerby.model.weights import MANIFEST_FORMAT, find_setting_differences, find_weights_file, save_model
from passerby.plots.training_curves import plot_learning_rate, plot_losses
from passerby.progress import ProgressCallback, ProgressOption, open_progress
from passerby.recipe import Recipe, load_recipe
from passerby.runs.arguments import count_classes, model_arguments
from passerby.runs.assemble import training_loader, training_state, training_steps
from passerby.runs.calibrate import calibrate, has_calibration
from passerby.runs.evaluate import (
    EvaluationResult,
    evaluate_network,
    evaluation_arguments,
    record_evaluations,
    record_stage,
    require_valid_queries,
)
from passerby.runs.run_folder import RunFolder, json_bytes
from passerby.training.checkpoint import load_checkpoint, read_stage, save_checkpoint
from passerby.training.log import RunLog, read_log
from passerby.training.loop import steps_per_epoch
from passerby.training.state import Step
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
    """Train `recipe` on `data` into the new folder `out`, then evaluate on every data set that has queries.

    Args:
        recipe: What to do; see `load_recipe`.
        data: Data sets, such as `market1501:/data/Market-1501-v15.09.15+cuhk01:/data/cuhk01`.
        out: A folder that holds no run yet.
        device: `auto`, `cpu`, `cuda`, `mps`; under torchrun every process takes its own GPU.
        progress: True for a bar and log lines on stderr, or a callback, which receives each optimizer step as task
            `train` with a note of epoch, loss, learning rate and images/s. Each epoch's note is also logged.

    Returns:
        The evaluations of the finished model, empty in every process of torchrun but the first.

    Raises:
        PasserbyError: For data, settings or a folder that cannot be used; nothing that existed is touched.
    """
    folder = RunFolder(Path(out))
    folder.require_unused()
    with open_progress(progress) as report:
        return _run(folder, recipe, data, device=device, progress=report)


def resume(out: str | Path, *, device: str = "auto", progress: ProgressOption = False) -> list[EvaluationResult]:
    """Continue the run in `out` from its last checkpoint; on the CPU it ends with the weights of an unbroken run.

    A run whose training has ended is only evaluated again.

    Raises:
        TrainingError: When there is no run, or the data set is not what it was.
    """
    folder = RunFolder(Path(out))
    manifest = folder.read_manifest()
    recipe = load_recipe(folder.recipe)
    with open_progress(progress) as report:
        return _run(folder, recipe, manifest["data"], device=device, progress=report, before=manifest)


def _run(
    folder: RunFolder,
    recipe: Recipe,
    data: str,
    *,
    device: str,
    progress: ProgressCallback,
    before: dict[str, Any] | None = None,
) -> list[EvaluationResult]:
    recipe = recipe.with_changes()  # a copy, in which the rules between sections hold after assignments too
    if recipe.training.threads is not None:
        torch.set_num_threads(recipe.training.threads)
    sets = load_data(data)
    training_set = join_training(sets)
    for each in sets:
        require_valid_queries(each)
    manifest = _manifest(recipe, data, sets, training_set)
    if before is not None and before["fingerprint"] != manifest["fingerprint"]:
        raise TrainingError(
            f"{folder.root}: the data set at {data} is not the one that the run started with (fingerprint "
            f"{manifest['fingerprint'][:12]}, was {before['fingerprint'][:12]}); restore it, or start a new run"
        )
    processes: AbstractContextManager[Process] = join_processes(device)
    with processes as process:
        if folder.model.is_file():
            if process.first:
                logger.info("%s: already finished; evaluating it", folder.root)
            network = load(folder.root, device=process.device).network
        else:
            network = _train(folder, recipe, training_set, sets, process, manifest=manifest, progress=progress)
    if not process.first:
        return []
    if recipe.evaluation.calibration is not None and not has_calibration(folder.root):  # the user's own is kept
        _calibrate(folder, recipe, str(process.device), progress)
    results = [_evaluate(network, each, recipe, process, progress) for each in sets if each.query]
    if not results:
        logger.warning("no data set has a query split: the model is saved and not evaluated")
    record_evaluations(folder, results)
    return results


def _train(
    folder: RunFolder,
    recipe: Recipe,
    training_set: TrainingSet,
    sets: Sequence[DataSet],
    process: Process,
    *,
    manifest: dict[str, Any],
    progress: ProgressCallback,
) -> ReID:
    """From the last checkpoint, or from nothing, to the model in the folder. Returns its network."""
    if process.first:
        folder.make()
    resumed = folder.checkpoint.is_file()
    stage = read_stage(folder.checkpoint) if resumed else 0
    network, state = training_state(recipe, training_set.identities, process, stage=stage)
    if process.first and not resumed:
        _warn_of_other_weights(recipe)
    loader = training_loader(recipe, training_set, process, progress=progress)
    total = recipe.schedule.epochs * steps_per_epoch(len(loader), recipe.optimizer.accumulate)
    if resumed:
        load_checkpoint(folder.checkpoint, state)
        name = recipe.plan[stage].name
        stage_note = f", stage {name}," if name else ""
        if process.first:
            logger.info("resumed at step %d%s from %s", state.step, stage_note, folder.checkpoint)
    kept: ReID = network if state.ema is None else state.ema.module
    steps = training_steps(state, loader, recipe, process, training_set)
    if not process.first:
        deque(steps, maxlen=0)
        return kept
    if not folder.manifest.exists():  # only now, when all that could be refused has been built, is it a run
        write_all_atomic({folder.recipe: recipe.to_yaml().encode(), folder.manifest: json_bytes(manifest)})
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
            progress("train", step.step, total, note)
            if step.epoch_ends:
                logger.info(note)
            if step.stage and step.stage_ends:
                log.write(_stage_scores(folder, kept, sets, recipe, process, step, progress))
            elif step.epoch_ends and _due(step.epoch + 1, recipe.training.evaluate_every, recipe.schedule.epochs):
                log.write(_scores_on_the_way(kept, sets, recipe, process, step, progress)[0])
            if save:
                log.sync()
                save_checkpoint(folder.checkpoint, state)
                saved = time.monotonic()
    records = read_log(folder.log)
    plot_learning_rate(records, folder.figures / "learning-rate.png")
    plot_losses(records, folder.figures / "losses.png")
    kept.forget_centers()  # the training's alone
    save_model(folder.root, kept, manifest)
    return kept


def _log_steps(log: RunLog, steps: list[Step]) -> None:
    """Log the steps whose losses have been read together, and empty the list."""
    for step in steps:
        log.write(step.to_dict())
    steps.clear()


def _describe(step: Step) -> str:
    """Describe a step in one line: epoch, loss, learning rate, images per second."""
    return (
        f"{step.stage}{'  ' if step.stage else ''}epoch {step.epoch + 1}  loss {step.losses['loss']:.3f}  "
        f"lr {step.learning_rate:.2e}  {step.images_per_second:.0f} images/s"
    )


def _scores_on_the_way(
    network: ReID, sets: Sequence[DataSet], recipe: Recipe, process: Process, step: Step, progress: ProgressCallback
) -> tuple[dict[str, Any], list[EvaluationResult]]:
    """The log's record of an evaluation between two epochs, and the evaluation."""
    results = [_evaluate(network, each, recipe, process, progress) for each in sets if each.query]
    when = f"end of stage {step.stage}, epoch" if step.stage_ends else "epoch"
    found: dict[str, float] = {}
    for each in results:
        name, scores = each.data.name, each.scores
        figures = f"Rank-1 {scores.rank1:.1%}, mAP {scores.mAP:.1%}"
        logger.info("%s %d: %s %s", when, step.epoch + 1, each.data.title, figures)
        found |= {f"{name}/rank1": scores.rank1, f"{name}/mAP": scores.mAP}
    return {"step": step.step, "epoch": step.epoch, "stage": step.stage, "scores": found}, results


def _stage_scores(
    folder: RunFolder,
    network: ReID,
    sets: Sequence[DataSet],
    recipe: Recipe,
    process: Process,
    step: Step,
    progress: ProgressCallback,
) -> dict[str, Any]:
    """The log's record at the end of a stage, whose figures the run keeps beside those of the finished model."""
    record, results = _scores_on_the_way(network, sets, recipe, process, step, progress)
    record_stage(folder, step.stage, step.epoch + 1, results)
    return record


def _due(epochs_done: int, every: int, epochs: int) -> bool:
    """Whether to evaluate now; the end of the run has its own evaluation."""
    return every > 0 and epochs_done % every == 0 and epochs_done < epochs


def _embedder(network: ReID, recipe: Recipe, process: Process) -> Embedder:
    images = recipe.images
    preprocessing = Preprocessing(size=images.size, mean=images.mean, std=images.std)
    return Embedder(network, preprocessing, {}, device=process.device)


def _evaluate(
    network: ReID, data: DataSet, recipe: Recipe, process: Process, progress: ProgressCallback
) -> EvaluationResult:
    embedder = _embedder(network, recipe, process)
    return evaluate_network([embedder], data, **evaluation_arguments(recipe), progress=progress)


def _calibrate(folder: RunFolder, recipe: Recipe, device: str, progress: ProgressCallback) -> None:
    """Fit the calibration; without pairs of images from two cameras, log a warning and write none."""
    method = recipe.evaluation.calibration
    assert method is not None
    try:
        calibrate(folder.root, method=method, seed=recipe.training.seed, device=device, progress=progress)
    except DataError as error:
        logger.warning("not calibrated: %s", error)


def _manifest(recipe: Recipe, data: str, sets: Sequence[DataSet], training_set: TrainingSet) -> dict[str, Any]:
    """What a reader, a gallery or a reviewer must know of the model: everything but the weights."""
    return {
        "format": MANIFEST_FORMAT,
        "passerby": version("passerby"),
        "model": model_arguments(recipe) | {"pretrained": False, "weights": None},
        "initial_weights": _initial_weights(recipe),
        "preprocessing": recipe.images.model_dump(mode="json", include={"size", "mean", "std"}),
        "identities": count_classes(recipe, training_set.identities),
        "trained_identities": training_set.identities,
        "images": len(training_set.samples),
        "data": data,
        "titles": [each.title for each in sets],
        "fingerprint": fingerprint(sets),
        "fingerprints": [fingerprint([data_set]) for data_set in sets],
        "protocols": [each.protocol for each in sets],
        "recipe": recipe.model_dump(mode="json"),
        "seed": recipe.training.seed,
        "versions": {name: version(name) for name in ("torch", "torchvision", "timm", "numpy")}
        | {"python": platform.python_version()},
    }


def _warn_of_other_weights(recipe: Recipe) -> None:
    """Warn if settings that no tensor shows differ between the network and the run that its initial weights are of."""
    path = find_weights_file(recipe.model.weights)
    unlike = {} if path is None else find_setting_differences(path, model_arguments(recipe))
    if unlike:
        trained = ", ".join(f"{key}={json.dumps(value)}" for key, value in unlike.items())
        options = " ".join(f"--set model.{key}={json.dumps(value)}" for key, value in unlike.items())
        logger.warning(
            "weights %s: trained with %s, unlike the model; expect lower accuracy. Add %s",
            recipe.model.weights,
            trained,
            options,
        )


def _initial_weights(recipe: Recipe) -> str:
    """Where the weights came from before the first step."""
    if recipe.model.weights is not None:
        return str(recipe.model.weights)
    return f"timm: {recipe.model.backbone}" if recipe.model.pretrained else "random"
