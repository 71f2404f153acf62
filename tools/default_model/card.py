"""Model card: metrics on rendered images by the attributes of the query, all of which are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from passerby.errors import TrainingError
from passerby.evaluation.bootstrap import bootstrap_intervals
from passerby.runs.evaluate_model import EvaluationResult
from passerby.types import DataSet

ATTRIBUTES: dict[str, Callable[[dict[str, Any]], str]] = {
    "skin tone, 0 the lightest": lambda row: str(row["person_skin_tone"]),
    "top": lambda row: row["person_top_kind"],
    "color of the top": lambda row: row["person_top_name"],
    "bottom": lambda row: row["person_bottom_kind"],
    "bag": lambda row: row["person_bag"],
    "camera height": lambda row: _interval(row["camera_height"], (2, 3, 4, 5), "m"),
    "height of the person in pixels": lambda row: _interval(row["pixel_height"], (64, 96, 128, 192), "px"),
    "view": lambda row: _view(row["facing"]),
    "occluded fraction of the person": lambda row: _interval(100 * row["hidden"], (1, 20, 40), "%"),
}
"""Attribute of a query -> function from a row of the data set's table to the attribute's value."""
MIN_QUERIES = 20
"""Groups with fewer queries are left out."""


@dataclass(frozen=True)
class Group:
    """Metrics of the queries that share a value of an attribute.

    Attributes:
        attribute: A key of `ATTRIBUTES`.
        value: The shared value.
        queries: Number of queries.
        identities: Number of identities among them.
        rank1: 0 to 1.
        mAP: 0 to 1.
        interval: 95 % bootstrap interval of the mAP over identities.
    """

    attribute: str
    value: str
    queries: int
    identities: int
    rank1: float
    mAP: float
    interval: tuple[float, float]


def group_queries(result: EvaluationResult) -> list[Group]:
    """Compute the metrics of each group of queries of an evaluation on rendered images.

    Raises:
        TrainingError: When the data set has no table of its images.
    """
    table = _read_table(result.data)
    rows = [table[sample.path.name] for sample in result.query_samples]
    identities = np.array([sample.person_id for sample in result.query_samples])
    valid = result.scores.first_match > 0
    metrics = np.stack([result.scores.first_match == 1, result.scores.average_precision], axis=1).astype(float)  # (Q,2)
    groups = []
    for attribute, value_of in ATTRIBUTES.items():
        values = np.array([value_of(row) for row in rows])
        for value in sorted(set(values), key=_sort_key):
            members = np.flatnonzero((values == value) & valid)
            if len(members) < MIN_QUERIES:
                continue
            generator = np.random.default_rng(0)
            ends = bootstrap_intervals(metrics[members], identities[members], replicates=1000, generator=generator)
            rank1, precision = metrics[members].mean(axis=0).tolist()
            count = len(np.unique(identities[members]))
            interval = float(ends[1][0]), float(ends[1][1])
            groups.append(Group(attribute, value, len(members), count, rank1, precision, interval))
    return groups


def model_card(manifest: dict[str, Any], command: str, result: EvaluationResult, groups: list[Group]) -> str:
    """Return the card as Markdown: architecture, training data, build command, metrics by attribute of the query."""
    scores, settings = result.scores, manifest["model"]
    ends = " to ".join(f"{100 * end:.1f}" for end in scores.intervals["mAP"])
    height, width = manifest["preprocessing"]["size"]
    lines = [
        "# Model card: the default model",
        "",
        f"Architecture: `{settings['backbone']}` with SimAM and {settings['parts']} stripes, input {height} x {width} "
        "pixels, float16.",
        f"Training data: {manifest['images']:,} rendered images of {manifest['trained_identities']:,} synthetic "
        f"identities, seed {manifest['seed']}",
        f"(`{manifest['data']}`).",
        "Whitening (WCCN): rendered images of other synthetic identities",
        f"(`{manifest['whitening']}`).",
        *_continued_lines(manifest.get("continued_on", [])),
        "No image of a real person was used.",
        "",
        f"Built by `{command}`.",
        "Metrics on real images are in docs/results.md. They are far below those of a model trained on images of the",
        "site where it is used. Use the model as a starting point; do not base decisions about a person on it.",
        "",
        f"## Metrics on {len({s.person_id for s in result.data.query}):,} synthetic test identities",
        "",
        f"{scores.valid_queries:,} queries, gallery {scores.gallery:,}, {scores.protocol} rule, {scores.ap} AP: "
        f"Rank-1 {100 * scores.rank1:.1f} %, mAP {100 * scores.mAP:.1f} % [{ends}].",
        "",
        "The tables group the queries by an attribute. Brackets hold the 95 % bootstrap interval of the mAP over",
        "identities. A difference between groups whose intervals overlap may be chance.",
    ]
    for attribute in ATTRIBUTES:
        lines += _table_lines(attribute, [group for group in groups if group.attribute == attribute])
    return "\n".join(lines) + "\n"


def _continued_lines(runs: list[dict[str, Any]]) -> Iterator[str]:
    if runs:
        yield "The training was continued, not whitened again, on"
    for run in runs:
        yield f"{run['images']:,} rendered images of {run['trained_identities']:,} identities, seed {run['seed']}"
        yield f"(`{run['data']}`)."


def _table_lines(attribute: str, groups: list[Group]) -> Iterator[str]:
    if not groups:
        return
    yield ""
    yield f"| {attribute} | queries | identities | Rank-1 % | mAP % | |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    for group in groups:
        low, high = group.interval
        yield (
            f"| {group.value} | {group.queries:,} | {group.identities:,} | {100 * group.rank1:.1f} "
            f"| {100 * group.mAP:.1f} | [{100 * low:.1f}, {100 * high:.1f}] |"
        )


def _read_table(data: DataSet) -> dict[str, dict[str, Any]]:
    """Return file name -> row of the data set's `images.parquet`, without the masks."""
    import pyarrow.parquet

    path = data.root / "images.parquet"
    if not path.is_file():
        raise TrainingError(f"{path}: no such file; expected a synthetic data set, which has a table of its images")
    columns = [name for name in pyarrow.parquet.read_schema(path).names if name != "mask"]
    rows = pyarrow.parquet.read_table(path, columns=columns).to_pylist()
    return {Path(row["file"]).name: row for row in rows}


def _interval(value: float, edges: tuple[float, ...], unit: str) -> str:
    """Return the interval between two edges that holds a value, as text."""
    index = int(np.searchsorted(edges, value, side="right"))
    if index == 0:
        return f"under {edges[0]:g} {unit}"
    if index == len(edges):
        return f"{edges[-1]:g} {unit} or more"
    return f"{edges[index - 1]:g} to {edges[index]:g} {unit}"


def _view(facing: float) -> str:
    """Return the visible side for an angle in degrees, -180 to 180, 0 toward the camera."""
    return "front" if abs(facing) < 60 else "side" if abs(facing) < 120 else "back"


def _sort_key(value: str) -> tuple[float, str]:
    """Sort intervals by their lower edge, and words alphabetically after them."""
    first = value.removeprefix("under ").split(" ")[0]
    number = float(first) if first.replace(".", "").isdigit() else math.inf
    return (number - 0.5 if value.startswith("under") else number), value
