"""Where a model tells people apart and where it does not: distances, precision and recall, camera pairs, a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.evaluation.camera_pairs import CameraPairs
from passerby.evaluation.pair_histogram import PairHistogram
from passerby.plots.style import COLORS, GRID, INK, MUTED, RIGHT, WRONG, dress, new_figure, save
from passerby.types import IntArray

MOST_CAMERAS = 16
"""Rows and columns of a matrix that can be read."""
_BARS = 100
_MARKERS = "os^Dv<>P"


def plot_distances(
    runs: Mapping[str, PairHistogram], path: Path, *, title: str = "Distances of all pairs of images"
) -> list[Path]:
    """Distances of the same person in two cameras and of different people, one panel for each run.

    Args:
        runs: Counted pairs by the run's name, at least one.
        path: The PNG to write; the SVG goes beside it.
        title: What stands above.

    Raises:
        DataError: For no runs, or none with a pair.
    """
    _require(runs, "runs")
    seen = [(each.edges, np.flatnonzero(each.same + each.different)) for each in runs.values()]
    low, high = min(edges[bins[0]] for edges, bins in seen), max(edges[bins[-1] + 1] for edges, bins in seen)
    figure = new_figure(7.2, 0.9 + 2.1 * len(runs))
    panels = figure.subplots(len(runs), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (name, each) in zip(panels, runs.items(), strict=True):
        step = max(1, round((high - low) / _BARS / each.width))
        left = each.edges[:-1:step]
        for counts, color, label in ((each.different, WRONG, "different people"), (each.same, RIGHT, "same person")):
            total = counts.sum()
            if total:
                share = 100 * np.add.reduceat(counts, np.arange(0, len(counts), step)) / total
                axes.stairs(share, [*left, each.high], fill=True, color=color, alpha=0.35)
                axes.stairs(share, [*left, each.high], color=color, linewidth=1.4, label=f"{label}: {total:,} pairs")
        dress(axes, title=name if len(runs) > 1 else title, x="", y="Pairs (%)")
        axes.legend(fontsize=9, frameon=False, labelcolor=INK, loc="upper right")
        axes.set_xlim(low, high)
        axes.set_ylim(0, None)
        axes.margins(y=0.1)
    panels[-1].set_xlabel("Cosine distance of two images from different cameras", fontsize=10, color=INK)
    if len(runs) > 1:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    figure.tight_layout()
    return save(figure, path, vector=True)


def plot_precision_recall(
    runs: Mapping[str, NDArray[np.float64]], path: Path, *, title: str = "Precision and recall"
) -> list[Path]:
    """Mean interpolated precision over the levels of recall.

    Args:
        runs: (L,) precision, 0 to 1, at evenly spaced recall from 0 to 1, by the run's name; at least one.
        path: The PNG to write; the SVG goes beside it.
        title: What stands above.

    Raises:
        DataError: For no runs.
    """
    _require(runs, "runs")
    figure = new_figure(7.2, 4.0 + 0.19 * len(runs))
    axes = figure.add_subplot()
    for number, (name, precision) in enumerate(runs.items()):
        axes.plot(
            np.linspace(0, 100, len(precision)),
            100 * precision,
            color=COLORS[number % len(COLORS)],
            linestyle=("-", "--")[number // len(COLORS) % 2],
            linewidth=2,
            label=name,
        )
    dress(axes, title=title, x="Share of a person's images found (recall, %)", y="Precision (%)")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.legend(fontsize=9, frameon=False, labelcolor=INK, loc="best")
    figure.tight_layout()
    return save(figure, path, vector=True)


def plot_camera_pairs(pairs: CameraPairs, path: Path, *, title: str = "Rank-1 by pair of cameras") -> list[Path]:
    """A matrix of Rank-1, queries of one camera against images of another; the busiest cameras where there are many.

    Args:
        pairs: What to draw.
        path: The PNG to write; the SVG goes beside it.
        title: What stands above.

    Raises:
        DataError: When no pair has a valid query.
    """
    if not pairs.valid.any():
        raise DataError("pairs: no query has its person in another camera; there is no pair of cameras to show")
    shown = pairs.busiest(MOST_CAMERAS)
    rows, columns = shown.rank1.shape
    width, height = max(5.2, 1.6 + 0.62 * columns), max(2.9, 1.5 + 0.46 * rows)
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    axes.set_facecolor("#F4F4F4")
    axes.imshow(100 * shown.rank1, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for row, column in np.argwhere(shown.valid > 0):
        share = shown.rank1[row, column]
        ink = "white" if share < 0.55 else INK
        axes.text(column, row - 0.12, f"{100 * share:.0f}", ha="center", va="center", fontsize=9.5, color=ink)
        axes.text(
            column, row + 0.28, f"of {shown.valid[row, column]:,}", ha="center", va="center", fontsize=6, color=ink
        )
    hidden = len(pairs.query_cameras) - rows or len(pairs.gallery_cameras) - columns
    dress(axes, title=title, x="Camera searched in", y="Camera of the query")
    axes.grid(visible=False)
    axes.set_xticks(range(columns), [str(camera + 1) for camera in shown.gallery_cameras])
    axes.set_yticks(range(rows), [str(camera + 1) for camera in shown.query_cameras])
    note = "percent of the valid queries, their number below"
    if hidden:
        note += f"; the {rows} busiest of {len(pairs.query_cameras)} cameras"
    figure.tight_layout(rect=(0, 0.18 / height, 1, 1))
    figure.text(0.02, 0.08 / height, note, fontsize=8, color=MUTED, va="bottom")
    return save(figure, path, vector=True)


def plot_embedding_map(
    points: NDArray[np.floating], people: IntArray, cameras: IntArray, path: Path, *, title: str, named: Sequence[int]
) -> list[Path]:
    """Images as points of a plane, some people named and colored, cameras by their marks, everybody else in gray.

    Args:
        points: (N, 2) places.
        people: (N,) who is shown.
        cameras: (N,) which camera saw them, 0-based.
        path: The PNG to write; the SVG goes beside it.
        title: What stands above.
        named: The people to color, at most eight.

    Raises:
        DataError: For no point.
    """
    if not len(points):
        raise DataError("points: got none, expected at least one image to place")
    figure = new_figure(7.2, 6.2)
    axes = figure.add_subplot()
    gray = ~np.isin(people, list(named))
    axes.scatter(points[gray, 0], points[gray, 1], s=9, color=GRID, edgecolors="none", label="others")
    for number, person in enumerate(named):
        color = COLORS[number % len(COLORS)]
        mine = people == person
        for camera in np.unique(cameras[mine]):
            here = mine & (cameras == camera)
            marker = _MARKERS[int(camera) % len(_MARKERS)]
            axes.scatter(
                points[here, 0], points[here, 1], s=34, marker=marker, color=color, edgecolors="white", linewidths=0.6
            )
        spot = points[mine]  # the name stands at the image that is nearest to all of that person's others
        axes.annotate(
            str(person),
            spot[np.linalg.norm(spot[:, None] - spot, axis=2).sum(axis=1).argmin()],
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=10,
            fontweight="bold",
            color=color,
        )
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK, pad=10)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(GRID)
    _camera_legend(axes, cameras[~gray])
    figure.tight_layout()
    return save(figure, path, vector=True)


def _camera_legend(axes: Axes, cameras: IntArray) -> None:
    """What the marks say, while there are few enough of them to say one thing each."""
    found = np.unique(cameras)
    if len(found) <= len(_MARKERS) and len({int(camera) % len(_MARKERS) for camera in found}) == len(found):
        handles = [
            axes.scatter([], [], s=34, marker=_MARKERS[int(camera) % len(_MARKERS)], color=MUTED) for camera in found
        ]
        labels = [f"camera {camera + 1}" for camera in found]
        axes.legend(
            handles,
            labels,
            fontsize=9,
            frameon=False,
            labelcolor=INK,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.01),
            ncols=min(len(found), 6),
        )


def _require(runs: Mapping[str, object], name: str) -> None:
    if not runs:
        raise DataError(f"{name}: got none, expected at least one evaluation to draw")
