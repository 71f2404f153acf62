"""Chapters of a report that show images: rank lists, heat, what parts add, where parts are, what training sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from passerby.data.images import read_image
from passerby.data.training_set import join_training
from passerby.errors import DataError
from passerby.model.embed import Embedder
from passerby.model.heatmaps import activation_maps, assignments, part_shares, similarity_maps
from passerby.model.image_batches import evaluation_batches
from passerby.plots.crop_rows import CaptionedCrop, plot_crop_rows, plot_mosaic
from passerby.plots.overlays import build_stripe_assignment, overlay_heat, overlay_parts
from passerby.plots.part_contributions import PartContributions, plot_part_contributions
from passerby.plots.rank_lists import choose_queries, plot_rank_lists
from passerby.reporting.page import PageFigure, PageSection, PageTable
from passerby.reporting.reported_runs import ReportedRun
from passerby.runs.arguments import build_loader_settings
from passerby.runs.evaluate import ORDERS, EvaluationResult
from passerby.training.loader import TrainingLoader
from passerby.types import IntArray, Sample

_EXPLAINED = 3
_ERASED = 8  # images shown before and after
_WORDS = {
    "worst": "The queries with the lowest average precision: failures first.",
    "random": "Queries drawn by seed 0: what an ordinary list looks like.",
    "best": "The queries with the highest average precision.",
}


@dataclass(frozen=True)
class _Pair:
    """A query, the nearest image of its person from another camera, and the nearest of anybody else: places."""

    query: int
    match: int
    other: int


def rank_section(group: Sequence[ReportedRun], folder: Path, *, queries: int) -> PageSection:
    """The worst, random and best lists of each run."""
    parts: list[PageFigure | PageTable] = []
    for number, subject in enumerate(group, start=1):
        end, of = ("", "") if len(group) == 1 else (f"-{number}", f"{subject.name}: ")
        result = subject.result
        for order in ORDERS:
            drawn, *_ = plot_rank_lists(
                result.ranking,
                folder / f"ranks{end}-{order}.png",
                query=result.query_samples,
                gallery=result.gallery_samples,
                chosen=choose_queries(result.scores, queries, order=order),
                read=read_image,
                title=f"{of}{order} queries",
                vector=True,
            )
            alt = f"{order} queries with the first ten images found for each, right ones in green, wrong ones in red"
            parts.append(PageFigure(drawn, of + _WORDS[order], alt, photographs=True))
    text = (
        "Green with a tick: the same person. Red with a cross: somebody else. Below each: rank, distance, person, "
        "camera."
    )
    return PageSection("Rank lists", (text,), tuple(parts))


def heat_section(group: Sequence[ReportedRun], folder: Path) -> PageSection:
    """Heat over the same people for every run: what speaks for the match, and where the map is strong."""
    samples, others = [], []
    for pair in _pairs(group[0].result):
        samples += [group[0].result.data.query[pair.query], group[0].result.data.gallery[pair.match]]
        others += [("gallery", pair.match), ("query", pair.query)]
    pictures = [read_image(sample) for sample in samples]
    found = []
    for subject in group:
        images = _network_images(subject.embedder, samples)
        vectors = np.stack([getattr(subject.result, side).vectors[place] for side, place in others])
        network = subject.embedder.network
        found.append((subject.name, similarity_maps(network, images, vectors), activation_maps(network, images)))
    rows = []
    for number, (sample, picture) in enumerate(zip(samples, pictures, strict=True)):
        kind = "query" if number % 2 == 0 else "match"
        crops = [CaptionedCrop(picture, (kind, f"person {sample.person_id}", f"camera {sample.camera_id + 1}"))]
        for name, similarity, strength in found:
            label = () if len(found) == 1 else (_short(name),)
            crops += [
                CaptionedCrop(overlay_heat(picture, similarity[number]), ("HiResCAM", *label)),
                CaptionedCrop(overlay_heat(picture, strength[number]), ("activation", *label)),
            ]
        rows.append(("", crops))
    across = (2 if len(group) < 3 else 1) * (1 + 2 * len(group))  # a pair side by side, if there is room
    drawn, *_ = plot_crop_rows(rows, folder / "heat.png", title="What speaks for the match", across=across, vector=True)
    text = (
        "HiResCAM (of the Grad-CAM family): which places raise an image's similarity to the other of the pair. "
        "Activation: where the network's last map is strong, whatever it is compared with. Brighter is more; scales "
        "differ between images."
    )
    caption = "Queries and their nearest match from another camera; the same people for every run."
    alt = "Images of people with heat maps over them."
    return PageSection("Heatmaps", (text,), (PageFigure(drawn, caption, alt, photographs=True),))


def shares_section(group: Sequence[ReportedRun], folder: Path) -> PageSection:
    """Why two match: what each part of the embedding adds to their similarity, beside the same query's confusion."""
    parts: list[PageFigure | PageTable] = []
    chosen = _pairs(group[0].result)
    for number, subject in enumerate(group, start=1):
        widths = subject.embedder.network.embedding_parts
        if len(widths) < 2:
            continue
        result = subject.result
        names = _part_names(subject)
        drawn = []
        for pair in chosen:
            asked = result.data.query[pair.query]
            for place, match in ((pair.match, True), (pair.other, False)):
                item = result.data.gallery[place]
                drawn.append(
                    PartContributions(
                        query=read_image(asked),
                        gallery=read_image(item),
                        contributions=part_shares(
                            result.query.vectors[pair.query], result.gallery.vectors[place], widths
                        ),
                        match=match,
                        lines=("✓ same person" if match else "✗ someone else", f"camera {item.camera_id + 1}"),
                        names=names,
                    )
                )
        end, of = ("", "") if len(group) == 1 else (f"-{number}", f"{subject.name}: ")
        path, *_ = plot_part_contributions(drawn, folder / f"shares{end}.png", title=f"{of}why these two match")
        caption = (
            f"{of}left, a query and its nearest match; right, the same query and the nearest image of somebody else."
        )
        if subject.recipe.model.stripes:
            caption += " Bars stand at the height of their stripe."
        alt = "Pairs of images with a bar for each part's share of their similarity."
        parts.append(PageFigure(path, caption[0].upper() + caption[1:], alt, photographs=True))
    text: tuple[str, ...] = ()
    if parts:
        text = ("The similarity of two embeddings is the sum of what their parts add: nothing here is approximated.",)
    return PageSection("Why these two match", text, tuple(parts))


def parts_section(group: Sequence[ReportedRun], folder: Path) -> PageSection:
    """Which part each place of the map belongs to, before and after refinement (the paper's figure 7)."""
    subject = next((each for each in group if each.recipe.model.refines), None)
    if subject is None:
        stripes = sorted({each.recipe.model.stripes for each in group} - {0})
        if not stripes:
            return PageSection("Parts", (), ())
        counts = " or ".join(map(str, stripes))
        return PageSection(
            "Parts", (f"No run of this page is refined (RPP): its parts are {counts} fixed stripes.",), ()
        )
    result = subject.result
    samples = [result.data.query[pair.query] for pair in _pairs(result, count=2 * _EXPLAINED)]
    images = _network_images(subject.embedder, samples)
    found = assignments(subject.embedder.network, images)
    assert found is not None
    count = found.shape[1]
    rows = []
    for sample, refined in zip(samples, found, strict=True):
        picture = read_image(sample)
        stripes_of = build_stripe_assignment(count, (refined.shape[1], refined.shape[2]))
        moved = (refined.argmax(axis=0) != stripes_of.argmax(axis=0)).mean()
        rows.append(
            (
                "",
                [
                    CaptionedCrop(picture, ("image", f"person {sample.person_id}")),
                    CaptionedCrop(overlay_parts(picture, stripes_of), ("stripes",)),
                    CaptionedCrop(overlay_parts(picture, refined), ("refined", f"{100 * moved:.0f} % moved")),
                ],
            )
        )
    drawn, *_ = plot_crop_rows(
        rows, folder / "parts.png", title="Parts before and after refinement", across=9, vector=True
    )
    caption = (
        f"{subject.name}: each place of the map in the color of the part that it belongs to most, stronger where that "
        "is surer. Left stripes, right the part classifier's assignment; below, how many places changed their part."
    )
    alt = "People with their parts colored: even stripes, and the refined assignment."
    return PageSection("Parts", (), (PageFigure(drawn, caption, alt, photographs=True),))


def batch_section(subjects: Sequence[ReportedRun], folder: Path) -> PageSection:
    """The first batch of the training as the network saw it, and images before and after; of the first run."""
    subject = subjects[0]
    recipe, data = subject.recipe, subject.result.data
    try:
        training_set = join_training([data])
    except DataError as error:
        return PageSection("What the network was shown", (f"Left out: {error}",), ())
    persons = min(recipe.batches.persons, training_set.identities)
    settings = replace(build_loader_settings(recipe), persons=persons, alike=1, workers=0, cache="never")
    loader = TrainingLoader(training_set, settings)
    batch = next(iter(loader.epoch(0)))
    after = _pixels(batch.images, subject.embedder)
    places = [int(place) for place in batch.indices[:_ERASED]]
    shown = [training_set.samples[place] for place in places]
    before = _pixels(_network_images(subject.embedder, shown).cpu(), subject.embedder)
    rows = [
        ("", [CaptionedCrop(first, ("as it is", f"person {sample.person_id}")), CaptionedCrop(second, ("as shown",))])
        for first, second, sample in zip(before, after[: len(before)], shown, strict=True)
    ]
    single, *_ = plot_crop_rows(rows, folder / "augmentation.png", title="Before and after", across=9, vector=True)
    whole, *_ = plot_mosaic(after, folder / "batch.png", title=f"A whole batch: {persons} x {recipe.batches.images}")
    erasing = recipe.images.erasing
    says = f"random erasing at p = {erasing.p:g}" if erasing else "no random erasing"
    text = f"{subject.name}: flips, shifts, colors as the recipe has them, {says}."
    return PageSection(
        "What the network was shown",
        (text,),
        (
            PageFigure(
                single, "Training images resized, and as the network saw them.", "Pairs of images.", photographs=True
            ),
            PageFigure(whole, "The first batch of the training.", "A grid of augmented images.", photographs=True),
        ),
    )


def _pairs(result: EvaluationResult, *, count: int = _EXPLAINED) -> list[_Pair]:
    """Valid queries with their nearest match and their nearest confusion: evenly from the worst to the best AP."""
    query, gallery = result.query, result.gallery
    lists = np.flatnonzero(~np.isnan(result.scores.average_precision))
    order = lists[np.argsort(result.scores.average_precision[lists], kind="stable")]
    spread = order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]
    by_sample = {id(sample): place for place, sample in enumerate(result.data.query)}
    pairs = []
    for chosen in dict.fromkeys(spread.tolist()):
        q = by_sample[id(result.query_samples[chosen])]
        similarity = gallery.vectors.astype(np.float32) @ query.vectors[q].astype(np.float32)
        same = gallery.person_ids == query.person_ids[q]
        match = _nearest(similarity, same & (gallery.camera_ids != query.camera_ids[q]))
        other = _nearest(similarity, ~same)
        if match is not None and other is not None:
            pairs.append(_Pair(q, match, other))
    if not pairs:
        raise DataError(
            f"{result.title}: no query has both a match and somebody else in the gallery; nothing to explain"
        )
    return pairs


def _nearest(similarity: NDArray[np.float32], among: NDArray[np.bool_]) -> int | None:
    places: IntArray = np.flatnonzero(among)
    return int(places[similarity[places].argmax()]) if len(places) else None


def _network_images(embedder: Embedder, samples: Sequence[Sample]) -> torch.Tensor:
    """(N, 3, H, W) normalized, on the model's device."""
    preprocessing = embedder.preprocessing
    batches = evaluation_batches(
        samples,
        size=preprocessing.size,
        mean=preprocessing.mean,
        std=preprocessing.std,
        batch=len(samples),
    )
    return next(batches).to(embedder.device)


def _pixels(images: torch.Tensor, embedder: Embedder) -> NDArray[np.uint8]:
    """(N, 3, H, W) normalized to (N, H, W, 3) RGB."""
    mean, std = (
        torch.tensor(each).view(1, 3, 1, 1) for each in (embedder.preprocessing.mean, embedder.preprocessing.std)
    )
    values = (images * std + mean).clamp(0, 1) * 255
    pixels: NDArray[np.uint8] = values.round().byte().permute(0, 2, 3, 1).numpy()
    return pixels


def _part_names(subject: ReportedRun) -> tuple[str, ...]:
    return subject.embedder.network.part_names


def _short(name: str, length: int = 13) -> str:
    """A run's name as far as a cell has room."""
    return name if len(name) <= length else name[: length - 1] + "…"
