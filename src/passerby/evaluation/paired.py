"""Whether one way of training is better than another, by a paired test over the same queries and several seeds.

Two things are drawn by chance: the seeds (another training gives another network) and the people (another test set
asks other queries). A test over queries alone calls a lucky seed a finding; a test over seeds alone forgets that the
test set is a sample. With both crossed, the test is Clark's min F' (1973, "The language-as-fixed-effect fallacy"): the
variances of the mean over seeds and over people are added, and the degrees of freedom follow Satterthwaite.

With two or three seeds min F' alone is too sure, because the seeds' spread is itself hardly known: at a level of 5 % it
found an effect in up to 11 % and 7 % of simulated ablations without one. So Student's t over the seeds must find the
difference too, and p is the larger of the two (5 % at most, with two, three or five seeds).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from passerby.errors import DataError
from passerby.types import IntArray


@dataclass(frozen=True)
class PairedTest:
    """A variant against its baseline.

    Attributes:
        difference: Variant minus baseline, mean over queries and seeds.
        interval: 95 % confidence interval of the difference.
        p: Two-sided p-value of no difference; not corrected for other tests beside it.
        seeds: Trainings of each; with one, the chance of training is not covered.
        people: Identities among the queries.
    """

    difference: float
    interval: tuple[float, float]
    p: float
    seeds: int
    people: int


def paired_test(
    variant: NDArray[np.float64], baseline: NDArray[np.float64], person_ids: IntArray, *, level: float = 0.95
) -> PairedTest:
    """Test the mean difference of S paired trainings over Q queries: min F' and t over the seeds, the larger p.

    Queries of one person are one observation (a cluster), as they succeed and fail together.

    Args:
        variant: (S, Q) figure of each query under each seed, such as its average precision.
        baseline: (S, Q) of the baseline under the same seeds on the same queries.
        person_ids: (Q,) whose query it is.
        level: Of the interval.

    Raises:
        DataError: For shapes that do not fit, figures that are not numbers, or fewer than two people.
    """
    if variant.shape != baseline.shape or variant.ndim != 2 or variant.shape[1] != len(person_ids):
        raise DataError(
            f"paired test: got shapes {variant.shape}, {baseline.shape} and {np.shape(person_ids)}, expected (S, Q) "
            "twice and (Q,); compare runs that were evaluated on the same queries with the same seeds"
        )
    differences = np.asarray(variant - baseline, dtype=np.float64)  # (S, Q)
    if not np.isfinite(differences).all():
        raise DataError("paired test: NaN or infinity among the figures; leave queries out that are not valid")
    people, membership = np.unique(person_ids, return_inverse=True)
    seeds, queries = differences.shape
    if len(people) < 2:
        raise DataError(f"paired test: queries of {len(people)} people, expected two or more")
    mean = float(differences.mean())
    sums = np.bincount(membership, weights=differences.mean(axis=0) - mean)  # each person's share of the spread
    of_people = float(sums @ sums) * len(people) / (len(people) - 1) / queries**2
    of_seeds = float(differences.mean(axis=1).var(ddof=1)) / seeds if seeds > 1 else 0.0
    variance = of_people + of_seeds
    if variance == 0:
        return PairedTest(mean, (mean, mean), float(mean == 0), seeds, len(people))
    degrees = variance**2 / (of_people**2 / (len(people) - 1) + of_seeds**2 / max(1, seeds - 1))
    tests = [(degrees, variance)] + ([(seeds - 1.0, of_seeds)] if of_seeds else [])
    p = max(float(2 * stats.t.sf(abs(mean) / np.sqrt(spread), free)) for free, spread in tests)
    reach = max(float(stats.t.ppf((1 + level) / 2, free) * np.sqrt(spread)) for free, spread in tests)
    return PairedTest(mean, (mean - reach, mean + reach), p, seeds, len(people))
