"""Sections of scores: metrics, CMC curves, recorded evaluations, stages, and published results."""

from __future__ import annotations

from collections import defaultdict

from passerby.data.fingerprint import fingerprint
from passerby.evaluation.summary import METRICS, Scores, describe, percent
from passerby.plots.cmc import plot_cmc
from passerby.plots.published_results import plot_published_results
from passerby.plots.style import name_png_and_svg
from passerby.reporting.page import PageFigure, PageSection, PageTable
from passerby.reporting.published import load_published_results, load_published_source
from passerby.reporting.reported_runs import ReportedRun, RunGroup
from passerby.runs.evaluate_model import describe_precision
from passerby.runs.scores_file import evaluation_key, read_scores
from passerby.text import plural


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
    highest = f"{100 * scores[best].rank1:.1f} %, of {best}"
    alt = f"CMC curves of {plural(len(scores), 'run')}; the highest Rank-1 is {highest}."
    parts.append(PageFigure(plot_cmc(scores, name_png_and_svg(group.folder / "cmc.png"))[0], caption, alt))
    rules = tuple(f"{', '.join(titles)}: {rule}." for rule, titles in runs_by_rule.items())
    return PageSection("Scores", rules, tuple(parts))


def build_published_section(group: RunGroup) -> PageSection:
    """Plot the runs beside the published results on the same data set; empty where there are none."""
    title, data = "Published results", group.runs[0].result.data
    scores = {run.title: run.result.scores for run in group.runs if run.result.scores.protocol == "market"}
    published = [] if data.is_synthetic or data.variant else load_published_results(data.name)
    if not published or not scores:
        return PageSection(title)
    path, *_ = plot_published_results(
        {row.method: (row.rank1, row.mAP) for row in published},
        scores,
        name_png_and_svg(group.folder / "published.png"),
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
        shown = {evaluation_key(run.result.to_dict()) for run in runs if run.folder == folder}
        for entry in read_scores(folder).get("evaluations", []):
            if evaluation_key(entry) not in shown:
                scores = Scores.from_dict(entry)
                method = [scores.protocol, f"{scores.ap} AP", entry.get("method") or "plain"]
                method += [] if entry.get("flip", True) else ["no mirrored images"]
                method += (
                    [describe_precision(entry["precision"], entry.get("accuracy"))] if "precision" in entry else []
                )
                rows.append((name, *_cells(scores), ", ".join([entry["title"], *method])))
    return rows


def _stage_rows(runs: tuple[ReportedRun, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            f"{run.title}, {stage['stage'] or 'whole training'}",
            str(stage["epochs"]),
            *_cells(Scores.from_dict(entry), ("rank1", "mAP")),
        )
        for run in runs
        for stage in read_scores(run.folder).get("stages", [])
        for entry in stage["evaluations"]
        if entry["title"] == run.result.data.title
    )
