"""Report on finished runs: one HTML page, and its plots as files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from passerby.data.fingerprint import fingerprint
from passerby.errors import DataError, argument, require_several
from passerby.evaluation.summary import percent
from passerby.extras import require_extra
from passerby.files import write_atomic
from passerby.out_paths import require_file, require_folder
from passerby.plots.style import COLORS
from passerby.progress import ProgressOption, open_progress
from passerby.reporting.adaptation_section import build_adaptation_section
from passerby.reporting.distance_section import build_distance_section
from passerby.reporting.explanation_sections import build_heatmap_section, build_part_section, build_similarity_section
from passerby.reporting.manifest_section import build_manifest_section
from passerby.reporting.page import PageFigure, PageSection, render_page
from passerby.reporting.rank_list_section import build_rank_list_section
from passerby.reporting.reported_runs import ReportedRun, RunGroup, SectionBuilder, load_reported_runs
from passerby.reporting.score_section import build_published_section, build_score_section
from passerby.reporting.training_sections import build_training_image_section, build_training_section
from passerby.text import plural
from passerby.types import Result

logger = logging.getLogger(__name__)

MOST_RUNS = len(COLORS)
"""Largest number of runs in one report: one color each."""
DATA_SECTIONS: tuple[SectionBuilder, ...] = (build_published_section, build_distance_section)
"""Sections for each data set."""
IMAGE_SECTIONS: tuple[SectionBuilder, ...] = (
    build_rank_list_section,
    build_heatmap_section,
    build_similarity_section,
    build_part_section,
)
"""Sections for each data set that show images of people."""


@dataclass(frozen=True)
class ReportResult(Result):
    """Files of a report.

    Attributes:
        page: HTML file.
        plots: PNG and SVG of each plot.
    """

    page: Path
    plots: tuple[Path, ...]

    def __repr__(self) -> str:
        return f"ReportResult(page={str(self.page)!r}, plots={plural(len(self.plots), 'file')})"


def report(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    data: str | None = None,
    images: bool = True,
    queries: int = 6,
    device: str = "auto",
    progress: ProgressOption = False,
) -> ReportResult:
    """Evaluate finished runs and write one self-contained HTML page about them.

    The folders of the runs are not changed.

    Args:
        runs: Folders written by `train`, or `default` for the default model; 1 to `MOST_RUNS`.
        out: HTML file. The plots are written to a folder beside it: `m_files` for `m.html`.
        data: Data sets for all runs; None for the data that each run was trained on. Required with `default`.
        images: Show images of people. False: the page and its plots show none.
        queries: Number of rank lists of each kind (worst, random, best), at least 1.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        The files written.

    Raises:
        DataError: For no run or too many, an `out` that does not end in `.html`, or data without valid queries.
        WeightsError: For a folder without a finished run.
        MissingExtraError: When matplotlib or jinja2 is not installed. Nothing is written in these cases.
        WriteError: When a file cannot be written.

    Example:
        >>> from passerby.reporting.report import report
        >>> report(["runs/m"], "m.html", images=False)
        ReportResult(page='m.html', plots=14 files)
    """
    page = Path(out)
    _check_arguments(runs, page, queries)
    with open_progress(progress) as show:
        reported = tuple(load_reported_runs(runs, data, device=device, progress=show))
    folder = _plot_folder(page)
    sections = _build_sections(RunGroup(reported, folder, queries), images=images)
    html = render_page(
        " and ".join(dict.fromkeys(run.name for run in reported)),
        lead=[_summarize(run) for run in reported],
        notice=_write_notice(reported, images=images),
        sections=sections,
        footer=f"Written by passerby {version('passerby')} on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. "
        f"The folder {folder.name} holds all plots as PNG, and those without crops as SVG, too.",
    )
    write_atomic(page, html.encode())
    figures = [part for section in sections for part in section.parts if isinstance(part, PageFigure)]
    written = [figure for figure in figures if folder in figure.path.parents]  # the pictures of a run are its own
    return ReportResult(page, tuple(file for figure in written for file in figure.files))


def _check_arguments(runs: Sequence[str | Path], page: Path, queries: int) -> None:
    if page.suffix.lower() not in (".html", ".htm"):
        raise DataError(
            f"{argument('out')} {page}: got {page.suffix or 'no suffix'!r}, expected a file name that ends in .html"
        )
    require_file(page)
    require_folder(_plot_folder(page))
    require_several("runs", runs, DataError)
    if not 1 <= len(runs) <= MOST_RUNS:
        raise DataError(
            f"report: got {plural(len(runs), 'run')}, expected 1 to {MOST_RUNS}; for tables of many runs use passerby "
            "ablate"
        )
    if queries < 1:
        raise DataError(f"{argument('queries')}: got {queries}, expected at least 1")
    for module in ("matplotlib", "jinja2"):
        require_extra(module)


def _plot_folder(page: Path) -> Path:
    return page.with_name(f"{page.stem}_files")


def _build_sections(group: RunGroup, *, images: bool) -> list[PageSection]:
    """Build the sections of all runs, of each data set, and of the training."""
    by_data: dict[str, list[ReportedRun]] = {}
    for run in group.runs:
        by_data.setdefault(fingerprint([run.result.data]), []).append(run)
    sections = [build_score_section(group)]
    for number, runs in enumerate(by_data.values(), start=1):
        several = len(by_data) > 1
        subgroup = RunGroup(tuple(runs), group.folder / f"data-{number}" if several else group.folder, group.queries)
        for build in (*DATA_SECTIONS, *(IMAGE_SECTIONS if images else ())):
            try:
                section = build(subgroup)
            except DataError as error:
                logger.warning("section left out: %s", error)
                continue
            title = f"{section.title}: {runs[0].result.data.title}" if several else section.title
            sections.append(replace(section, title=title))
    sections += [build_adaptation_section(group, images=images), build_training_section(group)]
    if images:
        sections.append(build_training_image_section(group))
    return [*sections, build_manifest_section(group)]


def _write_notice(runs: Sequence[ReportedRun], *, images: bool) -> str:
    titles = {run.result.data.title for run in runs if not run.result.data.is_synthetic}
    titles |= {run.embedder.manifest["adaptation"]["data"] for run in runs if run.folder.pictures.is_dir()}
    real = ", ".join(sorted(titles))
    if not real:
        return "All people on this page are synthetic."
    if not images:
        return f"Metrics on {real}, without images of people."
    return (
        f"This page shows images of people from {real}. Do not publish it; share it only with people who may access "
        "the data set. The option --no-images writes a page without images of people."
    )


def _summarize(run: ReportedRun) -> str:
    scores = run.result.scores
    return f"{run.title}: Rank-1 {percent(scores, 'rank1')}, mAP {percent(scores, 'mAP')} on {run.result.title}."
