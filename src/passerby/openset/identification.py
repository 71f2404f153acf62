"""Identification: which of K enrolled identities an image shows, or none of them, from the nearest distance to each.

A calibration of pairs treats the distances of an image to different identities as independent, and they are not: a
crop from behind is near to all of them. The difference between the distances to two identities carries more
information than a pair of images. This module therefore fits the probabilities on galleries that are drawn as they are
used: K identities enrolled, queries of enrolled and of other identities.

`Identification` needs NumPy only; `fit_identification` needs the extra `eval` (scipy).

Dimension legend of `types`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import DataError
from passerby.extras import require_extra
from passerby.ranking.distance import distance_blocks
from passerby.types import Embeddings, FloatArray, IntArray, Result, as_array

DRAWS = 16
"""Number of galleries drawn from each data set."""
QUERIES = 400
"""Maximum number of queries of either kind, enrolled and not enrolled, for each drawn gallery."""
MAX_SLOPE = 1000.0
"""Bound of the slope, reached when the distances separate all identities."""


@dataclass(frozen=True, repr=False)
class Identification(Result):
    """Likelihood ratio of an enrolled identity to none, by the distance to its nearest image: exp(offset - slope d).

    Attributes:
        slope: Slope, at least 0.
        offset: Natural logarithm of the ratio at distance 0.

    Raises:
        DataError: (a ValueError) for a number that is not finite, or a negative slope.

    Example:
        >>> Identification(slope=10.0, offset=3.0).log_ratio([0.0, 0.5])
        array([ 3., -2.])
    """

    slope: float
    offset: float

    def __post_init__(self) -> None:
        for name in ("slope", "offset"):
            value = getattr(self, name)
            if not isinstance(value, float) or not math.isfinite(value):
                raise DataError(f"calibration: identification.{name} is {value!r}, expected a finite number")
        if self.slope < 0:
            raise DataError(f"calibration: identification.slope is {self.slope}, expected at least 0")

    def log_ratio(self, distances: ArrayLike) -> NDArray[np.float64]:
        """Return the natural logarithm of the ratio, in the shape of `distances`."""
        return np.asarray(self.offset - self.slope * as_array(distances).astype(np.float64))


def fit_identification(sets: Sequence[Embeddings], *, seed: int = 0) -> Identification:
    """Fit slope and offset by maximum likelihood, on identities on which no result is reported.

    From each set, `DRAWS` galleries are drawn, of one identity up to half of the identities, evenly spaced in the
    logarithm of their number. Queries are images of enrolled and of other identities, both kinds with the same total
    weight; the gallery of a query has no image of its own camera. With r = exp(offset - slope distance), the model is

        p(k) = r(k) / K / (1 + mean of r),   p(none) = 1 / (1 + mean of r),

    a conditional logit (McFadden 1974), whose log likelihood is concave.

    Args:
        sets: Images of each data set, for cosine distance; identities of different sets are never compared.
        seed: Seed of the drawn galleries.

    Returns:
        Identification with a slope of 0 to `MAX_SLOPE`.

    Raises:
        DataError: When no query has an image of its identity in another camera.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> ids = np.repeat(np.arange(1, 21), 2)  # 20 identities, one image in each of two cameras
        >>> vectors = generator.standard_normal((20, 8))[ids - 1] + 0.5 * generator.standard_normal((40, 8))
        >>> fit_identification([Embeddings(vectors, ids, np.tile([0, 1], 20))]).slope > 1
        True
    """
    generator = np.random.default_rng(seed)
    galleries = [gallery for images in sets for gallery in _draw(images, generator)]
    if not galleries:
        raise DataError("identification: no identity has images of two cameras; give images of identities in two")
    logsumexp: Any = require_extra("scipy.special").logsumexp

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Negative mean log likelihood, and its gradient by (slope, offset)."""
        total, gradient = 0.0, np.zeros(2)
        for drawn in galleries:
            ratios = line[1] - line[0] * drawn.distances + drawn.log_fractions  # (Q, K)
            normalizers = np.logaddexp(logsumexp(ratios, axis=1), 0)
            p = np.exp(ratios - normalizers[:, None])
            correct = drawn.known * (line[1] - line[0] * drawn.own - np.log(ratios.shape[1]))
            expected = np.einsum("qk,qk->q", p, drawn.distances)
            total += float(drawn.weights @ (normalizers - correct))
            gradient += drawn.weights @ np.stack([drawn.own - expected, p.sum(axis=1) - drawn.known], axis=1)
        return total / len(galleries), gradient / len(galleries)

    minimize: Any = require_extra("scipy.optimize").minimize
    start = np.array([10.0, 3.0])
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, MAX_SLOPE), (None, None)]).x
    return Identification(float(best[0]), float(best[1]))


class _Drawn(NamedTuple):
    """A drawn gallery of K identities and its Q queries.

    Attributes:
        distances: (Q, K) distance to the nearest image of each identity in another camera; 0 where there is none.
        log_fractions: (Q, K) log(1 / K), and minus infinity where there is no such image.
        known: (Q,) 1 where the identity of the query is enrolled, else 0.
        own: (Q,) distance to the query's own identity, 0 where it is not enrolled.
        weights: (Q,) weights of the queries, sum 1.
    """

    distances: NDArray[np.float64]
    log_fractions: NDArray[np.float64]
    known: NDArray[np.float64]
    own: NDArray[np.float64]
    weights: NDArray[np.float64]


def _draw(images: Embeddings, generator: np.random.Generator) -> list[_Drawn]:
    """Draw the galleries of one set; a gallery without queries of both kinds is left out."""
    identities, own = np.unique(images.person_ids, return_inverse=True)
    nearest = _nearest_images(images, own, len(identities))
    galleries: list[_Drawn] = []
    for exponent in np.linspace(0, 1, DRAWS):
        count = round((len(identities) // 2) ** exponent)
        enrolled = generator.permutation(len(identities))[:count]
        is_enrolled = np.isin(own, enrolled)
        known = np.flatnonzero(is_enrolled & np.isfinite(nearest[np.arange(len(own)), own]))
        unknown = np.flatnonzero(~is_enrolled & np.isfinite(nearest[:, enrolled]).any(axis=1))
        if len(known) and len(unknown):
            known, unknown = (generator.permutation(queries)[:QUERIES] for queries in (known, unknown))
            sizes = [len(known), len(unknown)]
            distances = nearest[np.ix_(np.concatenate([known, unknown]), enrolled)].astype(np.float64)
            finite = np.isfinite(distances)
            galleries.append(
                _Drawn(
                    distances=np.where(finite, distances, 0),
                    log_fractions=np.where(finite, -np.log(count), -np.inf),
                    known=np.repeat([1.0, 0.0], sizes),
                    own=np.concatenate([nearest[known, own[known]], np.zeros(len(unknown))]).astype(np.float64),
                    weights=np.repeat([0.5 / len(known), 0.5 / len(unknown)], sizes),
                )
            )
    return galleries


def _nearest_images(images: Embeddings, own: IntArray, identities: int) -> FloatArray:
    """(N, I) distance of each image to the nearest image of each identity in another camera, infinity without one."""
    nearest = np.full((len(images), identities), np.inf, np.float32)
    order = np.argsort(own, kind="stable")
    starts = np.searchsorted(own[order], np.arange(identities))
    for start, block in distance_blocks(images.vectors, images.vectors):
        rows = slice(start, start + len(block))
        allowed = np.where(images.camera_ids[rows, None] == images.camera_ids, np.inf, block)
        nearest[rows] = np.minimum.reduceat(allowed[:, order], starts, axis=1)
    return nearest
