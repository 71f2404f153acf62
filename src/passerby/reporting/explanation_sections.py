"""Sections that explain similarities: heatmaps, the contribution of each part, and the assignment of parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.data.images import read_image
from passerby.errors import DataError
from passerby.model.heatmaps import activation_maps, part_assignments, part_similarities, similarity_maps
from passerby.plots.crop_rows import CaptionedCrop, plot_crop_rows
from passerby.plots.overlays import build_stripe_assignment, overlay_heat, overlay_parts
from passerby.plots.part_contributions import PartContributions, plot_part_contributions
from passerby.reporting.page import PageFigure, PageSection
from passerby.reporting.reported_runs import ReportedRun, RunGroup
from passerby.runs.evaluate_model import EvaluationResult
from passerby.types import IntArray

_EXPLAINED = 3  # queries
_NO_NETWORK = "Not shown: the models are ONNX or OpenVINO files, without the gradients and maps that heatmaps need."


@dataclass(frozen=True)
class _ExplainedQuery:
    """Indices of a query, of its nearest match from another camera, and of its nearest image of another identity."""

    query: int
    match: int
    other: int


def build_heatmap_section(group: RunGroup) -> PageSection:
    """Plot heatmaps of the same query-match pairs for each run."""
    group = group.with_networks()
    if not group.runs:
        return PageSection("Heatmaps", (_NO_NETWORK,))
    first = group.runs[0].result
    samples, partners = [], []
    for chosen in _choose_explained(first):
        samples += [first.data.query[chosen.query], first.data.gallery[chosen.match]]
        partners += [("gallery", chosen.match), ("query", chosen.query)]
    crops = [read_image(sample) for sample in samples]
    rows = [
        [CaptionedCrop(crop, (kind, f"identity {sample.person_id}", f"camera {sample.camera_id + 1}"))]
        for crop, sample, kind in zip(crops, samples, ("query", "match") * len(samples), strict=False)
    ]
    for run in group.runs:
        images = run.network_images(samples)
        vectors = np.stack([getattr(run.result, side).vectors[index] for side, index in partners])
        heatmaps = {
            "HiResCAM": similarity_maps(run.embedder.network, images, vectors),
            "activation": activation_maps(run.embedder.network, images),
        }
        lines = (_shorten(run.title),) if len(group.runs) > 1 else ()
        for row, crop, number in zip(rows, crops, range(len(crops)), strict=True):
            row += [CaptionedCrop(overlay_heat(crop, maps[number]), (name, *lines)) for name, maps in heatmaps.items()]
    across = (2 if len(group.runs) < 3 else 1) * (1 + 2 * len(group.runs))  # a pair side by side where it fits
    path, *_ = plot_crop_rows(
        [("", row) for row in rows], group.folder / "heatmaps.png", title="Heatmaps", across=across
    )
    text = (
        "HiResCAM (a variant of Grad-CAM): positions that raise the similarity of the image to the other image of its "
        "pair. Activation: magnitude of the last feature map, independent of the other image. Brighter is more; the "
        "scales of different images are not comparable."
    )
    caption = "Queries and their nearest match from another camera."
    if len(group.runs) > 1:
        caption += " The images are the same for all runs."
    return PageSection("Heatmaps", (text,), (PageFigure(path, caption, "Crops with heatmaps.", crops=True),))


def build_similarity_section(group: RunGroup) -> PageSection:
    """Plot the contribution of each part to the similarity of queries with a match and with another identity."""
    group = group.with_networks()
    if not group.runs:
        return PageSection("Similarity by part", ())
    parts = []
    chosen = _choose_explained(group.runs[0].result)
    for run, suffix, label in group.labeled():
        if len(run.embedder.network.embedding_parts) < 2:
            continue
        pairs = [
            _contributions(run, queries.query, index, match=match)
            for queries in chosen
            for index, match in ((queries.match, True), (queries.other, False))
        ]
        path, *_ = plot_part_contributions(
            pairs, group.folder / f"contributions{suffix}.png", title=label("Similarity by part")
        )
        caption = "Queries with their nearest match, and with the nearest image of another identity."
        if run.recipe.model.stripes:
            caption += " Each bar is at the height of its stripe."
        alt = "Pairs of crops with a bar for the contribution of each part to their similarity."
        parts.append(PageFigure(path, label(caption), alt, crops=True))
    text = "The cosine similarity of two embeddings is the sum of the contributions of their parts, without residual."
    return PageSection("Similarity by part", (text,) if parts else (), tuple(parts))


def build_part_section(group: RunGroup) -> PageSection:
    """Plot the part of each position of the map, before and after refinement (figure 7 of the paper)."""
    title = "Part assignment"
    group = group.with_networks()
    run = next((run for run in group.runs if run.recipe.model.refines), None)
    if run is None:
        stripes = sorted({run.recipe.model.stripes for run in group.runs} - {0})
        counts = " or ".join(map(str, stripes))
        text = f"No run of this report has refined parts (RPP); the parts are {counts} fixed stripes."
        return PageSection(title, (text,) if stripes else ())
    samples = [run.result.data.query[chosen.query] for chosen in _choose_explained(run.result, count=2 * _EXPLAINED)]
    refined = part_assignments(run.embedder.network, run.network_images(samples))
    assert refined is not None
    stripes_map = build_stripe_assignment(refined.shape[1], (refined.shape[2], refined.shape[3]))
    rows = []
    for sample, assignment in zip(samples, refined, strict=True):
        crop = read_image(sample)
        changed = (assignment.argmax(axis=0) != stripes_map.argmax(axis=0)).mean()
        crops = [
            CaptionedCrop(crop, ("image", f"identity {sample.person_id}")),
            CaptionedCrop(overlay_parts(crop, stripes_map), ("stripes",)),
            CaptionedCrop(overlay_parts(crop, assignment), ("refined", f"{100 * changed:.0f} % changed")),
        ]
        rows.append(("", crops))
    path, *_ = plot_crop_rows(rows, group.folder / "parts.png", title="Parts before and after refinement", across=9)
    caption = (
        f"{run.title}: positions of the map in the color of their most probable part; stronger color for higher "
        "probability. Stripes: before refinement. Refined: assignment of the part classifier, with the fraction of "
        "positions whose part changed."
    )
    alt = "Crops with their parts in color: even stripes, and the refined assignment."
    return PageSection(title, (), (PageFigure(path, caption, alt, crops=True),))


def _contributions(run: ReportedRun, query: int, index: int, *, match: bool) -> PartContributions:
    result, network = run.result, run.embedder.network
    item = result.data.gallery[index]
    return PartContributions(
        query=read_image(result.data.query[query]),
        gallery=read_image(item),
        contributions=part_similarities(
            result.query.vectors[query], result.gallery.vectors[index], widths=network.embedding_parts
        ),
        match=match,
        lines=("✓ same identity" if match else "✗ other identity", f"camera {item.camera_id + 1}"),
        names=network.part_names,
    )


def _choose_explained(result: EvaluationResult, *, count: int = _EXPLAINED) -> list[_ExplainedQuery]:
    """Choose valid queries evenly from the lowest to the highest AP that have a match and another identity."""
    query, gallery = result.query, result.gallery
    valid = np.flatnonzero(~np.isnan(result.scores.average_precision))
    order = valid[np.argsort(result.scores.average_precision[valid], kind="stable")]
    spread = order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]
    index_of = {id(sample): index for index, sample in enumerate(result.data.query)}
    explained = []
    for chosen in dict.fromkeys(spread.tolist()):
        q = index_of[id(result.query_samples[chosen])]
        similarity = gallery.vectors.astype(np.float32) @ query.vectors[q].astype(np.float32)
        same = gallery.person_ids == query.person_ids[q]
        match = _find_nearest(similarity, same & (gallery.camera_ids != query.camera_ids[q]))
        other = _find_nearest(similarity, ~same)
        if match is not None and other is not None:
            explained.append(_ExplainedQuery(q, match, other))
    if not explained:
        raise DataError(f"{result.title}: no query has both a match and another identity in the gallery")
    return explained


def _find_nearest(similarity: NDArray[np.float32], among: NDArray[np.bool_]) -> int | None:
    indices: IntArray = np.flatnonzero(among)
    return int(indices[similarity[indices].argmax()]) if len(indices) else None


def _shorten(name: str, length: int = 13) -> str:
    """Shorten a run's name to the width of a cell."""
    return name if len(name) <= length else name[: length - 1] + "…"
