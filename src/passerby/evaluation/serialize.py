"""Scores as JSON and back; a figure never travels without what it was measured on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.types import ApRule, ProtocolName, Scores

T = TypeVar("T")


def scores_to_dict(scores: Scores, *, per_query: bool = True) -> dict[str, Any]:
    """A dict that `json.dumps` takes: figures from 0 to 1, beside protocol, AP rule, counts and intervals.

    Args:
        scores: What to write.
        per_query: Also each query's AP (null where not valid) and first rank (0 where not valid).
    """
    tree: dict[str, Any] = {
        "protocol": scores.protocol,
        "ap": scores.ap,
        "queries": scores.queries,
        "valid_queries": scores.valid_queries,
        "gallery": scores.gallery,
        "rank1": scores.rank(1),
        "rank5": scores.rank(5),
        "rank10": scores.rank(10),
        "mAP": scores.mAP,
        "mINP": scores.mINP,
        "intervals": {name: list(ends) for name, ends in scores.intervals.items()},
        "cmc": [float(share) for share in scores.cmc],
    }
    if per_query:
        found = scores.average_precision
        tree["average_precision"] = [None if np.isnan(value) else float(value) for value in found]
        tree["first_match"] = [int(rank) for rank in scores.first_match]
    return tree


def scores_from_dict(tree: Mapping[str, Any]) -> Scores:
    """Read what `scores_to_dict` wrote; without per-query figures those stay empty.

    Raises:
        DataError: For a missing or impossible entry, which is named.
    """
    for key, known in (("protocol", get_args(ProtocolName)), ("ap", get_args(ApRule))):
        if tree.get(key) not in known:
            raise DataError(f"scores: {key} is {tree.get(key)!r}, expected one of {', '.join(known)}")
    cmc = _read(tree, "cmc", lambda shares: np.asarray(shares, dtype=np.float32).reshape(-1))
    if not len(cmc):
        raise DataError("scores: cmc is empty, expected one share per rank")
    return Scores(
        cmc=cmc,
        mAP=_read(tree, "mAP", float),
        mINP=_read(tree, "mINP", float),
        queries=_read(tree, "queries", int),
        valid_queries=_read(tree, "valid_queries", int),
        gallery=_read(tree, "gallery", int),
        protocol=tree["protocol"],
        ap=tree["ap"],
        intervals=_read(tree, "intervals", _intervals),
        average_precision=_read({"average_precision": [], **tree}, "average_precision", _precisions),
        first_match=_read({"first_match": [], **tree}, "first_match", lambda ranks: np.asarray(ranks, dtype=np.int64)),
    )


def _read(tree: Mapping[str, Any], key: str, convert: Callable[[Any], T]) -> T:
    """One entry, or an error that names it."""
    if key not in tree:
        raise DataError(f"scores: {key} is missing; was the file written by passerby?")
    try:
        return convert(tree[key])
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"scores: {key} cannot be read ({error}); was the file written by passerby?") from None


def _intervals(tree: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float]]:
    return {name: (float(low), float(high)) for name, (low, high) in tree.items()}


def _precisions(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.asarray([np.nan if value is None else value for value in values], dtype=np.float64)
