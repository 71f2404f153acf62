"""Retrieval metrics: CMC, mAP and mINP under a named protocol, with confidence intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import DataError
from passerby.evaluation.bootstrap import bootstrap_intervals
from passerby.evaluation.multi_query import average_queries
from passerby.evaluation.precision import average_precision, inverse_negative_penalty
from passerby.evaluation.single_shot import SingleShotGallery
from passerby.evaluation.summary import METRICS, Scores
from passerby.ranking.blocks import DistanceBlocks, iter_distances
from passerby.ranking.camera_normalization import normalize_cameras
from passerby.ranking.distance import Metric
from passerby.ranking.matches import IdentityIndex, rank_matches
from passerby.text import plural
from passerby.types import DISTRACTOR, ApRule, Embeddings, IntArray, Labels, ProtocolName, as_array


@dataclass(frozen=True)
class _PerQuery:
    """Metrics of each query: AP and INP (Q,), NaN where not valid; hits (Q, K), fraction of draws matched by rank k."""

    precision: NDArray[np.float64]
    penalty: NDArray[np.float64]
    first_match: IntArray
    hits: NDArray[np.float64]


def score(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: ArrayLike | DistanceBlocks | None = None,
    protocol: ProtocolName = "market",
    ap: ApRule = "step",
    max_rank: int = 50,
    metric: Metric = "cosine",
    bootstrap: int = 0,
    seed: int = 0,
    repeats: int = 10,
    multi_query: Embeddings | None = None,
    cameras: bool = False,
    device: str = "auto",
) -> Scores:
    """Compute CMC, mAP and mINP of queries in a gallery.

    Every protocol ignores gallery items of the query's identity in the query's own camera. Distractors (identity 0)
    stay and match no query. A query without a remaining match is not valid and is left out of every metric. The
    metrics are computed from the ranks of the matches, without sorting, and the Q x G matrix is never held.

    Args:
        query: Q embeddings; `Labels` when `distances` are given.
        gallery: G embeddings, or `Labels`.
        distances: (Q, G) floating point in place of the distances between the vectors, smaller is nearer, infinity
            excludes an item; an array-like matrix, which is not changed, or blocks in order, as from re-ranking and
            fusion. For `multi-query`, the distances of the averaged queries.
        protocol: `market`: one list per query (Zheng et al. 2015). `single-gallery-shot`: CMC over galleries of one
            random image per identity, drawn `repeats` times for each query; mAP and mINP from the full list.
            `multi-query`: `market`, with each query's vector replaced by the mean of its identity in its camera.
        ap: `step` or `trapezoid`; see `passerby.evaluation.precision.average_precision`.
        max_rank: Number of CMC ranks, at most the size of the gallery (single-shot: the number of its identities).
        metric: `cosine` or `euclidean`; not used with `distances`.
        bootstrap: Replicates of the 95 % intervals over identities; 0 computes none.
        seed: Seed of the draws and of the bootstrap.
        repeats: Galleries drawn for each query by `single-gallery-shot`.
        multi_query: Images to average for `multi-query`; None averages over the queries.
        cameras: Apply camera-wise normalization first (`normalize_cameras`). It uses the unlabeled images of the test
            cameras; state this with the result.
        device: `cpu`; a CUDA device of torch, such as `cuda` or `cuda:1`; or `auto`: `cuda` if torch is imported and
            has a CUDA device, else `cpu`.

    Returns:
        Scores, with AP and first rank of each query.

    Raises:
        DataError: (a ValueError) naming the invalid argument and its value; when no query is valid.

    Example:
        >>> query = passerby.Embeddings([[1.0, 0.0], [0.0, 1.0]], person_ids=[1, 2], camera_ids=[0, 0])
        >>> gallery = passerby.Embeddings([[1.0, 0.1], [1.0, 0.9], [0.1, 1.0]], [1, 1, 2], camera_ids=[1, 1, 1])
        >>> scores = passerby.score(query, gallery)
        >>> scores.rank1, scores.mAP
        (1.0, 1.0)
        >>> passerby.score(passerby.Labels([1], [0]), passerby.Labels([2, 1], [1, 1]), distances=[[0.3, 0.6]]).mAP
        0.5
    """
    _check(protocol=protocol, ap=ap, max_rank=max_rank, bootstrap=bootstrap, repeats=repeats)
    require_no_distractors(query)
    if multi_query is not None and (protocol != "multi-query" or distances is not None):
        other = "distances" if protocol == "multi-query" else f"protocol {protocol!r}"
        raise DataError(f"multi_query: given to {other}, which does not use it; leave it out")
    if protocol == "multi-query" and distances is None and isinstance(query, Embeddings):
        query = average_queries(query, multi_query, metric=metric)
    if cameras:
        if distances is not None or isinstance(query, Labels) or isinstance(gallery, Labels):
            raise DataError("cameras: normalization needs vectors, got distances; normalize before computing them")
        query, gallery = normalize_cameras(query, gallery)
    blocks = iter_distances(query, gallery, distances, metric=metric, device=device)
    draws, replicates = np.random.default_rng(seed).spawn(2)
    shots = SingleShotGallery.from_ids(gallery.person_ids) if protocol == "single-gallery-shot" else None
    ranks = min(max_rank, len(gallery) if shots is None else len(shots.identities))
    queries = _measure_queries(
        query, gallery, blocks, ap=ap, ranks=ranks, shots=shots, repeats=repeats, generator=draws
    )
    valid = np.flatnonzero(queries.first_match)
    if not len(valid):
        raise DataError(
            f"query: none of {plural(len(query), 'query')} has a match among {plural(len(gallery), 'gallery item')} "
            "once its own camera is left out; check that query and gallery show the same people from different cameras"
        )
    hits = queries.hits[valid]
    intervals = {}
    if bootstrap:
        cmc = [hits[:, min(k, ranks) - 1] for k in (1, 5, 10)]
        values = np.stack([*cmc, queries.precision[valid], queries.penalty[valid]], axis=1)  # (Q, 5), as METRICS
        ends = bootstrap_intervals(values, query.person_ids[valid], replicates=bootstrap, generator=replicates)
        intervals = {name: (float(low), float(high)) for name, (low, high) in zip(METRICS, ends, strict=True)}
    return Scores(
        cmc=hits.mean(axis=0).astype(np.float32),
        mAP=float(queries.precision[valid].mean()),
        mINP=float(queries.penalty[valid].mean()),
        queries=len(query),
        valid_queries=len(valid),
        gallery=len(gallery),
        protocol=protocol,
        ap=ap,
        intervals=intervals,
        average_precision=queries.precision,
        first_match=queries.first_match,
    )


def require_no_distractors(query: Embeddings | Labels) -> None:
    """Raise DataError for queries with identity 0, which marks distractors: such queries would have no match."""
    count = int((query.person_ids == DISTRACTOR).sum())
    if count:
        raise DataError(
            f"query.person_ids: {count} of {len(query)} are {DISTRACTOR}, which marks distractors, gallery images that "
            "match no query; number people from 1 in query and gallery alike"
        )


def _check(*, protocol: str, ap: str, max_rank: int, bootstrap: int, repeats: int) -> None:
    for name, value, known in (("protocol", protocol, get_args(ProtocolName)), ("ap", ap, get_args(ApRule))):
        if value not in known:
            raise DataError(f"{name}: got {value!r}, expected one of {', '.join(known)}")
    for name, number, smallest in (("max_rank", max_rank, 1), ("bootstrap", bootstrap, 0), ("repeats", repeats, 1)):
        if number < smallest:
            raise DataError(f"{name}: got {number}, expected at least {smallest}")


def _measure_queries(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    blocks: DistanceBlocks,
    *,
    ap: ApRule,
    ranks: int,
    shots: SingleShotGallery | None,
    repeats: int,
    generator: np.random.Generator,
) -> _PerQuery:
    """Compute the metrics of each query, block by block."""
    index = IdentityIndex.from_labels(gallery.person_ids, gallery.camera_ids)
    count = len(query)
    metrics = _PerQuery(
        np.full(count, np.nan), np.full(count, np.nan), np.zeros(count, dtype=np.int64), np.zeros((count, ranks))
    )
    for first, block in blocks:
        valid, matches_of = [], []
        for q, row in enumerate(block, start=first):
            identity = int(query.person_ids[q])
            dropped, matches = index.split(identity, query.camera_ids[q])
            if isinstance(row, np.ndarray):
                matches = matches[row[matches] < np.inf]
            if not len(matches):
                continue
            row[dropped] = np.inf
            valid.append(q)
            matches_of.append(matches)
            if shots is not None:
                first_ranks = shots.draw_ranks(
                    as_array(row), matches, person_id=identity, repeats=repeats, generator=generator
                )
                metrics.hits[q] = np.mean(first_ranks[:, None] <= np.arange(1, ranks + 1), axis=0)
        if not valid:
            continue
        counts = np.array([len(matches) for matches in matches_of], dtype=np.int64)
        match_ranks = _sort_ranks(block, np.repeat(np.array(valid) - first, counts), np.concatenate(matches_of))
        metrics.precision[valid] = average_precision(match_ranks, counts, rule=ap)
        metrics.penalty[valid] = inverse_negative_penalty(match_ranks, counts)
        metrics.first_match[valid] = match_ranks[np.cumsum(counts) - counts]
        if shots is None:
            metrics.hits[valid] = metrics.first_match[valid, None] <= np.arange(1, ranks + 1)
    return metrics


def _sort_ranks(block: Any, rows: IntArray, matches: IntArray) -> IntArray:
    """Ranks of the matches of each query (row) of the block, ascending within each; one copy from a GPU."""
    ranks = as_array(rank_matches(block, rows, matches))
    return np.asarray(ranks[np.lexsort((ranks, rows))], dtype=np.int64)
