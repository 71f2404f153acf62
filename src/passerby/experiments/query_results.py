"""Scores of each query of a finished run, and paired tests of two rows over seeds and queries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError, explain
from passerby.evaluation.paired import PairedTest, paired_test
from passerby.evaluation.summary import Scores
from passerby.experiments.grid import GridRun
from passerby.model.convnext_ap import EmbeddingKind
from passerby.model.embed import load
from passerby.runs.evaluate_model import evaluate_model, evaluation_options
from passerby.runs.run_folder import write_json
from passerby.types import IntArray

SeedResults = Mapping[int, tuple[IntArray, Scores]]
"""By seed: (Q,) identity of each query, and the scores with those of each query."""


def write_result(run: GridRun, path: Path, *, embedding: str, device: str) -> Scores:
    """Evaluate a trained run with a kind of embedding, and write the scores with those of each query."""
    embedder = load(run.folder.root, device=device, embedding=cast("EmbeddingKind", embedding))
    result = evaluate_model([embedder], run.data, evaluation_options(run.recipe))
    tree = {"person_ids": [sample.person_id for sample in result.query_samples], "scores": result.scores.to_dict()}
    write_json(path, tree)
    return result.scores


def read_result(path: Path) -> tuple[IntArray, Scores]:
    """Return (Q,) identity of each query, and the scores with those of each query.

    Raises:
        DataError: For a file that cannot be read.
    """
    try:
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return np.asarray(tree["person_ids"], dtype=np.int64), Scores.from_dict(tree["scores"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({explain(error)}); delete it and repeat the command") from None


def compare_rows(row: SeedResults, baseline: SeedResults, metrics: tuple[str, ...]) -> dict[str, PairedTest]:
    """Test a row against a baseline over the seeds that both have, if the queries show two identities or more."""
    seeds = sorted(row.keys() & baseline.keys())
    if not seeds:
        return {}
    identities, scores = row[seeds[0]]
    valid = scores.first_match > 0
    tests: dict[str, PairedTest] = {}
    for metric in metrics if len(np.unique(identities[valid])) >= 2 else ():
        if metric == "mAP" or scores.protocol != "single-gallery-shot":  # its Rank-1 has no per-query values
            first, second = (
                np.stack([_score_queries(side[seed][1], metric)[valid] for seed in seeds]) for side in (row, baseline)
            )  # (S, Q) each
            tests[metric] = paired_test(first, second, identities[valid])
    return tests


def _score_queries(scores: Scores, metric: str) -> NDArray[np.float64]:
    """Return (Q,) a metric of each query: average precision, or whether the first match has rank 1."""
    return scores.average_precision if metric == "mAP" else (scores.first_match == 1).astype(np.float64)
