"""Section of distances: histograms, precision and recall, Rank-1 by pair of cameras, and a map of the embeddings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.evaluation.camera_pairs import CameraPairs, score_camera_pairs
from passerby.evaluation.pair_histogram import count_pairs
from passerby.evaluation.recall import precision_at_recall
from passerby.extras import require_extra
from passerby.plots.camera_matrix import plot_camera_pairs
from passerby.plots.distance_curves import plot_distances, plot_precision_recall
from passerby.plots.embedding_map import plot_embedding_map
from passerby.plots.style import name_png_and_svg
from passerby.reporting.page import PageFigure, PageSection
from passerby.reporting.reported_runs import ReportedRun, RunGroup
from passerby.runs.ranking_method import RankLists, number_tracks, rank_with
from passerby.text import plural
from passerby.types import Embeddings

_MAP_IMAGES, _MAP_COLORS = 600, 8


def build_distance_section(group: RunGroup) -> PageSection:
    """Plot the distances of all pairs, precision against recall, and for each run a camera matrix and a map."""
    histograms = {run.title: count_pairs(run.result.query, run.result.gallery) for run in group.runs}
    precision = {}
    for run in group.runs:
        lists = _lists(run)
        precision[run.title] = precision_at_recall(lists.query, lists.gallery, distances=lists.blocks)
    parts = [
        PageFigure(
            plot_distances(histograms, name_png_and_svg(group.folder / "distances.png"))[0],
            "Distances of all pairs of a query and a gallery image from different cameras. Where the histograms "
            "overlap, no threshold separates all pairs.",
            "Histograms of the distances of same-identity and different-identity pairs.",
            narrow=True,
        ),
        PageFigure(
            plot_precision_recall(precision, name_png_and_svg(group.folder / "precision-recall.png"))[0],
            "Interpolated precision at each level of recall, mean over the queries. Constant where each query has "
            "only one match.",
            "Precision-recall curves of the runs.",
            narrow=True,
        ),
    ]
    for run, suffix, label in group.labeled():
        parts += [_camera_figure(run, group, suffix, label), _map_figure(run, group, suffix, label)]
    return PageSection("Distances and cameras", (), tuple(parts))


def _camera_figure(run: ReportedRun, group: RunGroup, suffix: str, label: Callable[[str], str]) -> PageFigure:
    lists = _lists(run)
    pairs = score_camera_pairs(lists.query, lists.gallery, distances=lists.blocks)
    path, *_ = plot_camera_pairs(
        pairs, name_png_and_svg(group.folder / f"cameras{suffix}.png"), title=label("Rank-1 by pair of cameras")
    )
    return PageFigure(path, label(_describe_worst(pairs)), "Matrix of Rank-1 by pair of cameras.", narrow=True)


def _map_figure(run: ReportedRun, group: RunGroup, suffix: str, label: Callable[[str], str]) -> PageFigure:
    points, images, highlighted = _compute_map(run)
    path, *_ = plot_embedding_map(
        points,
        name_png_and_svg(group.folder / f"map{suffix}.png"),
        identities=images.person_ids,
        cameras=images.camera_ids,
        highlighted=highlighted,
        title=label(f"Images of {plural(len(np.unique(images.person_ids)), 'identity')}"),
    )
    caption = (
        "Embeddings in two dimensions (t-SNE of cosine distances, seed 0); colors mark "
        f"{plural(len(highlighted), 'identity')}. Points close to each other have similar embeddings; "
        "large distances have no meaning."
    )
    alt = "Scatter plot of embeddings, some identities in color."
    return PageFigure(path, label(caption), alt, narrow=True)


def _lists(run: ReportedRun) -> RankLists:
    """Return the distances of the run's evaluation again; they are computed block by block and not stored."""
    result = run.result
    tracks = number_tracks(result.data.query), number_tracks(result.data.gallery)
    return rank_with(result.method, [(result.query, result.gallery)], tracks=tracks)


def _describe_worst(pairs: CameraPairs) -> str:
    """Describe the pair of cameras with the lowest Rank-1."""
    text = "Rank-1 of each query in the gallery images of one other camera."
    if not pairs.valid.any():
        return text
    row, column = np.unravel_index(np.nanargmin(np.where(pairs.valid > 0, pairs.rank1, np.nan)), pairs.rank1.shape)
    return (
        f"{text} Lowest: queries of camera {pairs.query_cameras[row] + 1} in camera "
        f"{pairs.gallery_cameras[column] + 1}, {100 * pairs.rank1[row, column]:.0f} % of "
        f"{plural(pairs.valid[row, column], 'query')}."
    )


def _compute_map(run: ReportedRun) -> tuple[NDArray[np.floating], Embeddings, list[int]]:
    """Return t-SNE points of at most `_MAP_IMAGES` images, these images, and the identities with the most of them."""
    query, gallery = run.result.query, run.result.gallery
    both = Embeddings(
        np.concatenate([query.vectors, gallery.vectors]),
        np.concatenate([query.person_ids, gallery.person_ids]),
        np.concatenate([query.camera_ids, gallery.camera_ids]),
    )
    identities = np.random.default_rng(0).permutation(np.unique(both.person_ids[both.person_ids > 0]))
    rows = [np.flatnonzero(both.person_ids == identity) for identity in identities]
    kept = max(1, int(np.searchsorted(np.cumsum([len(indices) for indices in rows]), _MAP_IMAGES)))
    chosen = both.take(np.concatenate(rows[:kept])[:_MAP_IMAGES])
    if len(chosen) < 3:
        raise DataError(f"{run.result.title}: a map of embeddings needs at least 3 images, got {len(chosen)}")
    counts = {int(identity): int((chosen.person_ids == identity).sum()) for identity in identities[:kept]}
    highlighted = sorted(counts, key=lambda identity: -counts[identity])[:_MAP_COLORS]
    tsne = require_extra("sklearn.manifold").TSNE(
        perplexity=min(20.0, (len(chosen) - 1) / 3), metric="cosine", init="random", random_state=0
    )
    return tsne.fit_transform(chosen.vectors.astype(np.float32)), chosen, sorted(highlighted)
