"""Section of rank lists."""

from __future__ import annotations

from passerby.data.images import read_image
from passerby.plots.rank_lists import choose_queries, plot_rank_lists
from passerby.reporting.page import PageFigure, PageSection
from passerby.reporting.reported_runs import RunGroup
from passerby.runs.run_plots import ORDERS

_CAPTIONS = {
    "worst": "Queries with the lowest average precision.",
    "random": "Queries drawn at random (seed 0).",
    "best": "Queries with the highest average precision.",
}


def build_rank_list_section(group: RunGroup) -> PageSection:
    """Plot the rank lists of the worst, random and best queries of each run."""
    parts = []
    for run, suffix, label in group.labeled():
        result = run.result
        for order in ORDERS:
            path, *_ = plot_rank_lists(
                result.ranking,
                group.folder / f"ranks{suffix}-{order}.png",
                query=result.query_samples,
                gallery=result.gallery_samples,
                chosen=choose_queries(result.scores, group.queries, order=order),
                read=read_image,
                title=label(f"{order} queries".capitalize()),
            )
            alt = f"Rank lists of {order} queries with ten gallery images, matches in green, other identities in red"
            parts.append(PageFigure(path, label(_CAPTIONS[order]), alt, crops=True))
    text = (
        "Green box and tick: same identity. Red box and cross: other identity. Below each gallery image: rank and "
        "distance, identity, camera."
    )
    return PageSection("Rank lists", (text,), tuple(parts))
