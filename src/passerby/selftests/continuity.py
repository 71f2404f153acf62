"""Trainings that must agree: resumed with unbroken, a process group of one process with no group; then a whole run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch

from passerby.data.training_set import TrainingSet
from passerby.distributed import Process, join_processes
from passerby.errors import MissingExtraError
from passerby.exporting.export_model import export_model
from passerby.recipe import Recipe
from passerby.runs.assemble import training_loader
from passerby.runs.train import train
from passerby.selftests.check_table import CheckRow
from passerby.selftests.step_speed import first_batch, start_steps
from passerby.text import plural
from passerby.training.checkpoint import load_checkpoint, save_checkpoint
from passerby.training.state import Step

TOLERANCE = 0.01
"""Largest relative difference of two losses on a GPU, whose kernels are not deterministic; on the CPU it is 0."""


def compare_resumed(recipe: Recipe, training_set: TrainingSet, process: Process, *, steps: int, path: Path) -> CheckRow:
    """Save a checkpoint half-way, load it into new weights, and compare the losses after it with an unbroken training.

    Args:
        recipe: Recipe of the training.
        training_set: Its images.
        process: This process.
        steps: Steps before and after the checkpoint.
        path: File of the checkpoint.
    """
    batch = first_batch(training_loader(recipe, training_set, process))
    state, run = start_steps(recipe, training_set, batch, process)
    _losses(run, steps)
    save_checkpoint(path, state)
    unbroken = _losses(run, steps)
    state, run = start_steps(recipe, training_set, batch, process)
    load_checkpoint(path, state)
    resumed = _losses(run, steps)
    return _compare(
        "resume", resumed, unbroken, process.device, f"after a checkpoint of {path.stat().st_size / 2**20:.0f} MiB"
    )


def compare_group(recipe: Recipe, training_set: TrainingSet, process: Process, *, steps: int) -> CheckRow:
    """Compare the losses in a process group of one process, with DistributedDataParallel, with those without.

    Args:
        recipe: Recipe of the training.
        training_set: Its images.
        process: This process, without a group.
        steps: Steps of each training.
    """
    batch = first_batch(training_loader(recipe, training_set, process))
    alone = _losses(start_steps(recipe, training_set, batch, process)[1], steps)
    with join_processes(process.device, group=True) as member:
        grouped = _losses(start_steps(recipe, training_set, batch, member)[1], steps)
        backend = torch.distributed.get_backend()
    return _compare("DDP, one process", grouped, alone, process.device, f"by {backend}")


def _losses(run: Iterator[Step], steps: int) -> list[float]:
    return [step.losses["loss"] for step in list(islice(run, steps))]


def _compare(name: str, losses: list[float], expected: list[float], device: torch.device, detail: str) -> CheckRow:
    largest = max(abs(a - b) / abs(b) for a, b in zip(losses, expected, strict=True))
    limit = 0.0 if device.type == "cpu" else TOLERANCE
    text = f"{plural(len(losses), 'loss')} {detail}: largest relative difference {largest:.1e} (at most {limit:g})"
    return CheckRow(name, "passed" if largest <= limit else "failed", text, {"largest_difference": largest})


def train_and_export(recipe: Recipe, data: str, device: torch.device, folder: Path) -> list[CheckRow]:
    """Train, calibrate and evaluate one epoch as `passerby train` does, and export the run to ONNX.

    Args:
        recipe: Recipe of the run.
        data: Spec of the data set.
        device: Device that is checked.
        folder: Folder of the run and of the exported file.
    """
    (result,) = train(recipe, data, folder / "run", device=str(device))
    text = f"one epoch, calibration, evaluation: Rank-1 {result.scores.rank1:.1%}, mAP {result.scores.mAP:.1%}"
    rows = [CheckRow("whole run", "passed", text, {"rank1": result.scores.rank1, "mAP": result.scores.mAP})]
    try:
        exported = export_model(folder / "run", folder / "model.onnx", images=data)
    except MissingExtraError as error:
        return [*rows, CheckRow("export", "not applicable", str(error))]
    certificate = exported.certificate
    text = f"ONNX, {exported.size / 2**20:.1f} MiB, least cosine {certificate.cosine_min:.6f}"
    return [*rows, CheckRow("export", "passed", text, {"least_cosine": certificate.cosine_min, "bytes": exported.size})]
