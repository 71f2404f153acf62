"""Record evaluations in a run's `scores.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from passerby.data.datasets.public_spec import public_spec
from passerby.errors import DataError, argument, explain
from passerby.files import read_json
from passerby.runs.evaluate_model import EvaluationResult
from passerby.runs.run_folder import RunFolder, write_json


def record_evaluations(folder: RunFolder, results: Sequence[EvaluationResult]) -> None:
    """Add evaluations to `scores.json`, each in place of the entry with the same data and rules.

    Open-set metrics of an entry that is replaced are kept if the new evaluation has none.
    """
    known = read_scores(folder)
    entries = {evaluation_key(entry): entry for entry in known["evaluations"]}
    for entry in (result.to_dict() for result in results):
        entries[evaluation_key(entry)] = {**entries.get(evaluation_key(entry), {}), **entry}
    write_json(folder.scores, {**known, "evaluations": list(entries.values())})


def record_stage(folder: RunFolder, stage: str, results: Sequence[EvaluationResult], *, epochs: int) -> None:
    """Record evaluations at the end of a training stage, `epochs` after the start, under the key `stages`."""
    known = read_scores(folder)
    entry = {"stage": stage, "epochs": epochs, "evaluations": [result.to_dict() for result in results]}
    others = [known_entry for known_entry in known.get("stages", []) if known_entry["stage"] != stage]
    write_json(folder.scores, {**known, "stages": [*others, entry]})


def read_scores(folder: RunFolder) -> dict[str, Any]:
    """Read `scores.json`; without one there are no evaluations.

    Raises:
        DataError: For a file that is something else.
    """
    if not folder.scores.exists():
        return {"evaluations": []}
    try:
        scores = read_json(folder.scores)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder.scores}: cannot be read ({explain(error)}); move it, or give another {argument('out')}"
        ) from None
    valid = isinstance(scores, dict) and _are_objects(scores.get("evaluations"))
    if not valid or not _are_objects(scores.get("stages", []), key="stage"):
        raise DataError(f"{folder.scores}: no metrics of passerby; move it, or give another {argument('out')}")
    for entry in scores["evaluations"]:
        entry["data"] = public_spec(str(entry.get("data", "")))  # earlier versions wrote the folders
    return dict(scores)


def _are_objects(values: Any, *, key: str | None = None) -> bool:
    return isinstance(values, list) and all(isinstance(v, dict) and (key is None or key in v) for v in values)


def evaluation_key(entry: dict[str, Any]) -> str:
    """Return what distinguishes an entry from others: data, by name without folders and by fingerprint, and rules."""
    names = ("fingerprint", "protocol", "ap", "flip", "method", "precision")
    return json.dumps([public_spec(str(entry.get("data", ""))), *(entry.get(name, "") for name in names)])
