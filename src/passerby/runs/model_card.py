"""A model card: whom a model finds among rendered people and whom it does not; of those, all looks are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from passerby.errors import TrainingError
from passerby.evaluation.bootstrap import identity_intervals
from passerby.runs.evaluate import EvaluationResult
from passerby.types import DataSet

FACTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "skin tone, 0 the lightest": lambda row: str(row["person_skin_tone"]),
    "top": lambda row: row["person_top_kind"],
    "top's color": lambda row: row["person_top_name"],
    "bottom": lambda row: row["person_bottom_kind"],
    "bag": lambda row: row["person_bag"],
    "camera's height": lambda row: _band(row["camera_height"], (2, 3, 4, 5), "m"),
    "pixels of the person's height": lambda row: _band(row["pixel_height"], (64, 96, 128, 192), "px"),
    "seen from": lambda row: _view(row["facing"]),
    "hidden by something": lambda row: _band(100 * row["hidden"], (1, 20, 40), "%"),
}
"""What queries are told apart by: a name, and the group that a row of the data set's table belongs to."""
FEWEST = 20  # queries of a group that is worth a line


@dataclass(frozen=True)
class Group:
    """Figures of the queries that share something.

    Attributes:
        fact: A key of `FACTS`.
        name: Which of its groups.
        queries: How many.
        people: Of how many people.
        rank1: 0 to 1.
        mAP: 0 to 1.
        interval: 95 % bootstrap interval of the mAP over people.
    """

    fact: str
    name: str
    queries: int
    people: int
    rank1: float
    mAP: float
    interval: tuple[float, float]


def groups(result: EvaluationResult) -> list[Group]:
    """The figures of an evaluation on rendered people, told apart by `FACTS`, without groups of a few queries.

    Raises:
        TrainingError: When the data set has no table of its images.
    """
    rows = _table(result.data)
    facts = [rows[sample.path.name] for sample in result.query_samples]
    people = np.array([sample.person_id for sample in result.query_samples])
    valid = result.scores.first_match > 0
    values = np.stack([result.scores.first_match == 1, result.scores.average_precision], axis=1).astype(float)  # (Q, 2)
    found = []
    for fact, group_of in FACTS.items():
        names = np.array([group_of(row) for row in facts])
        for name in sorted(set(names), key=_order):
            mine = np.flatnonzero((names == name) & valid)
            if len(mine) >= FEWEST:
                ends = identity_intervals(
                    values[mine], people[mine], replicates=1000, generator=np.random.default_rng(0)
                )
                rank1, precision = values[mine].mean(axis=0).tolist()
                count = len(np.unique(people[mine]))
                interval = float(ends[1][0]), float(ends[1][1])
                found.append(Group(fact, name, len(mine), count, rank1, precision, interval))
    return found


def model_card(manifest: dict[str, Any], command: str, result: EvaluationResult, found: list[Group]) -> str:
    """Markdown: what the model is, the command that made it, whom it finds and whom it does not."""
    scores, settings = result.scores, manifest["model"]
    ends = " to ".join(f"{100 * end:.1f}" for end in scores.intervals["mAP"])
    lines = [
        "# Model card: the default model",
        "",
        f"`{settings['backbone']}` with SimAM and {settings['parts']} stripes, "
        f"{manifest['preprocessing']['size'][0]} x {manifest['preprocessing']['size'][1]} pixels, float16.",
        f"Trained on {manifest['images']:,} images of {manifest['trained_identities']:,} people who do not exist",
        f"(`{manifest['data']}`), seed {manifest['seed']}; whitened by others of them",
        f"(`{manifest['whitening']}`); no picture of a real person was used at any point.",
        "",
        f"Made by `{command}`.",
        "What it finds of real people is in docs/results.md: much less than a model trained where it is used. It is a",
        "starting point, and no ground to decide about anybody.",
        "",
        f"## On {len({s.person_id for s in result.data.query}):,} rendered people that it was not trained on",
        "",
        f"{scores.valid_queries:,} queries, gallery {scores.gallery:,}, {scores.protocol} rule, {scores.ap} AP: "
        f"Rank-1 {100 * scores.rank1:.1f} %, mAP {100 * scores.mAP:.1f} % [{ends}].",
        "",
        "By what is rendered in the query; intervals are of the mAP, 95 %, over people. Where two overlap, the",
        "difference may be chance.",
    ]
    for fact in FACTS:
        mine = [group for group in found if group.fact == fact]
        if mine:
            lines += [
                "",
                f"| {fact} | queries | people | Rank-1 % | mAP % | |",
                "| --- | ---: | ---: | ---: | ---: | --- |",
            ]
            lines += [
                f"| {g.name} | {g.queries:,} | {g.people:,} | {100 * g.rank1:.1f} | {100 * g.mAP:.1f} "
                f"| [{100 * g.interval[0]:.1f}, {100 * g.interval[1]:.1f}] |"
                for g in mine
            ]
    return "\n".join(lines) + "\n"


def _table(data: DataSet) -> dict[str, dict[str, Any]]:
    """File name -> row of the data set's own table, without the masks."""
    import pyarrow.parquet

    path = data.root / "images.parquet"
    if not path.is_file():
        raise TrainingError(f"{path}: no such file; expected a data set of rendered people, which has a table")
    columns = [name for name in pyarrow.parquet.read_schema(path).names if name != "mask"]
    rows = pyarrow.parquet.read_table(path, columns=columns).to_pylist()
    return {Path(row["file"]).name: row for row in rows}


def _band(value: float, edges: tuple[float, ...], unit: str) -> str:
    """Which of the bands between the edges a value lies in, as words."""
    place = int(np.searchsorted(edges, value, side="right"))
    if place == 0:
        return f"under {edges[0]:g} {unit}"
    return (
        f"{edges[place - 1]:g} {unit} or more"
        if place == len(edges)
        else f"{edges[place - 1]:g} to {edges[place]:g} {unit}"
    )


def _view(facing: float) -> str:
    """Which side is seen, of degrees from -180 to 180, 0 to the camera."""
    return "the front" if abs(facing) < 60 else "the side" if abs(facing) < 120 else "the back"


def _order(name: str) -> tuple[float, str]:
    """Bands in their order, words in the alphabet's."""
    first = name.removeprefix("under ").split(" ")[0]
    number = float(first) if first.replace(".", "").isdigit() else math.inf
    return (number - 0.5 if name.startswith("under") else number), name
