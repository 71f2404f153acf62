"""Sections of scores: metrics, CMC curves, recorded evaluations, stages, and published results."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from passerby.data.fingerprint import fingerprint
from passerby.errors import DataError
from passerby.evaluation.summary import METRICS, Scores, describe, percent
from passerby.plots.cmc import plot_cmc
from passerby.plots.published_results import plot_published_results
from passerby.reporting.page import PageFigure, PageSection, PageTable
from passerby.reporting.published import load_published_results, load_published_source
from passerby.reporting.reported_runs import ReportedRun, RunGroup, is_rendered
from passerby.runs.run_folder import RunFolder


def build_score_section(group: RunGroup) -> PageSection:
    """Tabulate the metrics of all runs and plot their CMC curves."""
    scores = {run.title: run.result.scores for run in group.runs}
    runs_by_rule: defaultdict[str, list[str]] = defaultdict(list)
    for run in group.runs:
        flip = "mean of image and mirrored image" if run.result.flip else "no mirrored images"
        runs_by_rule[f"{describe(run.result.scores)}, {flip}"].append(run.title)
    parts: list[PageFigure | PageTable] = [
        PageTable(
            "Metrics in percent, 95 % interval in brackets (bootstrap over identities).",
            ("Run", *METRICS.values()),
            tuple((title, *_cells(result)) for title, result in scores.items()),
        )
    ]
    if recorded := _recorded_rows(group.runs):
        parts.append(
            PageTable(
                "Other evaluations recorded in the runs' scores.json.",
                ("Run", *METRICS.values(), "Data and method"),
                tuple(recorded),
                text_columns=1,
            )
        )
    if stages := _stage_rows(group.runs):
        parts.append(PageTable("Metrics after each training stage.", ("Run, stage", "Epochs", "Rank-1", "mAP"), stages))
    best = max(scores, key=lambda title: scores[title].rank1)
    caption = "CMC: fraction of queries with a match among the first k gallery images."
    if len({fingerprint([run.result.data]) for run in group.runs}) > 1:
        caption += " The runs were evaluated on different data sets; only curves of one data set are comparable."
    alt = f"CMC curves of {len(scores)} runs; the highest Rank-1 is {100 * scores[best].rank1:.1f} %, of {best}."
    parts.append(PageFigure(plot_cmc(scores, group.folder / "cmc.png")[0], caption, alt))
    rules = tuple(f"{', '.join(titles)}: {rule}." for rule, titles in runs_by_rule.items())
    return PageSection("Scores", rules, tuple(parts))


def build_published_section(group: RunGroup) -> PageSection:
    """Plot the runs beside the published results on the same data set; empty where there are none."""
    title, data = "Published results", group.runs[0].result.data
    scores = {run.title: run.result.scores for run in group.runs if run.result.scores.protocol == "market"}
    published = [] if is_rendered(data) or data.variant else load_published_results(data.name)
    if not published or not scores:
        return PageSection(title)
    path, *_ = plot_published_results(
        {row.method: (row.rank1, row.mAP) for row in published},
        scores,
        group.folder / "published.png",
        title=f"Published and measured on {data.title}",
    )
    caption = f"Gray: published results, cited from {load_published_source()}. Blue: the runs of this report."
    return PageSection(title, (), (PageFigure(path, caption, "Bars of Rank-1 and mAP by method."),))


def _cells(scores: Scores, metrics: tuple[str, ...] = tuple(METRICS)) -> list[str]:
    return [percent(scores, metric).replace(" %", "") for metric in metrics]


def _recorded_rows(runs: tuple[ReportedRun, ...]) -> list[tuple[str, ...]]:
    """Return rows of the evaluations in `scores.json` other than those of this report."""
    rows = []
    for folder, name in dict.fromkeys((run.folder, run.name) for run in runs):
        shown = {_key(run.result.to_dict()) for run in runs if run.folder == folder}
        for entry in _read_scores(folder).get("evaluations", []):
            if _key(entry) not in shown:
                scores = Scores.from_dict(entry)
                method = [scores.protocol, f"{scores.ap} AP", entry.get("method") or "plain"]
                method += [] if entry.get("flip", True) else ["no mirrored images"]
                rows.append((name, *_cells(scores), ", ".join([entry["title"], *method])))
    return rows


def _key(entry: dict[str, Any]) -> str:
    """Return what distinguishes one evaluation from another."""
    return json.dumps([entry.get(name, "") for name in ("data", "protocol", "ap", "flip", "method")])


def _stage_rows(runs: tuple[ReportedRun, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            f"{run.title}, {stage['stage'] or 'whole training'}",
            str(stage["epochs"]),
            *_cells(Scores.from_dict(entry), ("rank1", "mAP")),
        )
        for run in runs
        for stage in _read_scores(run.folder).get("stages", [])
        for entry in stage["evaluations"]
        if entry["title"] == run.result.data.title
    )


def _read_scores(folder: RunFolder) -> dict[str, Any]:
    if not folder.scores.is_file():
        return {}
    try:
        scores: dict[str, Any] = json.loads(folder.scores.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{folder.scores}: not readable as JSON ({error}); evaluate the run again") from None
    return scores
