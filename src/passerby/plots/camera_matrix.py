"""Matrix of Rank-1 by pair of cameras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from passerby.errors import DataError
from passerby.plots.style import INK, MUTED, PlotPath, new_figure, save, style_axes
from passerby.text import plural

if TYPE_CHECKING:
    from passerby.evaluation.camera_pairs import CameraPairs

MOST_CAMERAS = 16
"""Largest number of rows and of columns; more would not be legible."""


def plot_camera_pairs(pairs: CameraPairs, path: PlotPath, *, title: str = "Rank-1 by pair of cameras") -> list[Path]:
    """Plot Rank-1 of the queries of one camera in the gallery images of another camera, for each pair of cameras.

    Of more than `MOST_CAMERAS` cameras, those with the most valid queries are shown. Camera numbers start at 1.

    Args:
        pairs: Rank-1 and number of valid queries by pair of cameras.
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        title: Title of the plot.

    Returns:
        The files written.

    Raises:
        DataError: When no pair of cameras has a valid query.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> from passerby.evaluation.camera_pairs import CameraPairs
        >>> cameras = np.array([0, 1])
        >>> pairs = CameraPairs(cameras, cameras, np.array([[np.nan, 0.5], [0.25, np.nan]]), np.array([[0, 8], [8, 0]]))
        >>> [file.name for file in plot_camera_pairs(pairs, Path("cameras.png"))]
        ['cameras.png']
    """
    if not pairs.valid.any():
        raise DataError("pairs: no query has its identity in another camera; there is no pair of cameras to plot")
    shown = pairs.busiest(MOST_CAMERAS)
    rows, columns = shown.rank1.shape
    width, height = max(5.2, 1.6 + 0.62 * columns), max(2.9, 1.5 + 0.46 * rows)
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    axes.set_facecolor("#F4F4F4")
    axes.imshow(100 * shown.rank1, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for row, column in np.argwhere(shown.valid > 0):
        rank1 = shown.rank1[row, column]
        style: dict[str, Any] = {"ha": "center", "va": "center", "color": "white" if rank1 < 0.55 else INK}
        axes.text(column, row - 0.13, f"{100 * rank1:.0f}", fontsize=9.5, **style)
        axes.text(column, row + 0.27, f"of {shown.valid[row, column]:,}", fontsize=7.5, **style)
    style_axes(axes, title=title, x="Camera of the gallery images", y="Camera of the query")
    axes.grid(visible=False)
    axes.set_xticks(range(columns), [str(camera + 1) for camera in shown.gallery_cameras])
    axes.set_yticks(range(rows), [str(camera + 1) for camera in shown.query_cameras])
    note = "Rank-1 in percent, number of valid queries below"
    if len(pairs.query_cameras) > rows or len(pairs.gallery_cameras) > columns:
        note += f"; the {rows} of {plural(len(pairs.query_cameras), 'camera')} with the most valid queries"
    figure.tight_layout(rect=(0, 0.18 / height, 1, 1))
    figure.text(0.02, 0.08 / height, note, fontsize=8, color=MUTED, va="bottom")
    return save(figure, path)
