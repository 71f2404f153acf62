"""From a distance to the probability that two images show the same person.

What is learned from pairs is the likelihood ratio p(distance | same) / p(distance | different), which does not depend
on how common pairs of the same person are; that prior is stated when a probability is asked for. A network tells people
that it was trained on apart better than others: fitted on them, a calibration is over-confident on anybody else.
`reliability` measures by how much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, isotonic_regression, minimize
from scipy.special import expit, logit

from passerby.errors import DataError
from passerby.evaluation.pair_histogram import PairHistogram
from passerby.openset.identification import Identification
from passerby.ranking.distance import Metric

CalibrationMethod = Literal["logistic", "isotonic"]
FORMAT = 1


@dataclass(frozen=True)
class FittedOn:
    """Which pairs a calibration was learned from.

    Attributes:
        data: The data set, as text.
        identities: People.
        images: Their images.
        same: Pairs of one person from different cameras.
        different: Pairs of two people from different cameras.
        trained_on: Whether the network was trained on these people, which makes it over-confident.
    """

    data: str
    identities: int
    images: int
    same: int
    different: int
    trained_on: bool


@dataclass(frozen=True)
class Calibration:
    """Log likelihood ratio of same to different by distance: linear between K points, constant outside them.

    Attributes:
        method: How it was fitted.
        metric: Of the distances.
        distances: (K,) ascending, K at least 1.
        log_ratios: (K,) never rising: nearer is never less probable.
        fitted_on: Which pairs it was learned from.
        identification: What the nearest distances to many people are worth, when one of them is right or nobody; None
            where nobody has fitted it.
        cameras: The same of distances under camera-wise normalization; None where nobody has fitted it.

    Raises:
        DataError: (a ValueError) naming what cannot be.
    """

    method: CalibrationMethod
    metric: Metric
    distances: NDArray[np.float64]
    log_ratios: NDArray[np.float64]
    fitted_on: FittedOn
    identification: Identification | None = None
    cameras: Calibration | None = None

    def __post_init__(self) -> None:
        for name, known in (("method", get_args(CalibrationMethod)), ("metric", get_args(Metric))):
            if getattr(self, name) not in known:
                raise DataError(f"calibration: {name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")
        for name in ("distances", "log_ratios"):
            object.__setattr__(self, name, _numbers(getattr(self, name), name))
        if len(self.distances) != len(self.log_ratios):
            raise DataError(
                f"calibration: {len(self.distances)} distances and {len(self.log_ratios)} log_ratios, expected as many"
            )
        if (np.diff(self.distances) <= 0).any() or (np.diff(self.log_ratios) > 0).any():
            raise DataError("calibration: expected distances that rise and log_ratios that never do")

    def log_ratio(self, distances: Any) -> NDArray[np.float64]:
        """Natural logarithm of the likelihood ratio, same shape; -inf at infinity, which takes an item out.

        Raises:
            DataError: For NaN.
        """
        given = np.asarray(distances, dtype=np.float64)
        if np.isnan(given).any():
            raise DataError("distances: NaN; find out what made it (infinity takes an item out)")
        return np.where(given == np.inf, -np.inf, np.interp(given, self.distances, self.log_ratios))

    def probability(self, distances: Any, *, prior: float = 0.5) -> NDArray[np.float64]:
        """Probability that two images at each distance show the same person, by Bayes' rule.

        Args:
            distances: Any shape.
            prior: Probability of `same` before the distance is known, such as 1 / n for a random pair of n people.

        Raises:
            DataError: For a prior that is not between 0 and 1, or NaN.
        """
        if not 0 < prior < 1:
            raise DataError(f"prior: got {prior}, expected a probability between 0 and 1, both excluded")
        return np.asarray(expit(self.log_ratio(distances) + logit(prior)), dtype=np.float64)


def fit_calibration(
    pairs: PairHistogram, fitted_on: FittedOn, *, method: CalibrationMethod = "logistic", metric: Metric = "cosine"
) -> Calibration:
    """Learn the likelihood ratio from counted pairs, both kinds given the same weight.

    Args:
        pairs: Of people set aside for this: not those that figures are reported on.
        fitted_on: What will stand beside the calibration.
        method: `logistic`: the log ratio falls linearly (Platt 1999, with his smoothed targets). `isotonic`: it falls
            in whatever steps the pairs show (Zadrozny and Elkan 2002), joined through their centers (Oron and Flournoy
            2017). One pair of either kind is added at both ends, so that nothing becomes certain.
        metric: Of the distances that were counted.

    Raises:
        DataError: When there is no pair of one kind, or an unknown method.
    """
    if method not in get_args(CalibrationMethod):
        raise DataError(f"method: got {method!r}, expected one of {', '.join(get_args(CalibrationMethod))}")
    pairs.require_both()
    used = np.flatnonzero(pairs.same + pairs.different)
    x, same, different = pairs.centers[used], pairs.same[used].astype(float), pairs.different[used].astype(float)
    points = _isotonic(x, same, different) if method == "isotonic" else _logistic(x, same, different)
    return Calibration(method, metric, *points, fitted_on)


def fit_logistic_line(
    x: NDArray[np.float64], same: NDArray[np.float64], different: NDArray[np.float64], *, falling: bool = False
) -> tuple[float, float]:
    """Offset and slope of the log ratio of same to different as a line in x, by balanced logistic regression.

    Targets are Platt's (n + 1) / (n + 2), so that pairs which do not overlap have a line too.

    Args:
        x: (B,) where the pairs are.
        same: (B,) their counts, more than 0 in all.
        different: (B,) likewise.
        falling: Whether the slope may not be above 0.
    """
    sure = [(counts.sum() + 1) / (counts.sum() + 2) for counts in (same, different)]
    a, b = same / same.sum() / 2, different / different.sum() / 2
    yes, no = a * sure[0] + b * (1 - sure[1]), a * (1 - sure[0]) + b * sure[1]  # weights of the two answers, sum 1
    center = float((a + b) @ x)
    spread = float(np.sqrt((a + b) @ (x - center) ** 2)) or 1.0
    z = (x - center) / spread

    def loss(line: NDArray[np.float64]) -> float:
        t = line[0] + line[1] * z
        return float(yes @ np.logaddexp(0, -t) + no @ np.logaddexp(0, t))

    def gradient(line: NDArray[np.float64]) -> NDArray[np.float64]:
        wrong = (yes + no) * expit(line[0] + line[1] * z) - yes
        return np.array([wrong.sum(), wrong @ z])

    bounds = Bounds(-np.inf, [np.inf, 0.0 if falling else np.inf])
    offset, slope = minimize(
        loss,
        np.zeros(2),
        jac=gradient,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
    ).x
    return float(offset - slope * center / spread), float(slope / spread)


def calibration_to_dict(calibration: Calibration) -> dict[str, Any]:
    """A dict that `json.dumps` takes."""
    line, cameras = calibration.identification, calibration.cameras
    more = {
        **({} if line is None else {"identification": asdict(line)}),
        **({} if cameras is None else {"cameras": calibration_to_dict(cameras)}),
    }
    return {
        "format": FORMAT,
        "method": calibration.method,
        "metric": calibration.metric,
        "distances": calibration.distances.tolist(),
        "log_ratios": calibration.log_ratios.tolist(),
        "fitted_on": asdict(calibration.fitted_on),
        **more,
    }


def calibration_from_dict(tree: Any) -> Calibration:
    """Read what `calibration_to_dict` wrote.

    Raises:
        DataError: For a missing or impossible entry, which is named.
    """
    tree = _object(tree, "it", ("format", "method", "metric", "distances", "log_ratios", "fitted_on"))
    if tree["format"] != FORMAT:
        raise DataError(f"calibration: format {tree['format']!r}, this version reads {FORMAT}; calibrate again")
    names = [field.name for field in fields(FittedOn)]
    facts = _object(tree["fitted_on"], "fitted_on", names)
    for field in fields(FittedOn):
        value = facts[field.name]
        if type(value).__name__ != field.type:
            raise DataError(f"calibration: fitted_on.{field.name} is {value!r}, expected {field.type}")
    fitted_on = FittedOn(**{name: facts[name] for name in names})
    line = _object(tree["identification"], "identification", ("slope", "offset")) if "identification" in tree else None
    return Calibration(
        tree["method"],
        tree["metric"],
        tree["distances"],
        tree["log_ratios"],
        fitted_on,
        identification=None if line is None else Identification(line["slope"], line["offset"]),
        cameras=calibration_from_dict(tree["cameras"]) if "cameras" in tree else None,
    )


def _object(tree: Any, name: str, keys: Sequence[str]) -> Mapping[str, Any]:
    """An object with these keys, or an error that says what is missing."""
    missing = [key for key in keys if not isinstance(tree, Mapping) or key not in tree]
    if missing:
        raise DataError(f"calibration: {name} lacks {', '.join(missing)}; was the file written by passerby?")
    found: Mapping[str, Any] = tree
    return found


def _logistic(
    x: NDArray[np.float64], same: NDArray[np.float64], different: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two ends of the line: beyond the distances that were seen nothing more is claimed."""
    offset, slope = fit_logistic_line(x, same, different, falling=True)
    ends = np.unique(x[[0, -1]])
    return ends, offset + slope * ends


def _isotonic(
    x: NDArray[np.float64], same: NDArray[np.float64], different: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The center and log ratio of each step that pooling adjacent violators leaves."""
    for counts in (same, different):
        counts[0] += 1
        counts[-1] += 1
    a, b = same / same.sum(), different / different.sum()
    fitted = isotonic_regression(a / (a + b), weights=a + b, increasing=False)
    starts = fitted.blocks[:-1]
    centers = np.add.reduceat((a + b) * x, starts) / np.add.reduceat(a + b, starts)
    ratios = np.log(np.add.reduceat(a, starts) / np.add.reduceat(b, starts))
    return centers, np.minimum.accumulate(ratios)  # equal to the last digit only where rounding let one rise


def _numbers(values: Any, name: str) -> NDArray[np.float64]:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"calibration: {name} cannot be read ({error}); was the file written by passerby?") from None
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise DataError(f"calibration: {name} has shape {numbers.shape}, expected one or more finite numbers in a row")
    return numbers
