"""Figures of a retrieval: CMC, mAP, mINP under a named protocol, with how sure they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.evaluation.bootstrap import bootstrap_intervals
from passerby.evaluation.multi_query import average_queries
from passerby.evaluation.precision import average_precision, inverse_negative_penalty
from passerby.evaluation.single_shot import SingleShotGallery
from passerby.evaluation.summary import Scores
from passerby.ranking.blocks import DistanceBlocks, iter_distances
from passerby.ranking.camera_normalization import normalize_cameras
from passerby.ranking.distance import Metric
from passerby.ranking.matches import IdentityIndex, rank_matches
from passerby.types import DISTRACTOR, ApRule, Embeddings, FloatArray, IntArray, Labels, ProtocolName

INTERVALS = ("rank1", "rank5", "rank10", "mAP", "mINP")
"""The figures that get a bootstrap interval."""


@dataclass(frozen=True)
class _PerQuery:
    """Figures of each query: AP and INP (Q,), NaN where not valid; hits (Q, K), share of draws found by rank k."""

    precision: NDArray[np.float64]
    penalty: NDArray[np.float64]
    first_match: IntArray
    hits: NDArray[np.float64]


def score(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: FloatArray | DistanceBlocks | None = None,
    protocol: ProtocolName = "market",
    ap: ApRule = "step",
    max_rank: int = 50,
    metric: Metric = "cosine",
    bootstrap: int = 0,
    seed: int = 0,
    repeats: int = 10,
    multi_query: Embeddings | None = None,
    cameras: bool = False,
    device: str = "cpu",
) -> Scores:
    """Score how well queries find their person in a gallery.

    Every protocol ignores gallery items of the query's person in the query's own camera; distractors (person 0)
    stay and match nobody; a query without a match left is not valid and counts in no figure. Figures only need to know
    where the matches stand: no list is sorted, and from vectors the Q x G matrix never exists.

    Args:
        query: Q vectors to look for; `Labels` when `distances` are given.
        gallery: G vectors to look in, or `Labels`.
        distances: (Q, G) distances in place of the vectors', smaller is nearer, infinity takes an item out; or strips
            of them in order, as re-ranking and fusion make. A matrix is not changed. For `multi-query`, those of the
            averaged queries.
        protocol: `market`: one list per query. `single-gallery-shot`: CMC over galleries of one random image per
            identity, drawn `repeats` times for each query; mAP and mINP from the full list. `multi-query`: the
            Market rule with each query's vector replaced by the mean of its person in its camera.
        ap: `step` or `trapezoid`; see `average_precision`. Means are over valid queries under both.
        max_rank: CMC ranks kept; never more than the gallery (or, single-shot, its identities) can fill.
        metric: `cosine` or `euclidean`; not used with `distances`.
        bootstrap: Replicates of the 95 % interval over identities; 0 leaves the intervals out.
        seed: Seed of the draws and of the bootstrap.
        repeats: Galleries drawn for each query by `single-gallery-shot`.
        multi_query: Images to average for `multi-query`; None averages over the query set itself.
        cameras: Camera-wise normalization first (`normalize_cameras`), which uses the test cameras' unlabeled images;
            whoever prints such a figure says so.
        device: `cpu`, or a CUDA device: distances and counting run there.

    Returns:
        Scores, with each query's AP and first rank in the full list.

    Raises:
        DataError: (a ValueError) naming the argument that cannot be used and what it got; when no query is valid.
    """
    _check(protocol=protocol, ap=ap, max_rank=max_rank, bootstrap=bootstrap, repeats=repeats)
    require_no_distractors(query)
    if multi_query is not None and (protocol != "multi-query" or distances is not None):
        what = "distances" if protocol == "multi-query" else f"protocol {protocol!r}"
        raise DataError(f"multi_query: given to {what}, which does not use it; leave it out")
    if protocol == "multi-query" and distances is None and isinstance(query, Embeddings):
        query = average_queries(query, multi_query, metric=metric)
    if cameras:
        if distances is not None or isinstance(query, Labels) or isinstance(gallery, Labels):
            raise DataError("cameras: normalization needs vectors, got distances; normalize before making them")
        query, gallery = normalize_cameras(query, gallery)
    strips = iter_distances(query, gallery, distances, metric=metric, device=device)
    draws, replicates = np.random.default_rng(seed).spawn(2)
    shots = SingleShotGallery.from_ids(gallery.person_ids) if protocol == "single-gallery-shot" else None
    ranks = min(max_rank, len(gallery) if shots is None else len(shots.people))
    each = _per_query(query, gallery, strips, ap=ap, ranks=ranks, shots=shots, repeats=repeats, generator=draws)
    valid = np.flatnonzero(each.first_match)
    if not len(valid):
        raise DataError(
            f"query: none of {len(query)} queries has a match among {len(gallery)} gallery items once its own camera "
            "is left out; check that query and gallery show the same people from different cameras"
        )
    hits = each.hits[valid]
    intervals = {}
    if bootstrap:
        cmc = [hits[:, min(k, ranks) - 1] for k in (1, 5, 10)]
        values = np.stack([*cmc, each.precision[valid], each.penalty[valid]], axis=1)  # (Q, 5)
        ends = bootstrap_intervals(values, query.person_ids[valid], replicates=bootstrap, generator=replicates)
        intervals = {name: (float(low), float(high)) for name, (low, high) in zip(INTERVALS, ends, strict=True)}
    return Scores(
        cmc=hits.mean(axis=0).astype(np.float32),
        mAP=float(each.precision[valid].mean()),
        mINP=float(each.penalty[valid].mean()),
        queries=len(query),
        valid_queries=len(valid),
        gallery=len(gallery),
        protocol=protocol,
        ap=ap,
        intervals=intervals,
        average_precision=each.precision,
        first_match=each.first_match,
    )


def _check(*, protocol: str, ap: str, max_rank: int, bootstrap: int, repeats: int) -> None:
    for name, value, known in (("protocol", protocol, get_args(ProtocolName)), ("ap", ap, get_args(ApRule))):
        if value not in known:
            raise DataError(f"{name}: got {value!r}, expected one of {', '.join(known)}")
    for name, number, least in (("max_rank", max_rank, 1), ("bootstrap", bootstrap, 0), ("repeats", repeats, 1)):
        if number < least:
            raise DataError(f"{name}: got {number}, expected at least {least}")


def require_no_distractors(query: Embeddings | Labels) -> None:
    """People numbered from 0 would lose one of them without a word: 0 is the gallery's distractors."""
    count = int((query.person_ids == DISTRACTOR).sum())
    if count:
        raise DataError(
            f"query.person_ids: {count} of {len(query)} are {DISTRACTOR}, which marks distractors, gallery images that "
            "match nobody; number people from 1 in query and gallery alike"
        )


def _per_query(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    strips: DistanceBlocks,
    *,
    ap: ApRule,
    ranks: int,
    shots: SingleShotGallery | None,
    repeats: int,
    generator: np.random.Generator,
) -> _PerQuery:
    """Walk the strips of distances and keep what each query contributes."""
    index = IdentityIndex.from_labels(gallery.person_ids, gallery.camera_ids)
    each = _PerQuery(
        np.full(len(query), np.nan),
        np.full(len(query), np.nan),
        np.zeros(len(query), dtype=np.int64),
        np.zeros((len(query), ranks)),
    )
    for first, strip in strips:
        valid, found = [], []
        for q, row in enumerate(strip, start=first):
            person = int(query.person_ids[q])
            dropped, matches = index.split(person, query.camera_ids[q])
            if isinstance(row, np.ndarray):
                matches = matches[row[matches] < np.inf]
            if not len(matches):
                continue
            row[dropped] = np.inf
            valid.append(q)
            found.append(matches)
            if shots is not None:
                near = row if isinstance(row, np.ndarray) else row.cpu().numpy()
                firsts = shots.ranks(near, matches, person_id=person, repeats=repeats, generator=generator)
                each.hits[q] = np.mean(firsts[:, None] <= np.arange(1, ranks + 1), axis=0)
        if not valid:
            continue
        counts = np.array([len(matches) for matches in found], dtype=np.int64)
        stand = _ranks(strip, np.repeat(np.array(valid) - first, counts), np.concatenate(found))
        each.precision[valid] = average_precision(stand, counts, rule=ap)
        each.penalty[valid] = inverse_negative_penalty(stand, counts)
        each.first_match[valid] = stand[np.cumsum(counts) - counts]
        if shots is None:
            each.hits[valid] = each.first_match[valid, None] <= np.arange(1, ranks + 1)
    return each


def _ranks(strip: Any, rows: IntArray, matches: IntArray) -> IntArray:
    """Ranks of the matches of each query (row) of the strip, ascending within each; from a GPU in one piece."""
    ranks = rank_matches(strip, rows, matches)
    if not isinstance(ranks, np.ndarray):
        ranks = ranks.cpu().numpy()
    return np.asarray(ranks[np.lexsort((ranks, rows))], dtype=np.int64)
