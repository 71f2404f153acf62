"""Layout of a plot of curves: axes above, then the legend, then notes. No curve can run behind the legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from passerby.plots.style import INK, MUTED, PlotPath, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT, _WIDTH = 0.095, 0.875  # fractions of the figure's width
_AXES, _PANEL, _PANEL_STEP = 3.1, 0.75, 1.0  # inches: height of the axes, of a panel, and from panel to panel


@dataclass(frozen=True)
class CurvePage:
    """A figure with room for a legend and notes.

    Attributes:
        figure: 7.2 inches wide.
        axes: Main axes.
        panels: Flat axes below the main ones.
        legend_top: Upper edge of the legend, as a fraction of the figure's height.
    """

    figure: Figure
    axes: Axes
    panels: tuple[Axes, ...]
    legend_top: float

    def save(self, path: PlotPath) -> list[Path]:
        """Add the legend of all labeled curves and write the files."""
        self.figure.legend(
            loc="upper left", bbox_to_anchor=(0.08, self.legend_top), fontsize=9, frameon=False, labelcolor=INK
        )
        return save(self.figure, path)


def new_curve_page(labels: Sequence[str], notes: Sequence[str], *, panels: int = 0) -> CurvePage:
    """Return an empty page.

    Args:
        labels: Entries of the legend, which may have several lines each.
        notes: Lines below the legend.
        panels: Number of flat axes below the main ones.
    """
    note = "\n".join(notes)
    legend_lines = sum(label.count("\n") + 1 for label in labels)
    below = 0.25 + 0.17 * (note.count("\n") + 1) + 0.2 * legend_lines  # inches below the axes' names
    bottom = below + 0.55
    height = bottom + _PANEL_STEP * panels + _AXES + 0.5
    figure = new_figure(7.2, height)
    axes = figure.add_axes((_LEFT, (bottom + _PANEL_STEP * panels) / height, _WIDTH, _AXES / height))
    flat = tuple(
        figure.add_axes((_LEFT, (bottom + _PANEL_STEP * number) / height, _WIDTH, _PANEL / height))
        for number in range(panels)
    )
    figure.text(_LEFT, 0.1 / height, note, fontsize=8, color=MUTED, va="bottom")
    return CurvePage(figure, axes, flat, (below + 0.1) / height)
