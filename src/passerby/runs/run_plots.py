"""Plots of a run. Without the extra `report` they are left out with a warning, so that metrics do not depend on it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from passerby.data.images import read_image
from passerby.errors import MissingExtraError
from passerby.plots.cmc import plot_cmc
from passerby.plots.open_set_curves import plot_dir, plot_reliability, plot_roc
from passerby.plots.rank_lists import Order, choose_queries, plot_rank_lists
from passerby.plots.style import name_png_and_svg
from passerby.plots.training_curves import plot_learning_rate, plot_losses
from passerby.runs.evaluate_model import EvaluationResult
from passerby.runs.open_set import OpenSetResult
from passerby.runs.run_folder import RunFolder

logger = logging.getLogger(__name__)

ORDERS: tuple[Order, ...] = ("worst", "random", "best")


def plot_training(folder: RunFolder, records: Sequence[Mapping[str, Any]]) -> None:
    """Plot the learning rate and the losses of a training log."""
    try:
        plot_learning_rate(records, name_png_and_svg(folder.learning_rate_plot))
        plot_losses(records, name_png_and_svg(folder.losses_plot))
    except MissingExtraError as error:
        logger.warning("no plots of the training: %s", error)


def plot_evaluations(folder: RunFolder, results: Sequence[EvaluationResult]) -> None:
    """Plot every evaluation into a folder of its own."""
    try:
        for result in results:
            scores = result.scores
            rules = f"{scores.protocol} {scores.ap}{'' if result.flip else ' no flip'}"
            plot_evaluation(result, folder.evaluation_plots(f"{result.title} {rules}"))
    except MissingExtraError as error:
        logger.warning("no plots of the evaluation: %s", error)


def plot_evaluation(result: EvaluationResult, out: Path, *, queries: int = 8) -> None:
    """Plot the CMC curve and the rank lists of the worst, random and best queries, and the open-set metrics if any.

    Args:
        result: The evaluation.
        out: Folder of the plots.
        queries: Rank lists of each kind.
    """
    plot_cmc({result.title: result.scores}, name_png_and_svg(out / "cmc.png"))
    for order in ORDERS:
        plot_rank_lists(
            result.ranking,
            out / f"ranks-{order}.png",
            query=result.query_samples,
            gallery=result.gallery_samples,
            chosen=choose_queries(result.scores, queries, order=order),
            read=read_image,
            title=f"{result.title}: {order} queries",
        )
    if result.open_set is not None:
        plot_open_set(result.open_set, out, title=result.data.title)


def plot_open_set(result: OpenSetResult, out: Path, *, title: str) -> None:
    """Plot `roc.png`, `dir.png` if a rate can be resolved, and `reliability.png` if there is a calibration."""
    plot_roc({title: result.verification}, name_png_and_svg(out / "roc.png"))
    if not all(rate.reason for rate in result.scores.rates):
        plot_dir({title: result.scores}, name_png_and_svg(out / "dir.png"))
    if result.reliability is not None:
        plot_reliability({title: result.reliability}, name_png_and_svg(out / "reliability.png"))
