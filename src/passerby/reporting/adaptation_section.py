"""Section of the adaptation: the gain of each rung on held-out crops, and its links between cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from passerby.reporting.page import PageSection, PageTable
from passerby.reporting.reported_runs import RunGroup
from passerby.text import plural

TITLE = "Adaptation"
NOT_MEASURED = "-"
"""Cell of a value that was not measured."""


def build_adaptation_section(group: RunGroup) -> PageSection:
    """Tabulate the rungs of each run that was adapted, as recorded in its manifest."""
    texts: list[str] = []
    tables: list[PageTable] = []
    for run in {run.folder: run for run in group.runs}.values():
        if adaptation := run.embedder.manifest.get("adaptation"):
            texts.append(f"{run.name}: {_summarize(adaptation)}")
            tables.append(_tabulate_rungs(adaptation, name=run.name))
            tables += [_tabulate_links(rung, name=run.name) for rung in adaptation["rungs"] if _list_links(rung)]
    return PageSection(TITLE, tuple(texts), tuple(tables))


def _summarize(adaptation: Mapping[str, Any]) -> str:
    cameras, seed = plural(adaptation["cameras"], "camera"), adaptation["seed"]
    return (
        f"adapted by {plural(adaptation['crops'], 'crop')} of {cameras} with {adaptation['groups']:,} "
        f"{adaptation['evidence']}, of which {adaptation['held_out']:,} were held out to judge by. The mAP on these "
        f"was {_percent(adaptation['start'])} % at the start. Chosen: {adaptation['chosen']}; seed {seed}."
    )


def _tabulate_rungs(adaptation: Mapping[str, Any], *, name: str) -> PageTable:
    rows = tuple(
        (
            rung["name"],
            _percent(rung["gain"], sign=True),
            _percent(rung["error"]),
            _percent(rung["rendered"], digits=0),
            "chosen" if rung["name"] == adaptation["chosen"] else rung["note"] or "accepted",
        )
        for rung in adaptation["rungs"]
    )
    return PageTable(
        f"{name}: rungs. Gain of the mAP on held-out {adaptation['evidence']} in points, its standard error, and the "
        "mAP on synthetic people in percent of that of the start.",
        ("Rung", "Gain", "Error", "Synthetic people keep", "Decision"),
        rows,
        text_columns=1,
    )


def _list_links(rung: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the rounds or passes of a rung; none for a rung without links."""
    details = rung["details"] or {}
    steps: Sequence[Mapping[str, Any]] = details.get("passes") or details.get("rounds") or ()
    return steps


def _tabulate_links(rung: Mapping[str, Any], *, name: str) -> PageTable:
    rows = tuple(
        (
            str(number),
            f"{step['links']:,}",
            _percent(step.get("link_precision")),
            _percent(step.get("link_recall")),
            _percent(step.get("gain"), sign=True),
        )
        for number, step in enumerate(_list_links(rung), start=1)
    )
    return PageTable(
        f"{name}: links between tracks of two cameras in each round of {rung['name']}. Precision and recall in "
        "percent, where the data had identities to measure them by; gain of the mAP on held-out crops after the round.",
        ("Round", "Links", "Precision", "Recall", "Gain"),
        rows,
    )


def _percent(value: float | None, *, digits: int = 1, sign: bool = False) -> str:
    if value is None:
        return NOT_MEASURED
    return f"{100 * value:{'+' if sign else ''}.{digits}f}"
