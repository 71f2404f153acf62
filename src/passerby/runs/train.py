"""Train a model: from a recipe and a data set to weights, metrics and plots in one folder."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from passerby.data.datasets import load_data
from passerby.data.training_set import join_training
from passerby.distributed import join_processes
from passerby.errors import DataError, RecipeError, TrainingError, argument
from passerby.model.embed import load
from passerby.progress import ProgressCallback, ProgressOption, open_progress
from passerby.recipe import Recipe, find_differences, load_recipe
from passerby.runs.calibrate import calibrate_model, has_calibration, write_calibration
from passerby.runs.camera_embedding import require_cameras
from passerby.runs.evaluate_model import EvaluationResult, evaluation_options, require_valid_queries
from passerby.runs.manifest import build_manifest, require_own_network
from passerby.runs.run_data import ABSOLUTE, describe_data, load_run_data
from passerby.runs.run_folder import RunFolder
from passerby.runs.run_plots import plot_evaluations
from passerby.runs.scores_file import record_evaluations
from passerby.runs.training_session import Session, train_network

if TYPE_CHECKING:
    from passerby.model.convnext_ap import ReID

logger = logging.getLogger(__name__)


def train(
    recipe: Recipe,
    data: str,
    out: str | Path,
    *,
    resume_existing: bool = False,
    device: str = "auto",
    progress: ProgressOption = False,
) -> list[EvaluationResult]:
    """Train a recipe on data sets into a new folder, then evaluate on every data set that has queries.

    Args:
        recipe: The settings; see `load_recipe`.
        data: Data sets, such as `market1501:/data/Market-1501-v15.09.15+cuhk01:/data/cuhk01`.
        out: A folder that holds no run yet.
        resume_existing: Continue the run in `out` if there is one, as `resume`; a call that is repeated after an
            interruption then ends with the same model.
        device: `auto`, `cpu`, `cuda` or `mps`. Under torchrun each process has its own GPU.
        progress: True for a bar and log lines on stderr, or a callback, which receives each optimizer step as task
            `train` with a note of epoch, loss, learning rate and images/s. Each epoch's note is also logged.

    Returns:
        The evaluations of the finished model; empty in every process of torchrun but the first.

    Raises:
        PasserbyError: For data, settings or a folder that cannot be used; existing files are not changed.
        RecipeError: If the run in `out` has another recipe.

    Example:
        >>> tiny = ["model.backbone=test_convnext", "model.pretrained=false", "model.parts=2", "images.size=[64, 32]"]
        >>> short = ["schedule.epochs=1", "schedule.warmup_epochs=0", "batches.persons=4", "evaluation.bootstrap=0"]
        >>> recipe = passerby.load_recipe("lab-atto", overrides=[*tiny, *short])
        >>> (result,) = passerby.train(recipe, "market1501:people", "runs/new")
        >>> passerby.load("runs/new").embed("a.jpg").shape[0]
        1
    """
    folder = RunFolder(Path(out))
    if resume_existing and folder.manifest.is_file():
        require_recipe(folder, recipe)
        return resume(out, data, device=device, progress=progress)
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


def require_recipe(folder: RunFolder, recipe: Recipe) -> None:
    """Check that a run was started with a recipe.

    Raises:
        RecipeError: If it has another one; the message names values that differ.
    """
    if changes := find_differences(recipe, load_recipe(folder.recipe)):
        raise RecipeError(
            f"{folder.root}: the run was started with another recipe, without {', '.join(changes[:3])}; give "
            f"its recipe, or another {argument('out')}"
        )


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
        folder: Folder of the run.
        recipe: Its settings.
        data: Data sets; None is those of `started`.
        device: As for `train`.
        progress: Callback.
        started: Manifest of a run that is resumed.
    """
    recipe = recipe.with_changes()  # a copy, in which the rules between sections hold after assignments too
    if recipe.training.threads is not None:
        import torch

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
        require_cameras(recipe.model.method, data_set)
    if started is None:  # a resumed run no longer reads its initial weights
        require_own_network(recipe)
    manifest = build_manifest(recipe, described, sets, training_set)
    if started is not None and started["fingerprint"] != manifest["fingerprint"]:
        raise TrainingError(
            f"{folder.root}: the data set at {described['data']} is not the one that the run started with (fingerprint "
            f"{manifest['fingerprint'][:12]}, was {started['fingerprint'][:12]}); restore it, or start a new run"
        )
    with join_processes(device) as process, folder.lock() if process.first else nullcontext():
        session = Session(folder, recipe, sets, training_set, manifest, process, progress)
        if process.first:
            _prepare(session, started, moved=data is not None)
        process.wait()
        if folder.model.is_file():
            if process.first:
                logger.info("%s: already finished; evaluating it", folder.root)
            network = load(folder.root, device=str(process.device)).network
        else:
            network = train_network(session)
        return _finish(session, network) if process.first else []


def _prepare(session: Session, started: dict[str, Any] | None, *, moved: bool) -> None:
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


def _finish(session: Session, network: ReID) -> list[EvaluationResult]:
    """Calibrate and evaluate a trained network, and record the metrics and plots."""
    folder, recipe = session.folder, session.recipe
    if recipe.evaluation.calibration is not None and not has_calibration(folder.root):
        _calibrate(session, network)
    results = session.evaluate(network, keep=True)
    if not results:
        logger.warning("no data set has a query split: the model is saved and not evaluated")
    record_evaluations(folder, results)
    plot_evaluations(folder, results)
    return results


def _calibrate(session: Session, network: ReID) -> None:
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
