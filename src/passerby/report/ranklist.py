"""Rank lists as a picture: each query with the gallery items that were found for it, right and wrong ones marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.report.style import INK, MUTED, RIGHT, WRONG, new_figure, save
from passerby.types import DISTRACTOR, IntArray, Ranking, Sample, Scores

Order = Literal["worst", "best", "random"]
ReadImage = Callable[[Sample], NDArray[np.uint8]]

_CELL, _IMAGE, _TEXT, _GAP = 0.92, 1.6, 0.56, 0.25  # inches: cell width; heights of image and text; query from list
_TOP, _BOTTOM, _LEFT, _PAD = 0.45, 0.3, 0.12, 0.1


def choose_queries(scores: Scores, count: int, *, order: Order = "worst", seed: int = 0) -> IntArray:
    """Which queries to show: valid ones, at most `count`.

    Args:
        scores: Holds each query's AP.
        count: How many, at least 1.
        order: `worst` and `best` by AP, equal ones in query order; `random` by seed, then in query order.
        seed: Seed of `random`.

    Returns:
        (count,) places of the chosen queries.

    Raises:
        DataError: For another order or count, or scores that were saved without per-query figures.
    """
    if order not in get_args(Order):
        raise DataError(f"order: got {order!r}, expected one of {', '.join(get_args(Order))}")
    if count < 1:
        raise DataError(f"count: got {count}, expected at least 1 query")
    if len(scores.average_precision) != scores.queries:
        raise DataError(
            f"scores: hold {len(scores.average_precision)} per-query figures for {scores.queries} queries; "
            "score again, or save them with per_query=True"
        )
    valid = np.flatnonzero(~np.isnan(scores.average_precision))
    if order == "random":
        generator = np.random.default_rng(seed)
        return np.sort(generator.choice(valid, size=min(count, len(valid)), replace=False))
    precision = scores.average_precision[valid]
    return valid[np.argsort(precision if order == "worst" else -precision, kind="stable")[:count]]


def rank_list_figure(
    ranking: Ranking,
    query: Sequence[Sample],
    gallery: Sequence[Sample],
    chosen: Sequence[int] | IntArray,
    path: Path,
    *,
    read: ReadImage,
    top: int = 10,
    title: str = "Rank lists",
) -> list[Path]:
    """Draw the first `top` items of the chosen queries, one row per query.

    A match has a green box and a tick, anything else a red box and a cross; under each image stand its person,
    camera (counted from 1, as the data sets' file names do) and distance.

    Args:
        ranking: Rank lists of all queries.
        query: The Q queries' samples.
        gallery: The G gallery samples.
        chosen: Places of the queries to show.
        path: The PNG to write.
        read: Gives the (H, W, 3) RGB image of a sample.
        top: Items to show; fewer where the ranking holds fewer.
        title: What stands above.

    Raises:
        DataError: For no chosen query, or one that is not among the queries; and whatever `read` raises.
    """
    outside = [int(q) for q in chosen if not 0 <= q < len(query)]
    if not len(chosen) or outside:
        raise DataError(f"chosen: got {outside or 'no query'}, expected places from 0 to {len(query) - 1}")
    if len(ranking.indices) != len(query):
        raise DataError(f"ranking: holds {len(ranking.indices)} lists for {len(query)} queries")
    shown = min(top, ranking.indices.shape[1])
    width = 2 * _LEFT + (shown + 1) * _CELL + _GAP
    height = _TOP + len(chosen) * (_IMAGE + _TEXT) + _BOTTOM
    figure = new_figure(width, height)
    page = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))  # inches from the left and from above
    page.set_axis_off()
    page.set_autoscale_on(False)
    figure.text(_LEFT / width, 1 - 0.12 / height, title, fontsize=11, fontweight="bold", color=INK, va="top")
    for row, q in enumerate(chosen):
        above = _TOP + row * (_IMAGE + _TEXT)
        asked = query[int(q)]
        lines = ("query", _person(asked), _camera(asked))
        _cell(page, read(asked), left=_LEFT, above=above, colour=INK, lines=lines)
        for place, found in enumerate(ranking.indices[q, :shown]):
            if found < 0:
                break
            item, match = gallery[found], bool(ranking.matches[q, place])
            lines = (
                f"{'✓' if match else '✗'} {place + 1}: {ranking.distances[q, place]:.3f}",
                _person(item),
                _camera(item),
            )
            left = _LEFT + _GAP + (place + 1) * _CELL
            _cell(page, read(item), left=left, above=above, colour=RIGHT if match else WRONG, lines=lines)
    legend = "✓ same person   ✗ someone else   rank: distance; the query's person in its own camera is left out"
    figure.text(_LEFT / width, 0.1 / height, legend, fontsize=8.5, color=MUTED, va="bottom")
    return save(figure, path)


def _cell(
    page: Axes, image: NDArray[np.uint8], *, left: float, above: float, colour: str, lines: tuple[str, ...]
) -> None:
    """One boxed image with its lines of text below. One page of axes for all: axes of their own cost 20 ms each."""
    rows, columns = image.shape[:2]
    scale = min((_CELL - _PAD) / columns, (_IMAGE - _PAD) / rows)  # the image keeps its shape, in the cell's middle
    width, height = columns * scale, rows * scale
    x, y = left + (_CELL - width) / 2, above + (_IMAGE - height) / 2
    page.imshow(image, interpolation="antialiased", aspect="auto", extent=(x, x + width, y + height, y))
    page.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=2.5))
    for number, line in enumerate(lines):
        page.text(
            left + _CELL / 2,
            above + _IMAGE + 0.15 * number,
            line,
            fontsize=8.5,
            color=colour if number == 0 else MUTED,
            fontweight="bold" if number == 0 else "normal",
            ha="center",
            va="top",
        )


def _person(sample: Sample) -> str:
    return "distractor" if sample.person_id == DISTRACTOR else f"person {sample.person_id}"


def _camera(sample: Sample) -> str:
    return f"camera {sample.camera_id + 1}"
