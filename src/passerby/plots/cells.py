"""Crops in boxes with lines of text below, on one page of inches: what rank lists and people are drawn with."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from passerby.plots.style import INK, MUTED, new_figure

CELL, IMAGE, TEXT = 0.92, 1.6, 0.56
"""Inches: a cell's width; the heights of an image and of the text below."""
TOP, BOTTOM, LEFT, PAD = 0.45, 0.3, 0.12, 0.1


def new_page(width: float, height: float, *, title: str) -> tuple[Figure, Axes]:
    """A figure and the axes that cover it: inches from the left and from above."""
    figure = new_figure(width, height)
    page = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    page.set_axis_off()
    page.set_autoscale_on(False)
    figure.text(LEFT / width, 1 - 0.12 / height, title, fontsize=11, fontweight="bold", color=INK, va="top")
    return figure, page


def draw_cell(
    page: Axes, image: NDArray[np.uint8], *, left: float, above: float, color: str, lines: tuple[str, ...]
) -> None:
    """One boxed image with its lines of text below. One page of axes for all: axes of their own cost 20 ms each."""
    rows, columns = image.shape[:2]
    scale = min((CELL - PAD) / columns, (IMAGE - PAD) / rows)  # the image keeps its shape, in the cell's middle
    width, height = columns * scale, rows * scale
    x, y = left + (CELL - width) / 2, above + (IMAGE - height) / 2
    page.imshow(image, interpolation="antialiased", aspect="auto", extent=(x, x + width, y + height, y))
    page.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=2.5))
    for number, line in enumerate(lines):
        page.text(
            left + CELL / 2,
            above + IMAGE + 0.15 * number,
            line,
            fontsize=8.5,
            color=color if number == 0 else MUTED,
            fontweight="bold" if number == 0 else "normal",
            ha="center",
            va="top",
        )
