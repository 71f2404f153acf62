"""Record evaluations in a run's `scores.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from passerby.runs.evaluate_model import EvaluationResult
from passerby.runs.run_folder import RunFolder, write_json


def record_evaluations(folder: RunFolder, results: Sequence[EvaluationResult]) -> None:
    """Add evaluations to `scores.json`, each in place of the entry with the same data and rules.

    Open-set metrics of an entry that is replaced are kept if the new evaluation has none and the data are the same.
    """
    known = _read(folder)
    entries = {_key(entry): entry for entry in known["evaluations"]}
    for entry in (result.to_dict() for result in results):
        before = entries.get(_key(entry), {})
        entries[_key(entry)] = {**(before if before.get("fingerprint") == entry["fingerprint"] else {}), **entry}
    write_json(folder.scores, {**known, "evaluations": list(entries.values())})


def record_stage(folder: RunFolder, stage: str, results: Sequence[EvaluationResult], *, epochs: int) -> None:
    """Record evaluations at the end of a training stage, `epochs` after the start, under the key `stages`."""
    known = _read(folder)
    entry = {"stage": stage, "epochs": epochs, "evaluations": [result.to_dict() for result in results]}
    others = [known_entry for known_entry in known.get("stages", []) if known_entry["stage"] != stage]
    write_json(folder.scores, {**known, "stages": [*others, entry]})


def _read(folder: RunFolder) -> dict[str, Any]:
    if not folder.scores.is_file():
        return {"evaluations": []}
    scores: dict[str, Any] = json.loads(folder.scores.read_text(encoding="utf-8"))
    return scores


def _key(entry: dict[str, Any]) -> str:
    return json.dumps([entry.get(name, "") for name in ("data", "protocol", "ap", "flip", "method")])
