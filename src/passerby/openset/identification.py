"""Who is it, or nobody: what the nearest distance to each of many people is worth, when exactly one of them is right.

A calibration of pairs takes distances to different people as independent, and they are not: a picture from behind is
near to everybody. Who is enrolled shares that with everybody else, so the differences between people's distances say
far more than pairs of images do. They are learned here from galleries that are drawn, as they will be asked.

Dimension legend of `types`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from passerby.errors import DataError
from passerby.ranking.distance import distance_blocks
from passerby.types import Embeddings, FloatArray, IntArray

DRAWS = 16
"""Galleries that are drawn from each data set."""
QUERIES = 400
"""Most queries of either kind, of people who are enrolled and of people who are not, in each of them."""
STEEPEST = 1000.0
"""Slope of people whom no distance confuses."""


@dataclass(frozen=True)
class Identification:
    """How much likelier somebody is than a stranger, by the distance to their nearest image: exp(offset - slope d).

    Attributes:
        slope: At least 0.
        offset: Of the logarithm at distance 0.

    Raises:
        DataError: (a ValueError) for values that cannot be.
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

    def log_ratio(self, distances: Any) -> NDArray[np.float64]:
        """Natural logarithm of the ratio, same shape."""
        found: NDArray[np.float64] = self.offset - self.slope * np.asarray(distances, dtype=np.float64)
        return found


def fit_identification(sets: Sequence[Embeddings], *, seed: int = 0) -> Identification:
    """Learn slope and offset from people set aside for this, by maximum likelihood.

    From each set `DRAWS` galleries are drawn, of one person up to half of them, spread evenly over the logarithm of
    their number. Queries are images of people who are enrolled and of people who are not, both given the same weight;
    images of a query's own camera are not in its gallery. The likelihood is that of the right answer under

        p(k) = r(k) / K / (1 + mean of r),   p(nobody) = 1 / (1 + mean of r),   r = exp(offset - slope distance)

    a conditional logit (McFadden 1974), which is convex.

    Args:
        sets: Data sets' images; people of different sets never meet.
        seed: Of the draws.

    Raises:
        DataError: When no query has its person in another camera.
    """
    generator = np.random.default_rng(seed)
    drawn = [each for images in sets for each in _draw(images, generator)]
    if not drawn:
        raise DataError("identification: nobody is seen by two cameras; give images of people in two cameras")

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Minus the mean log likelihood, and its gradient by (slope, offset)."""
        total, gradient = 0.0, np.zeros(2)
        for each in drawn:
            ratios = line[1] - line[0] * each.distances + each.shares  # (Q, K)
            whole = np.logaddexp(logsumexp(ratios, axis=1), 0)
            p = np.exp(ratios - whole[:, None])
            right = each.known * (line[1] - line[0] * each.right - np.log(ratios.shape[1]))
            expected = np.einsum("qk,qk->q", p, each.distances)
            total += float(each.weights @ (whole - right))
            gradient += each.weights @ np.stack([each.right - expected, p.sum(axis=1) - each.known], axis=1)
        return total / len(drawn), gradient / len(drawn)

    start = np.array([10.0, 3.0])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, STEEPEST), (None, None)])
    return Identification(float(found.x[0]), float(found.x[1]))


class _Drawn(NamedTuple):
    """A gallery of K people, and those who are asked for.

    Attributes:
        distances: (Q, K) to each one's nearest image of another camera; 0 where there is none.
        shares: (Q, K) log(1 / K), and minus infinity where there is no such image.
        known: (Q,) 1 for who is enrolled, 0 for who is not.
        right: (Q,) distance to the right one, 0 without.
        weights: (Q,) sum 1.
    """

    distances: NDArray[np.float64]
    shares: NDArray[np.float64]
    known: NDArray[np.float64]
    right: NDArray[np.float64]
    weights: NDArray[np.float64]


def _draw(images: Embeddings, generator: np.random.Generator) -> list[_Drawn]:
    """Galleries of a set."""
    people, own = np.unique(images.person_ids, return_inverse=True)
    nearest = _nearest_images(images, own, len(people))
    found: list[_Drawn] = []
    for share in np.linspace(0, 1, DRAWS):
        count = round((len(people) // 2) ** share)
        enrolled = generator.permutation(len(people))[:count]
        belongs = np.isin(own, enrolled)
        known = np.flatnonzero(belongs & np.isfinite(nearest[np.arange(len(own)), own]))
        unknown = np.flatnonzero(~belongs & np.isfinite(nearest[:, enrolled]).any(axis=1))
        if len(known) and len(unknown):
            known, unknown = (generator.permutation(some)[:QUERIES] for some in (known, unknown))
            sizes = [len(known), len(unknown)]
            distances = nearest[np.ix_(np.concatenate([known, unknown]), enrolled)].astype(np.float64)
            met = np.isfinite(distances)
            found.append(
                _Drawn(
                    distances=np.where(met, distances, 0),
                    shares=np.where(met, -np.log(count), -np.inf),
                    known=np.repeat([1.0, 0.0], sizes),
                    right=np.concatenate([nearest[known, own[known]], np.zeros(len(unknown))]).astype(np.float64),
                    weights=np.repeat([0.5 / len(known), 0.5 / len(unknown)], sizes),
                )
            )
    return found


def _nearest_images(images: Embeddings, own: IntArray, people: int) -> FloatArray:
    """(N, I) distance of each image to each person's nearest image of another camera, infinity without one."""
    found = np.full((len(images), people), np.inf, np.float32)
    order = np.argsort(own, kind="stable")
    starts = np.searchsorted(own[order], np.arange(people))
    for start, block in distance_blocks(images.vectors, images.vectors):
        rows = slice(start, start + len(block))
        there = np.where(images.camera_ids[rows, None] == images.camera_ids, np.inf, block)
        found[rows] = np.minimum.reduceat(there[:, order], starts, axis=1)
    return found
