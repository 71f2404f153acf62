"""Sections of the training: curves, and training images before and after augmentation."""

from __future__ import annotations

from dataclasses import replace

from passerby.data.training_set import join_training
from passerby.errors import DataError
from passerby.plots.crop_rows import CaptionedCrop, plot_crop_rows, plot_mosaic
from passerby.plots.style import name_png_and_svg
from passerby.plots.training_curves import plot_learning_rate, plot_losses
from passerby.reporting.page import PageFigure, PageSection
from passerby.reporting.reported_runs import RunGroup
from passerby.runs.arguments import build_loader_settings
from passerby.text import plural
from passerby.training.loader import TrainingLoader
from passerby.training.log import read_log

_SHOWN = 8  # images before and after augmentation


def build_training_section(group: RunGroup) -> PageSection:
    """Plot learning rate, losses and metrics of each run that has a log."""
    distinct = {run.folder: replace(run, title=run.name) for run in group.runs}
    parts = []
    for run, suffix, label in replace(group, runs=tuple(distinct.values())).labeled():
        records = read_log(run.folder.log)
        if not any("losses" in record for record in records):
            continue
        rate, *_ = plot_learning_rate(
            records, name_png_and_svg(group.folder / f"learning-rate{suffix}.png"), title=label("Learning rate")
        )
        losses, *_ = plot_losses(records, name_png_and_svg(group.folder / f"losses{suffix}.png"), title=label("Losses"))
        measured = any(record.get("scores") for record in records)
        caption = "Losses, and metrics measured during training." if measured else "Losses."
        parts += [
            PageFigure(rate, label("Learning rate of each step."), "Learning rate by epoch.", narrow=True),
            PageFigure(losses, label(caption), "Losses by epoch.", narrow=True),
        ]
    return PageSection("Training", () if parts else ("The runs have no training log.",), tuple(parts))


def build_training_image_section(group: RunGroup) -> PageSection:
    """Plot the first training batch of the first run, and some of its images before and after augmentation."""
    title, run = "Training images", group.runs[0]
    recipe = run.recipe
    if not run.embedder.has_network:
        return PageSection(title, ("Not shown: the model is an ONNX or OpenVINO file, which was not trained here.",))
    try:
        training_set = join_training([run.result.data])
    except DataError as error:
        return PageSection(title, (f"Not shown: {error}",))
    identities = min(recipe.batches.persons, training_set.identities)
    settings = replace(build_loader_settings(recipe), persons=identities, alike=1, workers=0, cache="never")
    batch = next(iter(TrainingLoader(training_set, settings).epoch(0)))
    samples = [training_set.samples[int(index)] for index in batch.indices[:_SHOWN]]
    before, after = run.read_pixels(samples), run.pixels(batch.images)
    rows = [
        (
            "",
            [CaptionedCrop(image, ("resized", f"identity {sample.person_id}")), CaptionedCrop(changed, ("augmented",))],
        )
        for image, changed, sample in zip(before, after[: len(before)], samples, strict=True)
    ]
    single, *_ = plot_crop_rows(
        rows, group.folder / "augmentation.png", title="Before and after augmentation", across=8
    )
    size = f"{plural(identities, 'identity')} x {plural(recipe.batches.images, 'image')}"
    whole, *_ = plot_mosaic(after, group.folder / "batch.png", title=f"First batch: {size}")
    erasing = recipe.images.erasing
    text = (
        f"{run.name}: augmented as configured in its recipe; "
        f"{f'random erasing with probability {erasing.p:g}' if erasing else 'no random erasing'}."
    )
    caption = "Training images, resized only and augmented."
    return PageSection(
        title,
        (text,),
        (
            PageFigure(single, caption, "Pairs of crops before and after augmentation.", crops=True),
            PageFigure(whole, "First batch of the training.", "Grid of augmented crops.", crops=True),
        ),
    )
