"""Scatter plot of embeddings in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.extras import require_extra
from passerby.plots.style import COLORS, GRID, MUTED, TITLE, PlotPath, add_legend, new_figure, require_any, save
from passerby.types import IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "os^Dv<>P"


def plot_embedding_map(
    points: ArrayLike,
    path: PlotPath,
    *,
    identities: ArrayLike,
    cameras: ArrayLike,
    highlighted: Sequence[int],
    title: str,
) -> list[Path]:
    """Plot images as points: highlighted identities in color with their number, cameras by marker, the others gray.

    Args:
        points: (N, 2) coordinates, such as t-SNE of embeddings.
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        identities: (N,) identity of each image.
        cameras: (N,) 0-based camera of each image; the legend counts from 1.
        highlighted: Identities to color, at most eight.
        title: Title of the plot.

    Returns:
        The files written.

    Raises:
        DataError: When `points` is empty.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> files = plot_embedding_map(
        ...     [[0, 0], [0, 1], [5, 5]], Path("map.png"), identities=[1, 1, 2], cameras=[0, 1, 0], highlighted=[1],
        ...     title="Three images",
        ... )
        >>> [file.name for file in files]
        ['map.png']
    """
    points, identities, cameras = np.asarray(points), np.asarray(identities), np.asarray(cameras)
    require_any(points, "points")
    figure = new_figure(7.2, 6.2)
    outline = require_extra("matplotlib.patheffects").withStroke(linewidth=2.5, foreground="white")
    axes = figure.add_subplot()
    gray = ~np.isin(identities, list(highlighted))
    axes.scatter(points[gray, 0], points[gray, 1], s=9, color=GRID, edgecolors="none", label="others")
    for number, identity in enumerate(highlighted):
        color = COLORS[number % len(COLORS)]
        own = identities == identity
        for camera in np.unique(cameras[own]):
            x, y = points[own & (cameras == camera)].T
            axes.scatter(x, y, s=34, marker=_marker(camera), color=color, edgecolors="white", linewidths=0.6)
        axes.annotate(
            str(identity),
            _medoid(points[own]),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=10,
            fontweight="bold",
            color=color,
            path_effects=[outline],
        )
    axes.set_title(title, loc="left", pad=10, **TITLE)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(GRID)
    _add_camera_legend(axes, np.unique(cameras[~gray]))
    figure.tight_layout()
    return save(figure, path)


def _marker(camera: int) -> str:
    return _MARKERS[int(camera) % len(_MARKERS)]


def _medoid(points: NDArray[np.floating]) -> tuple[float, float]:
    """Return the point with the smallest sum of distances to the others."""
    x, y = points[np.linalg.norm(points[:, None] - points, axis=2).sum(axis=1).argmin()]
    return float(x), float(y)


def _add_camera_legend(axes: Axes, cameras: IntArray) -> None:
    """Add a legend of the markers, unless two cameras share one."""
    if len({_marker(camera) for camera in cameras}) == len(cameras):
        handles = [axes.scatter([], [], s=34, marker=_marker(camera), color=MUTED) for camera in cameras]
        add_legend(
            axes,
            handles=handles,
            labels=[f"camera {camera + 1}" for camera in cameras],
            loc="upper center",
            bbox_to_anchor=(0.5, -0.01),
            ncols=max(1, min(len(cameras), 6)),
        )
