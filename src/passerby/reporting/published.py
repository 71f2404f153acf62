"""Figures that the paper quotes from others, beside our own; never in one row with a run on other data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from passerby.errors import DataError
from passerby.plots.style import COLORS, GRID, INK, MUTED, dress, new_figure, save
from passerby.types import Scores


@dataclass(frozen=True)
class PublishedResult:
    """What one method is said to reach on one data set.

    Attributes:
        method: Its name.
        rank1: Percent.
        mAP: Percent.
    """

    method: str
    rank1: float
    mAP: float


@cache
def load_published_source() -> str:
    """Where the figures stand."""
    return str(_file()["source"]).strip()


def load_published_results(name: str) -> list[PublishedResult]:
    """The figures quoted on a data set, by a reader's name such as `market1501`; empty where none are."""
    return [PublishedResult(row["method"], *row[name]) for row in _file()["rows"] if name in row]


@cache
def _file() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(
        files("passerby.reporting").joinpath("published.yaml").read_text(encoding="utf-8")
    )
    return loaded


def plot_published_results(
    quoted: list[PublishedResult], runs: Mapping[str, Scores], path: Path, *, title: str
) -> list[Path]:
    """Bars of Rank-1 and mAP: quoted methods in gray, our runs in color, by mAP.

    Args:
        quoted: What others reach on the data set, at least one.
        runs: Our scores on the same data set, by name.
        path: The PNG to write; the SVG goes beside it.
        title: What stands above.

    Raises:
        DataError: For no quoted figure.
    """
    if not quoted:
        raise DataError("quoted: got none, expected figures on the runs' data set")
    ours = [PublishedResult(name, 100 * scores.rank1, 100 * scores.mAP) for name, scores in runs.items()]
    rows = sorted([*quoted, *ours], key=lambda row: row.mAP)
    figure = new_figure(7.2, 1.1 + 0.36 * len(rows))
    axes = figure.add_subplot()
    for shift, name, strong, weak in ((-0.2, "mAP", COLORS[0], MUTED), (0.2, "rank1", COLORS[4], GRID)):
        values = [getattr(row, name) for row in rows]
        colors = [strong if row in ours else weak for row in rows]
        axes.barh(np.arange(len(rows)) + shift, values, height=0.36, color=colors)
        for place, value in enumerate(values):
            axes.text(value + 0.6, place + shift, f"{value:.1f}", fontsize=7.5, color=INK, va="center")
    dress(axes, title=title, x="Percent: above Rank-1, below mAP", y="")
    axes.set_yticks(range(len(rows)), [row.method for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(COLORS[0] if row in ours else INK)
        label.set_fontweight("bold" if row in ours else "normal")
    axes.set_xlim(0, 107)
    axes.grid(visible=False, axis="y")
    figure.tight_layout()
    return save(figure, path, vector=True)
