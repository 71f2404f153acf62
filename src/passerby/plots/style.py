"""Style of all plots, and the one function that saves them. Figures are made without pyplot and its global state."""

from __future__ import annotations

from collections.abc import Sized
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from passerby.errors import DataError
from passerby.extras import require_extra
from passerby.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#6B5FB5", "#4D4D4D")
"""Colors of lines, distinguishable with any color vision (Okabe and Ito 2008)."""
RIGHT, WRONG = "#00916A", "#D0381B"
"""Colors of matches and of other identities. A tick or a cross accompanies them."""
INK, MUTED, GRID = "#1A1A1A", "#666666", "#DDDDDD"
"""Colors of text, of secondary text, and of grid lines."""
DPI = 150
"""Pixels per inch of a PNG."""
TITLE: dict[str, Any] = {"fontsize": 12, "fontweight": "bold", "color": INK}
"""Style of a title."""


def rgb(color: str) -> tuple[int, int, int]:
    """Return a color such as `#0072B2` as red, green and blue, 0 to 255.

    Example:
        >>> rgb("#0072B2")
        (0, 114, 178)
    """
    red, green, blue = bytes.fromhex(color[1:])
    return red, green, blue


def require_any(values: Sized, name: str) -> None:
    """Raise DataError that names the argument when there is nothing to plot."""
    if not len(values):
        raise DataError(f"{name}: got none, expected at least one to plot")


def new_figure(width: float, height: float) -> Figure:
    """Return an empty white figure.

    Args:
        width: Inches.
        height: Inches.

    Raises:
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> new_figure(4, 3).add_subplot().plot([0, 1], [0, 1])
        [<matplotlib.lines.Line2D object at ...>]
    """
    figure: Figure = require_extra("matplotlib.figure").Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    return figure


def style_axes(axes: Axes, *, title: str, x: str, y: str) -> None:
    """Set the title and the names of both axes; draw a light grid behind the lines and no frame."""
    axes.set_title(title, loc="left", pad=10, **TITLE)
    axes.set_xlabel(x, fontsize=10, color=INK)
    axes.set_ylabel(y, fontsize=10, color=INK)
    axes.tick_params(labelsize=9, colors=MUTED, length=3)
    axes.grid(visible=True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)


def line_style(number: int, *, dots: bool = True) -> dict[str, Any]:
    """Return the style of the curve with this number, from 0: a color, dashes after the eighth, dots on request."""
    return {
        "color": COLORS[number % len(COLORS)],
        "linestyle": ("-", "--")[number // len(COLORS) % 2],
        "linewidth": 2,
        "marker": "o" if dots else "",
        "markersize": 4,
    }


def add_legend(axes: Axes, **options: Any) -> None:
    """Add the legend of the axes, without a frame."""
    axes.legend(fontsize=9, frameon=False, labelcolor=INK, **options)


def save(figure: Figure, path: str | Path, *, vector: bool = False) -> list[Path]:
    """Write a figure as PNG, and on request as SVG beside it.

    The same figure gives the same bytes: the files hold no date and no random ids.

    Args:
        figure: From `new_figure`.
        path: The PNG; its folder is made.
        vector: Also write an SVG with the same name.

    Returns:
        The files written, PNG first.

    Raises:
        DataError: When the name does not end in .png.
        WriteError: When a file cannot be written; a file that was there before stays unchanged.

    Example:
        >>> [file.name for file in save(new_figure(1, 1), Path("empty.png"), vector=True)]
        ['empty.png', 'empty.svg']
    """
    from matplotlib import rc_context

    if Path(path).suffix.lower() != ".png":
        raise DataError(f"{path}: a plot is a PNG file; name it .png")
    _show_dollars(figure)
    written = []
    for suffix in (".png", ".svg") if vector else (".png",):
        content = BytesIO()
        metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
        with rc_context({"svg.hashsalt": "passerby"}):
            figure.savefig(content, format=suffix[1:], metadata=metadata)
        target = Path(path) if suffix == ".png" else Path(path).with_suffix(suffix)
        write_atomic(target, content.getvalue())
        written.append(target)
    return written


def _show_dollars(figure: Figure) -> None:
    """Draw `$...$` as it is, since a label is no formula. Only the ticks of logarithmic axes are formulas."""
    from matplotlib.text import Text
    from matplotlib.ticker import LogFormatter

    axes = [axis for page in figure.axes for axis in (page.xaxis, page.yaxis)]
    logarithmic = [axis for axis in axes if isinstance(axis.get_major_formatter(), LogFormatter)]
    formulas = {label for axis in logarithmic for label in axis.get_ticklabels(which="both")}
    for text in figure.findobj(Text):
        if text not in formulas:
            text.set_parse_math(False)
