"""How every picture of a run looks, and the one way that it is saved. No pyplot, hence no global figures."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from passerby.files import write_atomic

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#6B5FB5", "#4D4D4D")
"""Lines, told apart by people with any color vision (Okabe and Ito 2008)."""
RIGHT, WRONG = "#00916A", "#D0381B"
"""Boxes of matches and of others; a tick or a cross always says the same."""
INK, MUTED, GRID = "#1A1A1A", "#666666", "#DDDDDD"

_DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure; sizes in inches of 150 pixels."""
    return Figure(figsize=(width, height), dpi=_DPI, facecolor="white")


def dress(axes: Axes, *, title: str, x: str, y: str) -> None:
    """Title at the left, named axes, a quiet grid behind the lines, no box."""
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK, pad=10)
    axes.set_xlabel(x, fontsize=10, color=INK)
    axes.set_ylabel(y, fontsize=10, color=INK)
    axes.tick_params(labelsize=9, colors=MUTED, length=3)
    axes.grid(visible=True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)


def line_style(color: str, *, dots: bool = True) -> dict[str, Any]:
    """Return the style of a curve; leave the dots out where there are many points."""
    return {"color": color, "linewidth": 2, "marker": "o" if dots else "", "markersize": 4}


def save(figure: Figure, path: Path, *, vector: bool = False) -> list[Path]:
    """Write `path` as PNG, and beside it as SVG where `vector` is set; each whole or not at all.

    The same figure gives the same bytes: no dates, no random ids.

    Returns:
        The files written.

    Raises:
        TrainingError: When a file cannot be written; what was there stays.
    """
    written = []
    for suffix in (".png", ".svg") if vector else (".png",):
        content = BytesIO()
        metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
        with mpl.rc_context({"svg.hashsalt": "passerby"}):
            figure.savefig(content, format=suffix[1:], metadata=metadata)
        target = path.with_suffix(suffix)
        write_atomic(target, content.getvalue())
        written.append(target)
    return written
