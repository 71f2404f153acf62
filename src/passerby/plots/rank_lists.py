"""Rank lists: each query with its nearest gallery images, matches and other identities marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from passerby.errors import DataError
from passerby.evaluation.summary import Scores
from passerby.plots.cells import BOTTOM, CELL, IMAGE, LEFT, TEXT, TOP, Pixels, draw_cell, new_page
from passerby.plots.style import INK, RIGHT, WRONG, PlotPath, save
from passerby.text import plural
from passerby.types import DISTRACTOR, IntArray, Ranking, Sample

Order = Literal["worst", "best", "random"]
ReadImage = Callable[[Sample], Pixels]

_GAP = 0.25  # inches between the query and its list


def choose_queries(scores: Scores, count: int, *, order: Order = "worst", seed: int = 0) -> IntArray:
    """Choose valid queries to plot.

    Args:
        scores: Scores with the AP of each query.
        count: Largest number of queries, at least 1.
        order: `worst` and `best`: sorted by AP, equal values in the order of the queries; `random`: drawn with
            `seed`, in the order of the queries.
        seed: Seed of `random`.

    Returns:
        (count,) indices of the chosen queries, fewer where fewer are valid.

    Raises:
        DataError: For an unknown order, a count below 1, or scores that hold no AP per query.

    Example:
        >>> import numpy as np
        >>> scores = Scores(np.ones(1), 0.5, 0.5, 3, 3, 9, "market", "step", average_precision=np.array([1, 0.2, 0.4]))
        >>> choose_queries(scores, 2).tolist()
        [1, 2]
    """
    if order not in get_args(Order):
        raise DataError(f"order: got {order!r}, expected one of {', '.join(get_args(Order))}")
    if count < 1:
        raise DataError(f"count: got {count}, expected at least 1 query")
    if len(scores.average_precision) != scores.queries:
        raise DataError(
            f"scores: got {len(scores.average_precision)} AP values for {plural(scores.queries, 'query')}; score "
            "again, or save the scores with per_query=True"
        )
    valid = np.flatnonzero(~np.isnan(scores.average_precision))
    if order == "random":
        generator = np.random.default_rng(seed)
        return np.sort(generator.choice(valid, size=min(count, len(valid)), replace=False))
    precision = scores.average_precision[valid]
    return valid[np.argsort(precision if order == "worst" else -precision, kind="stable")[:count]]


def plot_rank_lists(
    ranking: Ranking,
    path: PlotPath,
    *,
    query: Sequence[Sample],
    gallery: Sequence[Sample],
    chosen: Sequence[int] | IntArray,
    read: ReadImage,
    top: int = 10,
    title: str = "Rank lists",
) -> list[Path]:
    """Plot the first `top` gallery images of the chosen queries, one row for each query.

    A match has a green box and a tick, another identity a red box and a cross. Below each image are its rank and
    distance, its identity, and its camera, counted from 1 as in the file names of the data sets.

    Args:
        ranking: Rank lists of all Q queries.
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        query: The Q query samples.
        gallery: The G gallery samples.
        chosen: Indices of the queries to plot, as from `choose_queries`.
        read: Function that returns the (H, W, 3) RGB image of a sample, such as `passerby.data.images.read_image`.
        top: Largest number of gallery images in a row.
        title: Title of the plot.

    Returns:
        The files written.

    Raises:
        DataError: When no query is chosen, an index is out of range, or `ranking` and `query` differ in length.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> ranking = Ranking(np.array([[0]]), np.array([[0.1]], np.float32), np.array([[True]]))
        >>> query, gallery = [Sample(Path("a.jpg"), 1, 0)], [Sample(Path("b.jpg"), 1, 1)]
        >>> gray = np.full((64, 32, 3), 128, np.uint8)
        >>> files = plot_rank_lists(
        ...     ranking, Path("ranks.png"), query=query, gallery=gallery, chosen=[0], read=lambda sample: gray
        ... )
        >>> [file.name for file in files]
        ['ranks.png']
    """
    outside = [int(q) for q in chosen if not 0 <= q < len(query)]
    if not len(chosen) or outside:
        raise DataError(f"chosen: got {outside or 'no query'}, expected indices from 0 to {len(query) - 1}")
    if len(ranking.indices) != len(query):
        raise DataError(f"ranking: got {plural(len(ranking.indices), 'list')} for {plural(len(query), 'query')}")
    shown = min(top, ranking.indices.shape[1])
    figure, page = new_page(
        2 * LEFT + (shown + 1) * CELL + _GAP,
        TOP + len(chosen) * (IMAGE + TEXT) + BOTTOM,
        title=title,
        note="✓ same identity   ✗ other identity   rank: distance; images of the query's identity in its own camera "
        "are excluded",
    )
    for row, q in enumerate(chosen):
        y, sample = TOP + row * (IMAGE + TEXT), query[int(q)]
        draw_cell(page, read(sample), left=LEFT, top=y, color=INK, lines=("query", *_caption(sample)))
        for position, index in enumerate(ranking.indices[q, :shown]):
            if index < 0:
                break
            item, match = gallery[index], bool(ranking.matches[q, position])
            first = f"{'✓' if match else '✗'} {position + 1}: {ranking.distances[q, position]:.3f}"
            draw_cell(
                page,
                read(item),
                left=LEFT + _GAP + (position + 1) * CELL,
                top=y,
                color=RIGHT if match else WRONG,
                lines=(first, *_caption(item)),
            )
    return save(figure, path)


def _caption(sample: Sample) -> tuple[str, str]:
    identity = "distractor" if sample.person_id == DISTRACTOR else f"identity {sample.person_id}"
    return identity, f"camera {sample.camera_id + 1}"
