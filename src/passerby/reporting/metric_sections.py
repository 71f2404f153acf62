"""Chapters of a report that show figures: scores, published ones beside them, distances, training, manifests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from passerby.data.fingerprint import fingerprint
from passerby.errors import DataError
from passerby.evaluation.camera_pairs import CameraPairs, score_camera_pairs
from passerby.evaluation.pair_histogram import count_pairs
from passerby.evaluation.recall import precision_at_recall
from passerby.evaluation.summary import METRICS, Scores, describe, percent
from passerby.model.info import model_info
from passerby.plots.camera_matrix import plot_camera_pairs
from passerby.plots.cmc import plot_cmc
from passerby.plots.distance_curves import plot_distances, plot_precision_recall
from passerby.plots.embedding_map import plot_embedding_map
from passerby.plots.published_results import plot_published_results
from passerby.plots.training_curves import plot_learning_rate, plot_losses
from passerby.ranking.blocks import DistanceBlocks
from passerby.reporting.page import PageFigure, PageSection, PageTable
from passerby.reporting.published import load_published_results, load_published_source
from passerby.reporting.reported_runs import ReportedRun, is_rendered
from passerby.runs.evaluate import EvaluationResult
from passerby.runs.ranking_method import make_lists
from passerby.runs.run_folder import RunFolder
from passerby.training.log import read_log
from passerby.types import Embeddings, Labels

_POINTS, _NAMED = 600, 8


def score_section(subjects: Sequence[ReportedRun], folder: Path) -> PageSection:
    """Scores with their rules, what else is on record, and the CMC curves (the paper's figure 17)."""
    scores = {subject.name: subject.result.scores for subject in subjects}
    rows = [(subject.name, *(_cell(subject.result.scores, name) for name in METRICS)) for subject in subjects]
    main = PageTable(
        "Scores in percent, 95 % interval in brackets (bootstrap over identities).",
        ("Run", *METRICS.values()),
        tuple(rows),
    )
    measured: dict[str, list[str]] = {}  # how: whose
    for subject in subjects:
        flip = "mirrored images averaged" if subject.result.flip else "no mirroring"
        how = f"{describe(subject.result.scores)}, {flip}"
        measured.setdefault(how, []).append(subject.name)
    rules = [f"{', '.join(names)}: {how}." for how, names in measured.items()]
    several = len({fingerprint([subject.result.data]) for subject in subjects}) > 1
    parts: list[PageFigure | PageTable] = [main]
    recorded = _recorded_rows(subjects)
    if recorded:
        parts.append(
            PageTable(
                "Other evaluations that the runs have on record.",
                ("Run", *METRICS.values(), "Data and method"),
                tuple(recorded),
                words=1,
            )
        )
    stages = _stage_rows(subjects)
    if stages:
        parts.append(
            PageTable("After each stage of the training.", ("Run, stage", "Epochs", "Rank-1", "mAP"), tuple(stages))
        )
    curve, *_ = plot_cmc(scores, folder / "cmc.png")
    best = max(scores.items(), key=lambda each: each[1].rank1)
    parts += [
        PageFigure(
            curve,
            "CMC: the share of queries that have found their person among the first k items."
            + (
                " The runs were tested on different data; only lines of one data set can be compared."
                if several
                else ""
            ),
            f"CMC curves of {len(scores)} runs; the highest Rank-1 is {100 * best[1].rank1:.1f} %, of {best[0]}.",
        ),
    ]
    return PageSection("Scores", tuple(rules), tuple(parts))


def _cell(scores: Scores, name: str) -> str:
    return percent(scores, name).replace(" %", "")


def _labels(subject: ReportedRun) -> tuple[Labels, Labels]:
    lists = make_lists([(subject.result.query, subject.result.gallery)], subject.result.method)
    return lists.query, lists.gallery


def _distances(subject: ReportedRun) -> DistanceBlocks:
    """The distances that the scores were made of, once more; they pass in strips and are never kept."""
    return make_lists([(subject.result.query, subject.result.gallery)], subject.result.method).strips


def _recorded_rows(subjects: Sequence[ReportedRun]) -> list[tuple[str, ...]]:
    """Evaluations in `scores.json` other than the ones made here."""
    rows = []
    for folder, name in dict.fromkeys((subject.folder, subject.name.split(" on ")[0]) for subject in subjects):
        shown = {
            json.dumps([entry[key] for key in ("data", "protocol", "ap", "flip", "method")])
            for entry in (s.result.to_dict() for s in subjects if s.folder == folder)
        }
        for entry in _recorded(folder).get("evaluations", []):
            key = json.dumps([entry.get(key, "") for key in ("data", "protocol", "ap", "flip", "method")])
            if key not in shown:
                scores = Scores.from_dict(entry)
                how = [scores.protocol, f"{scores.ap} AP", entry.get("method") or "plain"]
                how += [] if entry.get("flip", True) else ["no mirroring"]
                rows.append((name, *(_cell(scores, figure) for figure in METRICS), ", ".join([entry["title"], *how])))
    return rows


def _stage_rows(subjects: Sequence[ReportedRun]) -> list[tuple[str, ...]]:
    return [
        (
            f"{subject.name}, {stage['stage'] or 'whole training'}",
            str(stage["epochs"]),
            *(_cell(Scores.from_dict(entry), figure) for figure in ("rank1", "mAP")),
        )
        for subject in subjects
        for stage in _recorded(subject.folder).get("stages", [])
        for entry in stage["evaluations"]
        if entry["title"] == subject.result.data.title
    ]


def _recorded(folder: RunFolder) -> dict[str, Any]:
    if not folder.scores.is_file():
        return {}
    try:
        recorded: dict[str, Any] = json.loads(folder.scores.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{folder.scores}: not readable as JSON ({error}); evaluate the run again") from None
    return recorded


def quoted_section(group: Sequence[ReportedRun], folder: Path) -> PageSection:
    """Bars beside the figures that the paper quotes, where those are of the same data set and rule."""
    scores = {subject.name: subject.result.scores for subject in group if subject.result.scores.protocol == "market"}
    data = group[0].result.data
    quoted = [] if is_rendered(data) or data.variant else load_published_results(data.name)
    if not quoted or not scores:
        return PageSection("Beside published figures", (), ())
    drawn, *_ = plot_published_results(
        {row.method: (row.rank1, row.mAP) for row in quoted},
        scores,
        folder / "quoted.png",
        title=f"Published and measured on {data.title}",
    )
    caption = f"Gray: quoted from {load_published_source()}, not measured by us. Blue: the runs of this page."
    return PageSection(
        "Beside published figures", (), (PageFigure(drawn, caption, "Bars of Rank-1 and mAP by method."),)
    )


def distance_section(group: Sequence[ReportedRun], folder: Path) -> PageSection:
    """How well distances tell people apart, by pair of cameras too, and a map of the embeddings."""
    histograms = {subject.name: count_pairs(subject.result.query, subject.result.gallery) for subject in group}
    drawn, *_ = plot_distances(histograms, folder / "distances.png")
    recall = {subject.name: precision_at_recall(*_labels(subject), distances=_distances(subject)) for subject in group}
    precision, *_ = plot_precision_recall(recall, folder / "precision-recall.png")
    parts: list[PageFigure | PageTable] = [
        PageFigure(
            drawn,
            "All pairs of a query and a gallery image from different cameras. Where the two overlap, no threshold is "
            "right.",
            "Histograms of the distances between images of the same person and of different people.",
            narrow=True,
        ),
        PageFigure(
            precision,
            "Precision at each share of a person's images found, interpolated, mean over the queries. Flat where every "
            "query has one match alone.",
            "Precision-recall curves of the runs.",
            narrow=True,
        ),
    ]
    for number, subject in enumerate(group, start=1):
        end = "" if len(group) == 1 else f"-{number}"
        of, below = ("", "") if len(group) == 1 else (f" ({subject.name})", f"\n{subject.name}")
        pairs = score_camera_pairs(*_labels(subject), distances=_distances(subject))
        matrix, *_ = plot_camera_pairs(pairs, folder / f"cameras{end}.png", title=f"Rank-1 by pair of cameras{below}")
        parts.append(PageFigure(matrix, _worst_pair(pairs) + of, "Matrix of Rank-1 by pair of cameras.", narrow=True))
        points, chosen, named = _map_of(subject.result)
        title = f"Images of {len(np.unique(chosen.person_ids))} people{below}"
        plane, *_ = plot_embedding_map(
            points,
            folder / f"map{end}.png",
            identities=chosen.person_ids,
            cameras=chosen.camera_ids,
            highlighted=named,
            title=title,
        )
        caption = (
            f"Embeddings in two dimensions by t-SNE (cosine, seed 0), eight people colored. Near means alike; "
            f"distances far apart mean nothing.{of}"
        )
        parts.append(PageFigure(plane, caption, "Map of embeddings, some people colored.", narrow=True))
    return PageSection("Distances and cameras", (), tuple(parts))


def _worst_pair(pairs: CameraPairs) -> str:
    """Which pair of cameras fails most, in words."""
    if np.isnan(pairs.rank1).all():
        return "No query has its person in another camera."
    a, b = np.unravel_index(np.nanargmin(np.where(pairs.valid > 0, pairs.rank1, np.nan)), pairs.rank1.shape)
    return (
        "Each query searched in one other camera alone. The weakest pair: queries of camera "
        f"{pairs.query_cameras[a] + 1} in camera {pairs.gallery_cameras[b] + 1}, Rank-1 "
        f"{100 * pairs.rank1[a, b]:.0f} % of {pairs.valid[a, b]:,}."
    )


def _map_of(result: EvaluationResult) -> tuple[Any, Embeddings, list[int]]:
    """Places in a plane of at most `_POINTS` images of known people, and the eight with the most images among them."""
    from sklearn.manifold import TSNE

    both = Embeddings(
        np.concatenate([result.query.vectors, result.gallery.vectors]),
        np.concatenate([result.query.person_ids, result.gallery.person_ids]),
        np.concatenate([result.query.camera_ids, result.gallery.camera_ids]),
    )
    people = np.unique(both.person_ids[both.person_ids > 0])
    order = np.random.default_rng(0).permutation(people)
    places = [np.flatnonzero(both.person_ids == person) for person in order]
    kept = max(1, int(np.searchsorted(np.cumsum([len(each) for each in places]), _POINTS)))
    chosen = both.take(np.concatenate(places[:kept])[:_POINTS])
    if len(chosen) < 3:
        raise DataError("map: fewer than 3 images of known people; there is nothing to place")
    plane = TSNE(perplexity=min(20.0, (len(chosen) - 1) / 3), metric="cosine", init="random", random_state=0)
    named = sorted(order[:kept], key=lambda person: -int((chosen.person_ids == person).sum()))[:_NAMED]
    return plane.fit_transform(chosen.vectors.astype(np.float32)), chosen, sorted(map(int, named))


def training_section(subjects: Sequence[ReportedRun], folder: Path) -> PageSection:
    """Learning rate, losses and scores on the way, of each run that has its log."""
    parts = []
    runs = list({subject.folder: subject for subject in subjects}.values())
    for number, subject in enumerate(runs, start=1):
        records = read_log(subject.folder.log)
        if not any("losses" in record for record in records):
            continue
        end, of = ("", "") if len(runs) == 1 else (f"-{number}", f" ({subject.folder.root.name})")
        rate, *_ = plot_learning_rate(records, folder / f"learning-rate{end}.png", title=f"Learning rate{of}")
        loss, *_ = plot_losses(records, folder / f"losses{end}.png", title=f"Losses{of}")
        parts += [
            PageFigure(rate, f"The learning rate of every step{of}.", "Learning rate by epoch.", narrow=True),
            PageFigure(
                loss, f"The losses, and scores on the way where they were measured{of}.", "Losses.", narrow=True
            ),
        ]
    text = () if parts else ("The runs hold no log of their training.",)
    return PageSection("Training", text, tuple(parts))


def manifest_section(subjects: Sequence[ReportedRun]) -> PageSection:
    """What every figure depends on, one column for each run."""
    columns = [_facts(subject) for subject in subjects]
    rows = tuple((key, *(facts[key] for facts in columns)) for key in columns[0])
    grid = PageTable(
        "What the figures depend on. The fingerprint is of the data set's file list, people, cameras and splits.",
        ("", *(subject.name for subject in subjects)),
        rows,
        words=len(columns),
    )
    return PageSection("How this was made", (), (grid,))


def _facts(subject: ReportedRun) -> dict[str, str]:
    manifest, recipe, result = subject.embedder.manifest, subject.recipe, subject.result
    size = subject.embedder.preprocessing.size
    info = model_info(subject.embedder.network, size=size)
    losses = [name for name, value in recipe.loss.model_dump().items() if value]
    versions = ", ".join(f"{name} {number}" for name, number in manifest.get("versions", {}).items())
    return {
        "Tested on": f"{result.title}, {len(result.data.query):,} queries, {len(result.data.gallery):,} gallery images",
        "Its fingerprint": fingerprint([result.data])[:16],
        "Trained on": f"{manifest.get('data', 'not recorded')}: {manifest.get('images', 0):,} images, "
        f"{manifest.get('trained_identities', manifest['identities']):,} people",
        "Protocol": f"{result.scores.protocol}, {result.scores.ap} AP",
        "Network": _network(manifest["model"]),
        "Images": f"{size[0]} x {size[1]}",
        "Parameters": f"{info.parameters['total'] / 1e6:.2f} M, classifiers included",
        "Multiply-adds": f"{info.multiply_adds['total'] / 1e9:.3f} G an image",
        "Embedding": f"{info.embedding_width} numbers",
        "Started from": str(manifest.get("initial_weights", "not recorded")),
        "Recipe": f"{recipe.name}, {recipe.schedule.epochs} epochs, batches {recipe.batches.persons} x "
        f"{recipe.batches.images}, {recipe.optimizer.name}, losses: {', '.join(losses)}",
        "Seed": str(manifest.get("seed", "not recorded")),
        "Training time": _training_time(subject),
        "Versions": f"passerby {manifest.get('passerby', '?')}, {versions}",
    }


def _network(model: Mapping[str, Any]) -> str:
    """A manifest's network in a few words."""
    if model.get("method", "convnext_ap") != "convnext_ap":
        return f"{model['method']} on {model['backbone']}"
    refined = ", refined" if model["refine"] else ""
    return f"{model['backbone']}, attention {'on' if model['attention'] else 'off'}, parts {model['parts']}{refined}"


def _training_time(subject: ReportedRun) -> str:
    """From the images per second that the log holds, evaluations on the way not counted."""
    images = subject.recipe.batches.persons * subject.recipe.batches.images * subject.recipe.optimizer.accumulate
    rates = [record["images_per_second"] for record in read_log(subject.folder.log) if "images_per_second" in record]
    seconds = sum(images / rate for rate in rates if rate > 0)
    return f"{seconds / 60:.1f} min, {len(rates):,} steps" if rates else "not recorded"
