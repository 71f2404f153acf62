"""The table of a comparison, in the columns of the paper's Table 5 and what a method costs. Pure functions."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from passerby.evaluation.summary import describe, percent
from passerby.reporting.published import PublishedResult, load_published_source
from passerby.types import Scores

CSV_COLUMNS = (
    *("method", "seed", "rank1", "rank1_low", "rank1_high", "mAP", "mAP_low", "mAP_high"),
    *("parameters", "multiply_adds", "trained_per_second", "embedded_per_second", "epochs", "minutes", "source"),
)
_HEADINGS = (
    *("Method", "Seed", "Rank-1", "mAP", "Parameters (M)", "Multiply-adds (G)"),
    *("Training (images/s)", "Embedding (images/s)", "Epochs", "Minutes"),
)


@dataclass(frozen=True)
class Compared:
    """One training of one method.

    Attributes:
        method: Its recipe.
        seed: Of the training.
        scores: What it reached.
        parameters: Without the classifiers of the training identities.
        multiply_adds: For one image.
        trained_per_second: Images, median over the steps.
        embedded_per_second: Images, decoding and mirroring included.
        epochs: Of its schedule.
        minutes: Of training.
    """

    method: str
    seed: int
    scores: Scores
    parameters: int
    multiply_adds: int
    trained_per_second: float
    embedded_per_second: float
    epochs: int
    minutes: float


def to_markdown(rows: Sequence[Compared], quoted: Sequence[PublishedResult], *, data: str, what: str) -> str:
    """The trained rows by mAP, then the quoted ones, with what a reader must know below."""
    ordered = sorted(rows, key=lambda row: -row.scores.mAP)
    cells = [
        (
            row.method,
            str(row.seed),
            percent(row.scores, "rank1").replace(" %", ""),
            percent(row.scores, "mAP").replace(" %", ""),
            f"{row.parameters / 1e6:.2f}",
            f"{row.multiply_adds / 1e9:.3f}",
            f"{row.trained_per_second:.0f}",
            f"{row.embedded_per_second:.0f}",
            str(row.epochs),
            f"{row.minutes:.1f}",
        )
        for row in ordered
    ]
    cells += [
        (f"{row.method} (quoted)", "-", f"{row.rank1:.1f}", f"{row.mAP:.1f}", *("-",) * 6)
        for row in sorted(quoted, key=lambda row: -row.mAP)
    ]
    lines = [_HEADINGS, ("---", *("---:",) * (len(_HEADINGS) - 1)), *cells]
    notes = [f"{what}, on {data}, by one evaluator."]
    notes += [f"{describe(rows[0].scores)}."] if rows else []
    notes += [
        "Percent, 95 % interval in brackets: bootstrap over identities, the chance of training not in it.",
        "Parameters without the classifiers of the training identities. Speeds of this machine, whatever else it did.",
    ]
    if quoted:
        notes.append(f"Quoted from {load_published_source()}; not measured by us.")
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"## Comparison on {data}\n\n{table}\n\n" + "".join(f"- {note}\n" for note in notes)


def to_csv(rows: Sequence[Compared], quoted: Sequence[PublishedResult]) -> str:
    """One line for each training and each quoted method; shares from 0 to 1, empty where there is none."""
    stream = io.StringIO()
    write = csv.writer(stream, lineterminator="\n").writerow
    write(CSV_COLUMNS)
    for row in rows:
        ends = [row.scores.intervals.get(name, ("", "")) for name in ("rank1", "mAP")]
        figures = (row.scores.rank1, *ends[0], row.scores.mAP, *ends[1])
        costs = (row.parameters, row.multiply_adds, row.trained_per_second, row.embedded_per_second)
        write([row.method, row.seed, *figures, *costs, row.epochs, row.minutes, "measured"])
    for each in quoted:
        write([each.method, "", each.rank1 / 100, "", "", each.mAP / 100, *("",) * 8, "quoted"])
    return stream.getvalue()
