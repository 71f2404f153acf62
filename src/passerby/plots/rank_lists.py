"""Rank lists as a picture: each query with the gallery items that were found for it, right and wrong ones marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.plots.cells import BOTTOM, CELL, IMAGE, LEFT, TEXT, TOP, draw_cell, new_page
from passerby.plots.style import INK, MUTED, RIGHT, WRONG, save
from passerby.types import DISTRACTOR, IntArray, Ranking, Sample, Scores

Order = Literal["worst", "best", "random"]
ReadImage = Callable[[Sample], NDArray[np.uint8]]

_GAP = 0.25  # inches: query from list


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


def plot_rank_lists(
    ranking: Ranking,
    query: Sequence[Sample],
    gallery: Sequence[Sample],
    chosen: Sequence[int] | IntArray,
    path: Path,
    *,
    read: ReadImage,
    top: int = 10,
    title: str = "Rank lists",
    vector: bool = False,
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
        vector: Write an SVG beside it.

    Raises:
        DataError: For no chosen query, or one that is not among the queries; and whatever `read` raises.
    """
    outside = [int(q) for q in chosen if not 0 <= q < len(query)]
    if not len(chosen) or outside:
        raise DataError(f"chosen: got {outside or 'no query'}, expected places from 0 to {len(query) - 1}")
    if len(ranking.indices) != len(query):
        raise DataError(f"ranking: holds {len(ranking.indices)} lists for {len(query)} queries")
    shown = min(top, ranking.indices.shape[1])
    width = 2 * LEFT + (shown + 1) * CELL + _GAP
    height = TOP + len(chosen) * (IMAGE + TEXT) + BOTTOM
    figure, page = new_page(width, height, title=title)
    for row, q in enumerate(chosen):
        above = TOP + row * (IMAGE + TEXT)
        asked = query[int(q)]
        lines = ("query", _person(asked), _camera(asked))
        draw_cell(page, read(asked), left=LEFT, above=above, color=INK, lines=lines)
        for place, found in enumerate(ranking.indices[q, :shown]):
            if found < 0:
                break
            item, match = gallery[found], bool(ranking.matches[q, place])
            lines = (
                f"{'✓' if match else '✗'} {place + 1}: {ranking.distances[q, place]:.3f}",
                _person(item),
                _camera(item),
            )
            left = LEFT + _GAP + (place + 1) * CELL
            draw_cell(page, read(item), left=left, above=above, color=RIGHT if match else WRONG, lines=lines)
    legend = "✓ same person   ✗ someone else   rank: distance; the query's person in its own camera is left out"
    figure.text(LEFT / width, 0.1 / height, legend, fontsize=8.5, color=MUTED, va="bottom")
    return save(figure, path, vector=vector)


def _person(sample: Sample) -> str:
    return "distractor" if sample.person_id == DISTRACTOR else f"person {sample.person_id}"


def _camera(sample: Sample) -> str:
    return f"camera {sample.camera_id + 1}"
