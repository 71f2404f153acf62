"""Scores of an evaluation: their fields, their JSON, and their text in tables and plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError, explain
from passerby.text import plural
from passerby.types import ApRule, FloatArray, IntArray, ProtocolName, Result, to_json

METRICS = {"rank1": "Rank-1", "rank5": "Rank-5", "rank10": "Rank-10", "mAP": "mAP", "mINP": "mINP"}
"""Metrics of a table, with their headings."""


@dataclass(frozen=True, repr=False)
class Scores(Result):
    """Metrics of one evaluation, with the protocol and the counts that they depend on.

    Attributes:
        cmc: (K,) fraction of valid queries with a match among the first k items; index 0 is rank 1.
        mAP: Mean average precision over valid queries, 0 to 1.
        mINP: Mean inverse negative penalty, 0 to 1.
        queries: Number of queries.
        valid_queries: Number of queries with at least one match under the protocol.
        gallery: Number of gallery items.
        protocol: Evaluation protocol.
        ap: Definition of average precision.
        intervals: 95 % bootstrap interval over identities of `rank1`, `rank5`, `rank10`, `mAP`, `mINP`; may be empty.
        average_precision: (Q,) AP of each query, NaN where the query is not valid.
        first_match: (Q,) rank of the first match of each query, from 1; 0 where the query is not valid.

    Example:
        >>> query = passerby.Embeddings([[1.0, 0.0]], person_ids=[1], camera_ids=[0])
        >>> gallery = passerby.Embeddings([[0.0, 1.0], [1.0, 0.0]], person_ids=[2, 1], camera_ids=[1, 1])
        >>> scores = passerby.score(query, gallery)
        >>> scores.rank1, scores.valid_queries
        (1.0, 1)
    """

    cmc: FloatArray
    mAP: float
    mINP: float
    queries: int
    valid_queries: int
    gallery: int
    protocol: ProtocolName
    ap: ApRule
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    average_precision: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    first_match: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def rank(self, k: int) -> float:
        """Return the CMC at rank k (from 1), 0 to 1; for k above K, the CMC at rank K."""
        return float(self.cmc[min(k, len(self.cmc)) - 1])

    @property
    def rank1(self) -> float:
        """CMC at rank 1, 0 to 1."""
        return self.rank(1)

    def __repr__(self) -> str:
        values = ", ".join(f"{metric}={value(self, metric):.4f}" for metric in METRICS)
        return f"Scores({values}; {describe(self)})"

    def to_dict(self, *, per_query: bool = True) -> dict[str, Any]:
        """Return the entries of `scores.json`: metrics from 0 to 1, protocol, AP rule, counts and intervals.

        Args:
            per_query: Include the AP (None where not valid) and the first rank (0 where not valid) of each query.
        """
        metrics = {name: value(self, name) for name in METRICS}
        names = ("protocol", "ap", "queries", "valid_queries", "gallery")
        tree = {**{name: getattr(self, name) for name in names}, **metrics}
        tree |= {"intervals": to_json(self.intervals), "cmc": to_json(self.cmc)}
        if per_query:
            tree |= {name: to_json(getattr(self, name)) for name in ("average_precision", "first_match")}
        return tree

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Scores:
        """Read the entries that `to_dict` returned; per-query values may be missing.

        Raises:
            DataError: For a missing or invalid entry, which is named.
        """
        for key, known in (("protocol", get_args(ProtocolName)), ("ap", get_args(ApRule))):
            if tree.get(key) not in known:
                raise DataError(f"scores: {key} is {tree.get(key)!r}, expected one of {', '.join(known)}")
        tree = {"average_precision": [], "first_match": [], **tree}
        values = {name: _read(tree, name, convert) for name, convert in _CONVERT.items()}
        if not len(values["cmc"]):
            raise DataError("scores: cmc is empty, expected one fraction per rank")
        return cls(protocol=tree["protocol"], ap=tree["ap"], **values)


def _read(tree: Mapping[str, Any], key: str, convert: Callable[[Any], Any]) -> Any:
    """Convert one entry, or raise an error that names it."""
    if key not in tree:
        raise DataError(f"scores: {key} is missing; was the file written by passerby?")
    try:
        return convert(tree[key])
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"scores: {key} cannot be read ({explain(error)}); was the file written by passerby?") from None


def _read_intervals(tree: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float]]:
    return {name: (float(low), float(high)) for name, (low, high) in tree.items()}


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "cmc": lambda values: np.asarray(values, dtype=np.float32).reshape(-1),
    "mAP": float,
    "mINP": float,
    "queries": int,
    "valid_queries": int,
    "gallery": int,
    "intervals": _read_intervals,
    "average_precision": lambda values: np.asarray(values, dtype=np.float64),
    "first_match": lambda ranks: np.asarray(ranks, dtype=np.int64),
}


def value(scores: Scores, metric: str) -> float:
    """Return one of `METRICS`, 0 to 1."""
    if metric.startswith("rank"):
        return scores.rank(int(metric.removeprefix("rank")))
    return float(getattr(scores, metric))


def percent(scores: Scores, metric: str) -> str:
    """Format a metric in percent with one decimal, followed by its interval in brackets if there is one."""
    ends = interval(scores, metric)
    return f"{100 * value(scores, metric):.1f} %" + (f" [{ends}]" if ends else "")


def describe(scores: Scores) -> str:
    """Describe in one line how the metrics were measured: protocol, AP rule, valid queries, gallery size."""
    rule = f"{scores.protocol} rule" if scores.protocol == "market" else scores.protocol
    valid = f"{scores.valid_queries:,} of {plural(scores.queries, 'query')} valid"
    return f"{rule}, {scores.ap} AP, {valid}, gallery {scores.gallery:,}"


def interval(scores: Scores, metric: str) -> str:
    """Format the interval of a metric in percent, such as `25.0-75.0`; empty if there is none."""
    if metric not in scores.intervals:
        return ""
    low, high = scores.intervals[metric]
    return f"{100 * low:.1f}-{100 * high:.1f}"
