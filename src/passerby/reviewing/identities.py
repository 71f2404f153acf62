"""Identities: groups of sightings that follow from distances, cameras and answers.

The grouping is a pure function of the sightings and the answers: taking an answer back gives the earlier grouping.
Sightings are joined by the calibration and by answers. The model that is fitted to answers only chooses questions: it
is fitted to pairs that were the best of their group, and overrates pairs that are not.

N sightings   D embedding width   M cameras   L answered pairs   G groups
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from passerby.extras import require_extra
from passerby.reviewing.agglomeration import Merges, agglomerate
from passerby.reviewing.defaults import ERROR_RATE
from passerby.reviewing.evidence import PairModel, fit_pair_model
from passerby.reviewing.links import Links, Votes, count_votes, number_groups, resolve_links
from passerby.types import FloatArray, IntArray, Result

NEIGHBORS = 30
"""Nearest sightings that each sighting is compared with."""
FLOOR = 1.0
"""Least log odds of a join without an answer. Of 0, 1 and 2 chosen on the training half of CUHK01."""
SHARED_GROUPS = 1.0
"""Groups that weigh as much as the prior of equal shares. Of 1, 2 and 5 chosen on the training half of pairs 2-5."""
MAX_PRIOR = 6.0
"""Largest log odds that a distance counts for beside an answer."""


@dataclass(frozen=True, repr=False)
class SightingGraph(Result):
    """Sightings and their nearest neighbors.

    Attributes:
        vectors: (N, D) of unit length, standardized per camera if the calibration is that of such vectors.
        cameras: (N,) numbers from 0.
        starts: (N + 1,) start of each sighting's neighbors.
        neighbors: (E,) neighbors, in both directions.
        excluded: (X, 2) pairs that show different people for another reason than an answer, such as tracks that
            overlap in time.
        labels: (N,) number of the label of each sighting, -1 without one; None if none has one. They are evidence of
            who is who, weaker than answers.
    """

    vectors: FloatArray
    cameras: IntArray
    starts: IntArray
    neighbors: IntArray
    excluded: IntArray
    labels: IntArray | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    @classmethod
    def build(
        cls,
        vectors: FloatArray,
        cameras: IntArray,
        *,
        excluded: IntArray | None = None,
        labels: IntArray | None = None,
        neighbors: int = NEIGHBORS,
    ) -> SightingGraph:
        """Find the nearest neighbors of each sighting by cosine distance.

        Example:
            >>> graph = SightingGraph.build(np.eye(4, 8, dtype=np.float32), np.zeros(4, np.int64), neighbors=1)
            >>> len(graph), len(graph.starts)
            (4, 5)
        """
        import faiss

        vectors = np.ascontiguousarray(vectors, np.float32)
        count, k = len(vectors), min(neighbors, max(len(vectors) - 1, 0))
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        _, nearest = index.search(vectors, k + 1)
        rows = np.repeat(np.arange(count), k + 1)
        pairs = np.stack([rows, nearest.ravel()])[:, (rows != nearest.ravel()) & (nearest.ravel() >= 0)]
        pairs = np.unique(np.concatenate([pairs, pairs[::-1]], axis=1), axis=1)
        starts = np.searchsorted(pairs[0], np.arange(count + 1))
        excluded = np.empty((0, 2), np.int64) if excluded is None else excluded
        return cls(vectors, np.asarray(cameras, np.int64), starts, pairs[1], excluded, labels)


@dataclass(frozen=True, repr=False)
class Grouping(Result):
    """Groups of sightings, with the graph and the links that they follow from.

    Attributes:
        groups: (N,) group of each sighting, from 0 in the order of first appearance.
        clusters: (N,) cluster of each sighting before answers "same" join clusters, likewise.
        merges: Joins that made the groups.
        links: Consistent set of links.
        votes: Answers by pair.
        priors: (L,) log odds of each answered pair without its answers.
        model: Log odds of pairs, fitted to the answers.
        error_rate: Assumed fraction of wrong answers.
    """

    groups: IntArray
    clusters: IntArray
    merges: Merges
    links: Links
    votes: Votes
    priors: NDArray[np.float64]
    model: PairModel
    error_rate: float

    @cached_property
    def sizes(self) -> IntArray:
        """(G,) number of sightings of each group."""
        return np.bincount(self.groups)

    @cached_property
    def posteriors(self) -> NDArray[np.float64]:
        """(L,) log odds that each answered pair shows one person, answers included."""
        return self.priors + self.votes.net * _vote_log_odds(self.error_rate)


def find_parts(graph: SightingGraph, start: PairModel) -> IntArray:
    """Group sightings without answers: (N,) numbers from 0, the groups that answers are compared by.

    Example:
        >>> graph = SightingGraph.build(np.eye(2, dtype=np.float32)[[0, 0, 1]], np.zeros(3, np.int64))
        >>> find_parts(graph, PairModel(10.0, -5.0, np.zeros((1, 1)))).tolist()
        [0, 0, 1]
    """
    _, nodes, _ = _make_groups(graph, count_votes([], []), start, np.empty(0), ERROR_RATE)
    return number_groups(nodes)


def learn_transitions(graph: SightingGraph, start: PairModel) -> PairModel:
    """Add log odds by pair of cameras, from the groups without answers.

    With n groups that two cameras share and m that they would share if people went everywhere equally often, they get
    the logarithm of (n + k) / (m + k), k = `SHARED_GROUPS`: the mean of the posterior of a rate of 1 by a gamma prior.
    Cameras that share few people stop producing questions before the first answer. Two cameras get nothing.

    Example:
        >>> vectors = np.repeat(np.eye(8, dtype=np.float32), 2, axis=0)  # each person is in two of four cameras
        >>> graph = SightingGraph.build(vectors, np.array([0, 1, 2, 3] * 4))
        >>> model = learn_transitions(graph, PairModel(10.0, -5.0, np.zeros((4, 4))))
        >>> bool(model.transitions[0, 1] > 0 > model.transitions[0, 2])
        True
    """
    csr_matrix = require_extra("scipy.sparse").csr_matrix
    visits = np.unique(np.stack([find_parts(graph, start), graph.cameras]), axis=1)  # (2, V) groups and cameras
    present = csr_matrix((np.ones(visits.shape[1]), visits), shape=(len(graph), len(start.transitions)))
    shared = (present.T @ present).toarray()  # (M, M) groups with a sighting in both cameras
    expected = np.outer(np.diag(shared), np.diag(shared))
    for counts in (shared, expected):
        np.fill_diagonal(counts, 0)
    expected *= shared.sum() / max(expected.sum(), 1)
    return replace(start, transitions=start.transitions + np.log((shared + SHARED_GROUPS) / (expected + SHARED_GROUPS)))


def group_sightings(
    graph: SightingGraph,
    votes: Votes,
    start: PairModel,
    *,
    error_rate: float = ERROR_RATE,
    parts: IntArray | None = None,
) -> Grouping:
    """Group sightings by identity under answers.

    Args:
        graph: Sightings.
        votes: Answers by pair.
        start: Log odds of pairs before any answer.
        error_rate: Assumed fraction of wrong answers, above 0 and below 0.5.
        parts: Result of `find_parts`, which saves half of the time; None computes it.

    Example:
        >>> from passerby.reviewing.links import SAME, count_votes
        >>> vectors = np.array([[1, 0], [0.96, 0.28], [0, 1]], np.float32)
        >>> graph = SightingGraph.build(vectors, np.zeros(3, np.int64))
        >>> start = PairModel(10.0, -5.0, np.zeros((1, 1)))
        >>> group_sightings(graph, count_votes([], []), start).groups.tolist()
        [0, 0, 1]
        >>> group_sightings(graph, count_votes([[0, 2]], [SAME]), start).groups.tolist()
        [0, 0, 0]
    """
    model, pairs = start, votes.pairs
    parts = find_parts(graph, start) if parts is None else parts
    similarities = _mean_similarities(graph.vectors, parts, pairs)
    mixtures = _camera_mixtures(graph, parts, pairs)
    fitted = (votes.net != 0) & (parts[pairs[:, 0]] != parts[pairs[:, 1]])
    if fitted.any():
        model = fit_pair_model(
            start, similarities[fitted], mixtures[fitted], votes.net[fitted] > 0, error_rate=error_rate
        )
    priors = _prior_log_odds(model, similarities, mixtures)
    merges, nodes, links = _make_groups(graph, votes, start, priors, error_rate)
    return Grouping(number_groups(merges.roots), number_groups(nodes), merges, links, votes, priors, model, error_rate)


def _make_groups(
    graph: SightingGraph, votes: Votes, model: PairModel, priors: NDArray[np.float64], error_rate: float
) -> tuple[Merges, IntArray, Links]:
    sign = np.sign(votes.net)
    certainty = sign * (priors + votes.net * _vote_log_odds(error_rate))
    pairs = np.concatenate([votes.pairs, graph.excluded])
    signs = np.concatenate([sign, np.full(len(graph.excluded), -1)])
    weights = np.concatenate([certainty, np.full(len(graph.excluded), np.inf)])
    links = resolve_links(len(graph), pairs, signs, weights, labels=graph.labels)
    factors, edges = model.factor(graph.vectors, graph.cameras), (graph.starts, graph.neighbors)
    return *agglomerate(*factors, edges, must=links.must, cannot=links.cannot, names=links.names, floor=FLOOR), links


def _vote_log_odds(error_rate: float) -> float:
    return float(np.log1p(-error_rate) - np.log(error_rate))


def group_means(vectors: FloatArray, groups: IntArray) -> NDArray[np.float32]:
    """(G, D) mean vector of each group."""
    sums: NDArray[np.float32] = np.zeros((0, vectors.shape[1]), np.float32)
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    if len(sizes):
        sums = np.add.reduceat(vectors[order], np.concatenate([[0], np.cumsum(sizes)[:-1]]), axis=0)
    return np.asarray(sums / sizes[:, None], np.float32)


def _mean_similarities(vectors: FloatArray, clusters: IntArray, pairs: IntArray) -> NDArray[np.float64]:
    """(L,) mean similarity of the clusters of each pair, of the pair itself within one cluster."""
    means = group_means(vectors, clusters)
    a, b = clusters[pairs].T
    between = np.einsum("ld,ld->l", means[a], means[b])
    within = np.einsum("ld,ld->l", vectors[pairs[:, 0]], vectors[pairs[:, 1]])
    return np.asarray(np.where(a == b, within, between), np.float64)


def _camera_mixtures(graph: SightingGraph, clusters: IntArray | None, pairs: IntArray) -> NDArray[np.float64]:
    """(L, M, M) fractions of the pairs between two clusters by pair of cameras; of two sightings without clusters."""
    count = int(graph.cameras.max(initial=0)) + 1
    hot = np.eye(count)[graph.cameras]
    first, second = pairs.T
    if clusters is None:
        return np.asarray(np.einsum("lm,ln->lmn", hot[first], hot[second]))
    shares = np.zeros((int(clusters.max(initial=-1)) + 1, count))
    np.add.at(shares, clusters, hot)
    shares /= shares.sum(axis=1, keepdims=True)
    same = (clusters[first] == clusters[second])[:, None]
    a, b = np.where(same, hot[first], shares[clusters[first]]), np.where(same, hot[second], shares[clusters[second]])
    return np.asarray(np.einsum("lm,ln->lmn", a, b))


def _prior_log_odds(
    model: PairModel, similarities: NDArray[np.float64], mixtures: NDArray[np.float64]
) -> NDArray[np.float64]:
    values = model.slope * similarities + model.offset + np.einsum("lmn,mn->l", mixtures, model.transitions)
    return np.asarray(np.clip(values, -MAX_PRIOR, MAX_PRIOR), np.float64)
