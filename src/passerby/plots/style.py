"""Style of all plots, and the one function that saves them. Figures are made without pyplot and its global state."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from passerby.errors import DataError
from passerby.extras import require_extra
from passerby.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PlotPath: TypeAlias = str | Path | Sequence[str | Path]
"""The file of a plot, or several files in different formats."""
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
_METADATA: dict[str, dict[str, None]] = {".png": {"Software": None}, ".svg": {"Date": None}}
"""Metadata by suffix: what would differ from machine to machine is left out."""


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


def save(figure: Figure, path: PlotPath) -> list[Path]:
    """Write a figure to the named files and to no others.

    The same figure gives the same bytes: the files hold no date and no random ids.

    Args:
        figure: From `new_figure`.
        path: The file to write, or several; `.png` or `.svg` selects the format of each. Folders are made.

    Returns:
        The files, in the order given.

    Raises:
        DataError: When a name ends in neither .png nor .svg, or no file is named. Nothing is written then.
        WriteError: When a file cannot be written; a file that was there before stays unchanged.

    Example:
        >>> [file.name for file in save(new_figure(1, 1), ["empty.png", "empty.svg"])]
        ['empty.png', 'empty.svg']
    """
    from matplotlib import rc_context

    files = [Path(path)] if isinstance(path, str | Path) else [Path(file) for file in path]
    for file in files:
        if file.suffix.lower() not in _METADATA:
            raise DataError(f"{file}: a plot is a PNG or SVG file; name it .png or .svg")
    require_any(files, "path")
    _show_dollars(figure)
    for file in files:
        content, suffix = BytesIO(), file.suffix.lower()
        # Level 4 takes 0.4 times the time of Pillow's own level 6 for 3 % more bytes (a page of rank lists).
        options: dict[str, Any] = {"pil_kwargs": {"compress_level": 4}} if suffix == ".png" else {}
        with rc_context({"svg.hashsalt": "passerby"}):
            figure.savefig(content, format=suffix[1:], metadata=_METADATA[suffix], **options)
        write_atomic(file, content.getvalue())
    return files


def name_png_and_svg(png: Path) -> list[Path]:
    """Return the path of a PNG and of an SVG with the same name, for plots that are written in both formats.

    Example:
        >>> [file.name for file in name_png_and_svg(Path("cmc.png"))]
        ['cmc.png', 'cmc.svg']
    """
    return [png, png.with_suffix(".svg")]


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
