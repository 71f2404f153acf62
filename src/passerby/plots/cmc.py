"""Cumulative match characteristic (CMC) curves."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from passerby.errors import DataError
from passerby.evaluation.summary import describe, percent
from passerby.plots.style import COLORS, INK, MUTED, dress, line_style, new_figure, save
from passerby.types import Scores

_LINE = 90  # characters of a legend line that fit on the page


def plot_cmc(
    runs: Mapping[str, Scores], path: Path, *, max_rank: int = 20, title: str = "Cumulative match characteristic"
) -> list[Path]:
    """CMC curves of one or several runs, with the interval of Rank-1 as a bar.

    What the figures were measured on stands under the plot, or in the legend where the runs differ.

    Args:
        runs: Scores by the name in the legend, at least one.
        path: The PNG to write; the SVG goes beside it.
        max_rank: Ranks to show.
        title: What stands above.

    Raises:
        DataError: For no runs.
    """
    if not runs:
        raise DataError("runs: got none, expected at least one evaluation to draw")
    facts = {name: describe(scores) for name, scores in runs.items()}
    common = len(set(facts.values())) == 1
    notes = [facts[next(iter(runs))]] if common else []
    if any("rank1" in scores.intervals for scores in runs.values()):
        notes.append("bar and brackets: 95 % interval, bootstrap over identities")
    # The legend stands under the plot, where no curve can run behind it: inches for its lines and the notes'.
    labels = {name: _label(name, scores) + ("" if common else f"\n{facts[name]}") for name, scores in runs.items()}
    lines = sum(label.count("\n") + 1 for label in labels.values())
    below = 0.35 + 0.17 * len(notes) + 0.19 * lines
    height = 4.2 + below
    figure = new_figure(7.2, height)
    axes = figure.add_axes((0.095, (below + 0.55) / height, 0.875, 3.2 / height))
    for number, (name, scores) in enumerate(runs.items()):
        color = COLORS[number % len(COLORS)]
        shares = 100 * np.asarray(scores.cmc[:max_rank], dtype=np.float64)
        axes.plot(
            np.arange(1, len(shares) + 1),
            shares,
            **line_style(color),
            linestyle=("-", "--")[number // len(COLORS) % 2],
            label=labels[name],
            clip_on=False,
        )
        if "rank1" in scores.intervals:
            low, high = (100 * end for end in scores.intervals["rank1"])
            place = 1 + 0.08 * number  # side by side, so that bars of close runs can be read
            axes.vlines(place, low, high, color=color, linewidth=1.5, clip_on=False)
            axes.hlines((low, high), place - 0.06, place + 0.06, color=color, linewidth=1.5, clip_on=False)
    dress(axes, title=title, x="Rank", y="Queries with a match so far (%)")
    _rank_axis(axes, min(max_rank, max(len(scores.cmc) for scores in runs.values())))
    axes.set_ylim(*_percent_limits(runs.values()))
    figure.legend(
        loc="upper left",
        bbox_to_anchor=(0.08, (below + 0.1) / height),
        fontsize=9,
        frameon=False,
        labelcolor=INK,
    )
    figure.text(0.095, 0.1 / height, "\n".join(notes), fontsize=8, color=MUTED, va="bottom")
    return save(figure, path, vector=True)


def _label(name: str, scores: Scores) -> str:
    """A run's name and figures, on one line if the page has room, else the figures below the name."""
    figures = f"Rank-1 {percent(scores, 'rank1')}, mAP {percent(scores, 'mAP')}"
    line = f"{name}: {figures}"
    return line if len(line) <= _LINE else f"{textwrap.fill(name, _LINE)}\n{figures}"


def _rank_axis(axes: Axes, last: int) -> None:
    ticks = [rank for rank in (1, 5, 10, 15, 20, 30, 40, 50) if rank <= last]
    axes.set_xticks(ticks)
    axes.set_xlim(0.5, max(last, 2) + 0.3)


def _percent_limits(runs: Iterable[Scores]) -> tuple[float, float]:
    """From a round figure below everything drawn, to 100 %."""
    lowest = min(min(float(scores.cmc[0]), *scores.intervals.get("rank1", (1.0, 1.0))) for scores in runs)
    return max(0.0, 10 * np.floor(10 * lowest - 0.5)), 100.0
