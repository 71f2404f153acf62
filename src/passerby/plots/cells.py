"""Cells of a page of crops: an image in a colored box with lines of text below it. Coordinates are inches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from passerby.plots.style import INK, MUTED, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pixels = NDArray[np.uint8]
"""(H, W, 3) RGB."""
CELL, IMAGE, TEXT = 0.92, 1.6, 0.56
"""Inches: width of a cell, height of its image, height of the text below."""
TOP, BOTTOM, LEFT, PAD = 0.45, 0.3, 0.12, 0.1
"""Inches: margins of the page, and space around an image."""


def new_page(width: float, height: float, *, title: str, note: str = "") -> tuple[Figure, Axes]:
    """Return a figure with a title and a note, and axes that cover it, in inches from the upper left corner."""
    figure = new_figure(width, height)
    page = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    page.set_axis_off()
    page.set_autoscale_on(False)
    figure.text(LEFT / width, 1 - 0.12 / height, title, fontsize=11, fontweight="bold", color=INK, va="top")
    figure.text(LEFT / width, 0.1 / height, note, fontsize=8.5, color=MUTED, va="bottom")
    return figure, page


def draw_cell(page: Axes, image: Pixels, *, left: float, top: float, color: str, lines: tuple[str, ...]) -> None:
    """Draw an image in a box with lines of text below; the first line is bold and has the color of the box.

    All cells share one page of axes, because axes for each cell take 20 ms each.
    """
    from matplotlib.patches import Rectangle

    rows, columns = image.shape[:2]
    scale = min((CELL - PAD) / columns, (IMAGE - PAD) / rows)  # keeps the aspect ratio
    width, height = columns * scale, rows * scale
    x, y = left + (CELL - width) / 2, top + (IMAGE - height) / 2
    page.imshow(image, interpolation="antialiased", aspect="auto", extent=(x, x + width, y + height, y))
    page.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=2.5))
    for number, line in enumerate(lines):
        page.text(
            left + CELL / 2,
            top + IMAGE + 0.15 * number,
            line,
            fontsize=8.5,
            color=color if number == 0 else MUTED,
            fontweight="bold" if number == 0 else "normal",
            ha="center",
            va="top",
        )
