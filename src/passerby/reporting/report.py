"""Report: finished runs in; one page that a person wants to read, and every picture of it as a file, out.

Nothing in the runs changes: their models are evaluated as their recipes say, and what was recorded is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from passerby.data.fingerprint import fingerprint
from passerby.errors import DataError, PasserbyError
from passerby.evaluation.summary import percent
from passerby.files import write_atomic
from passerby.progress import ProgressOption, open_progress
from passerby.reporting.image_sections import batch_section, heat_section, parts_section, rank_section, shares_section
from passerby.reporting.metric_sections import (
    distance_section,
    manifest_section,
    quoted_section,
    score_section,
    training_section,
)
from passerby.reporting.page import PageFigure, PageSection, render_page
from passerby.reporting.reported_runs import ReportedRun, is_rendered, load_reported_runs
from passerby.types import DataSet

logger = logging.getLogger(__name__)

MOST_RUNS = 8
"""More curves in one picture than there are colors tell nobody anything."""


@dataclass(frozen=True)
class ReportResult:
    """What a report left.

    Attributes:
        page: The HTML file.
        pictures: PNG and SVG of every picture.
    """

    page: Path
    pictures: tuple[Path, ...]


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
    """Evaluate finished runs and write one self-contained page about them.

    Args:
        runs: Folders that `train` made, at most `MOST_RUNS`.
        out: The HTML file; its pictures go into a folder beside it, named after it.
        data: Data sets for all runs; None is what each was trained on.
        images: Show images. Without them the page holds no picture of a person.
        queries: Rank lists of each kind, at least 1.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        The files.

    Raises:
        PasserbyError: For no run, too many, one that is not finished, or data without queries; before anything is
            written.
    """
    page = Path(out)
    if page.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"--out {page}: got {page.suffix or 'no ending'!r}, expected a file that ends in .html")
    if not 1 <= len(runs) <= MOST_RUNS:
        raise DataError(
            f"report: got {len(runs):,} runs, expected 1 to {MOST_RUNS}; choose the ones to compare "
            "(tables over many runs: passerby ablate)"
        )
    if queries < 1:
        raise DataError(f"queries: got {queries}, expected at least 1")
    with open_progress(progress) as show:
        subjects = load_reported_runs(runs, data, device=device, progress=show)
    groups: dict[str, list[ReportedRun]] = {}
    for subject in subjects:
        groups.setdefault(fingerprint([subject.result.data]), []).append(subject)
    folder = page.with_name(f"{page.stem}_files")
    sections = [score_section(subjects, folder)]
    for number, group in enumerate(groups.values(), start=1):
        place = folder if len(groups) == 1 else folder / f"data-{number}"
        which = "" if len(groups) == 1 else f": {group[0].result.data.title}"
        makers: list[Callable[[Sequence[ReportedRun], Path], PageSection]] = [quoted_section, distance_section]
        if images:
            makers += [partial(rank_section, queries=queries), heat_section, shares_section, parts_section]
        for make in makers:
            try:
                section = make(group, place)
            except PasserbyError as error:
                logger.warning("left out: %s", error)
                continue
            sections.append(PageSection(section.title + which, section.text, section.parts))
    sections += [training_section(subjects, folder)]
    if images:
        sections += [batch_section(subjects, folder)]
    sections += [manifest_section(subjects)]
    words = render_page(
        _title(subjects),
        lead=_lead(subjects),
        notice=_notice([subject.result.data for subject in subjects], images=images),
        sections=sections,
        footer=f"Made by passerby {version('passerby')} on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. "
        f"Every picture is also in {folder.name}/, as PNG and SVG.",
    )
    write_atomic(page, words.encode())
    pictures = [part.path for section in sections for part in section.parts if isinstance(part, PageFigure)]
    return ReportResult(page, tuple(file for path in pictures for file in (path, path.with_suffix(".svg"))))


def _notice(sets: Sequence[DataSet], *, images: bool) -> str:
    real = sorted({data.title for data in sets if not is_rendered(data)})
    if not real:
        return "Nobody on this page exists: every person was rendered."
    if images:
        return (
            f"This page shows people of {', '.join(real)}. They have not agreed to be shown here: keep the file to "
            "those who may see the data set, and do not publish it. --no-images makes a page without them."
        )
    return f"Figures of {', '.join(real)}, without any image of its people."


def _title(subjects: Sequence[ReportedRun]) -> str:
    names = list(dict.fromkeys(subject.name.split(" on ")[0] for subject in subjects))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _lead(subjects: Sequence[ReportedRun]) -> list[str]:
    """The figures in words, one line for each run."""
    return [
        f"{subject.name}: Rank-1 {percent(subject.result.scores, 'rank1')}, mAP "
        f"{percent(subject.result.scores, 'mAP')} on {subject.result.title}."
        for subject in subjects
    ]
