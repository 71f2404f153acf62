"""Section of the adaptation: the gain of each rung on held-out crops, and its links between cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passerby.adaptation.adapt_result import Rung, describe_decision
from passerby.reporting.page import PageFigure, PageSection, PageTable
from passerby.reporting.reported_runs import RunGroup
from passerby.text import plural

TITLE = "Adaptation"
NOT_MEASURED = "-"
"""Cell of a value that was not measured."""


PICTURES_OF = {
    "clusters-surest": (
        "Clusters of {evidence}, a row of crops for each: those of the highest probability.",
        "Contact sheet of the clusters of the highest probability, with the camera below each crop",
    ),
    "clusters-least-sure": (
        "The clusters of the lowest probability.",
        "Contact sheet of the clusters of the lowest probability, with the camera below each crop",
    ),
    "rank-lists-better": (
        "Held-out crops with the largest rise of the average precision: their nearest crops before and after. Green "
        "box and tick: {match}. Red box and cross: another one.",
        "Rank lists before and after of queries that became better",
    ),
    "rank-lists-worse": (
        "Held-out crops with the largest fall of the average precision.",
        "Rank lists before and after of queries that became worse",
    ),
    "embeddings-before": (
        "Embeddings of the crops before the adaptation, on the two principal axes of those before and after. The "
        "largest clusters are in color.",
        "Scatter plot of the embeddings before the adaptation",
    ),
    "embeddings-after": ("The same after it.", "Scatter plot of the embeddings after the adaptation"),
}
"""Caption and description of each picture that `adapt` keeps in a run; `_TERMS` has the words in braces."""


@dataclass(frozen=True)
class _Terms:
    """Words for one kind of evidence.

    Attributes:
        evidence: What a rung learns from.
        judged: What its mAP is measured on.
        match: What counts as a match of a held-out crop.
    """

    evidence: str
    judged: str
    match: str


_TERMS = {
    "tracks": _Terms("tracks", "held-out tracks", "a crop of the same track"),
    "identities": _Terms("identities", "held-out identities", "a crop of the same identity"),
    "similar": _Terms(
        "groups of similar crops",
        "links of held-out crops",
        "the crop of another camera that half of the start's embedding links",
    ),
}
"""By the kind of `Groups`."""
_TERMS["pairs"] = _TERMS["similar"]  # in manifests of earlier versions


def build_adaptation_section(group: RunGroup, *, images: bool) -> PageSection:
    """Tabulate the rungs of each run that was adapted, as recorded in its manifest, and show its pictures.

    Args:
        group: The runs.
        images: Show images of people.
    """
    texts: list[str] = []
    tables: list[PageTable | PageFigure] = []
    for run in {run.folder: run for run in group.runs}.values():
        if adaptation := run.embedder.manifest.get("adaptation"):
            texts.append(f"{run.name}: {_summarize(adaptation)}")
            tables.append(_tabulate_rungs(adaptation, name=run.name))
            terms = _TERMS[adaptation["evidence"]]
            tables += [_tabulate_links(rung, terms, name=run.name) for rung in adaptation["rungs"] if _list_links(rung)]
            tables += _list_pictures(run.folder.pictures, terms, name=run.name) if images else []
    return PageSection(TITLE, tuple(texts), tuple(tables))


def _list_pictures(folder: Path, terms: _Terms, *, name: str) -> list[PageFigure]:
    """List the pictures of a run that are there; `gallery forget` erases them."""
    return [
        PageFigure(
            path, f"{name}: {caption.format_map(vars(terms))}", alt, crops=True, narrow=stem.startswith("embeddings")
        )
        for stem, (caption, alt) in PICTURES_OF.items()
        if (path := folder / f"{stem}.png").is_file()
    ]


def _summarize(adaptation: Mapping[str, Any]) -> str:
    cameras, terms = plural(adaptation["cameras"], "camera"), _TERMS[adaptation["evidence"]]
    return (
        f"adapted by {plural(adaptation['crops'], 'crop')} of {cameras} with {adaptation['groups']:,} "
        f"{terms.evidence}, of which {adaptation['held_out']:,} were held out. The mAP on {terms.judged} was "
        f"{_percent(adaptation['start'])} % at the start. Chosen: {adaptation['chosen']}; seed {adaptation['seed']}."
    )


def _tabulate_rungs(adaptation: Mapping[str, Any], *, name: str) -> PageTable:
    rungs = [Rung(**rung) for rung in adaptation["rungs"]]
    chosen = next((rung for rung in rungs if rung.name == adaptation["chosen"]), None)
    rows = tuple(
        (
            rung.name,
            _percent(rung.gain, sign=True),
            _percent(rung.error),
            _percent(rung.rendered, digits=0),
            describe_decision(rung, chosen),
        )
        for rung in rungs
    )
    return PageTable(
        f"{name}: rungs. Gain of the mAP on {_TERMS[adaptation['evidence']].judged} in points, its standard error, and "
        "the mAP on synthetic people in percent of that of the start.",
        ("Rung", "Gain", "Error", "Synthetic people keep", "Decision"),
        rows,
        text_columns=1,
    )


def _list_links(rung: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the rounds or passes of a rung; none for a rung without links."""
    details = rung["details"] or {}
    steps: Sequence[Mapping[str, Any]] = details.get("passes") or details.get("rounds") or ()
    return steps


def _tabulate_links(rung: Mapping[str, Any], terms: _Terms, *, name: str) -> PageTable:
    rows = tuple(
        (
            str(number),
            f"{step['links']:,}",
            _percent(step.get("link_probability")),
            _percent(step.get("link_precision")),
            _percent(step.get("link_recall")),
            _percent(step.get("gain"), sign=True),
        )
        for number, step in enumerate(_list_links(rung), start=1)
    )
    return PageTable(
        f"{name}: links between {terms.evidence} of two cameras in each round of {rung['name']}. Their mean "
        "probability, and precision and recall where the data had identities to measure them by, in percent; gain of "
        "the mAP on held-out crops after the round.",
        ("Round", "Links", "Probability", "Precision", "Recall", "Gain"),
        rows,
    )


def _percent(value: float | None, *, digits: int = 1, sign: bool = False) -> str:
    if value is None:
        return NOT_MEASURED
    return f"{100 * value:{'+' if sign else ''}z.{digits}f}"
