"""Calibration: the probability that two images show the same person, as a function of their distance.

A calibration holds the likelihood ratio p(distance | same person) / p(distance | different people). The ratio does
not depend on how frequent pairs of the same person are; that prior is an argument of `Calibration.probability`.

A calibration that was fitted to the training identities of the network is over-confident on other identities, because
the network separates its training identities better. `passerby.openset.reliability` measures by how much.

This module needs NumPy only, so that a gallery can read a calibration; `passerby.openset.fitting` fits one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import DataError, argument, explain
from passerby.openset.identification import Identification
from passerby.ranking.distance import Metric
from passerby.text import plural
from passerby.types import Result, as_array

CalibrationMethod = Literal["logistic", "isotonic"]
QUANTILES = 21
"""Number of the quantiles of `Calibration.reference`."""
FORMAT = 1
"""Version of the entries in calibration.json."""


@dataclass(frozen=True)
class FittedOn:
    """Pairs of images that a calibration was fitted to.

    Attributes:
        data: Data set, as text.
        identities: Number of identities.
        images: Number of images.
        same: Number of pairs of one identity from different cameras.
        different: Number of pairs of two identities from different cameras.
        trained_on: Whether the network was trained on these identities, which makes the calibration over-confident.
    """

    data: str
    identities: int
    images: int
    same: int
    different: int
    trained_on: bool


@dataclass(frozen=True, repr=False)
class Calibration(Result):
    """Log likelihood ratio of same to different identity, by distance: linear between K points, constant outside.

    Attributes:
        method: Method of the fit.
        metric: Metric of the distances.
        distances: (K,) ascending, K at least 1. Given as array-like.
        log_ratios: (K,) not increasing: a smaller distance is never less probable. Given as array-like.
        fitted_on: Pairs that the calibration was fitted to.
        identification: Log likelihood ratio for identification in a gallery; None if it was not fitted.
        cameras: Calibration of distances under camera-wise normalization; None if it was not fitted.
        reference: (21,) quantiles 0, 0.05, ..., 1 of the distances of the pairs of different people, not descending:
            the distribution that `passerby.openset.drift` compares with. None in a calibration of an earlier version.

    Raises:
        DataError: (a ValueError) naming the field that is invalid.

    Example:
        >>> pairs = FittedOn("example", identities=10, images=40, same=60, different=700, trained_on=False)
        >>> calibration = Calibration("logistic", "cosine", [0.0, 1.0], [2.0, -2.0], pairs)
        >>> calibration.probability([0.0, 0.5, 1.0]).round(2)
        array([0.88, 0.5 , 0.12])
        >>> calibration.probability(0.0, prior=1 / 100).round(3)
        np.float64(0.069)
    """

    method: CalibrationMethod
    metric: Metric
    distances: NDArray[np.float64]
    log_ratios: NDArray[np.float64]
    fitted_on: FittedOn
    identification: Identification | None = None
    cameras: Calibration | None = None
    reference: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for name, known in (("method", get_args(CalibrationMethod)), ("metric", get_args(Metric))):
            if getattr(self, name) not in known:
                raise DataError(f"calibration: {name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")
        for name in ("distances", "log_ratios"):
            object.__setattr__(self, name, _read_numbers(getattr(self, name), name))
        if self.reference is not None:
            object.__setattr__(self, "reference", _read_numbers(self.reference, "reference"))
            assert self.reference is not None
            if len(self.reference) != QUANTILES or (np.diff(self.reference) < 0).any():
                raise DataError(f"calibration: reference is not {QUANTILES} distances that do not descend")
        if len(self.distances) != len(self.log_ratios):
            raise DataError(
                f"calibration: {plural(len(self.distances), 'distance')} and {len(self.log_ratios)} log_ratios, "
                "expected as many"
            )
        if (np.diff(self.distances) <= 0).any() or (np.diff(self.log_ratios) > 0).any():
            raise DataError("calibration: expected ascending distances and log_ratios that do not increase")

    def log_ratio(self, distances: ArrayLike) -> NDArray[np.float64]:
        """Return the natural logarithm of the likelihood ratio.

        Args:
            distances: Distances of any shape; infinity marks an excluded item.

        Returns:
            Array of the same shape; -inf at infinity.

        Raises:
            DataError: For NaN.
        """
        values = as_array(distances).astype(np.float64)
        if np.isnan(values).any():
            raise DataError("distances: NaN, expected numbers; use infinity to exclude an item")
        return np.where(values == np.inf, -np.inf, np.interp(values, self.distances, self.log_ratios))

    def probability(self, distances: ArrayLike, *, prior: float = 0.5) -> NDArray[np.float64]:
        """Return the probability that two images at each distance show the same person, by Bayes' rule.

        Args:
            distances: Distances of any shape; infinity marks an excluded item.
            prior: Probability of the same person before the distance is known, such as 1 / n for a random pair of n
                equally frequent identities.

        Returns:
            Array of the same shape, 0 to 1.

        Raises:
            DataError: For a prior that is not between 0 and 1, or NaN.
        """
        if not 0 < prior < 1:
            raise DataError(f"{argument('prior')}: got {prior}, expected a probability between 0 and 1, both excluded")
        log_odds = self.log_ratio(distances) + np.log(prior) - np.log1p(-prior)
        return np.asarray(np.exp(-np.logaddexp(0, -log_odds)))

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of `calibration.json`."""
        optional = {"identification": self.identification, "cameras": self.cameras}
        return {
            "format": FORMAT,
            "method": self.method,
            "metric": self.metric,
            "distances": self.distances.tolist(),
            "log_ratios": self.log_ratios.tolist(),
            "fitted_on": asdict(self.fitted_on),
            **{name: value.to_dict() for name, value in optional.items() if value is not None},
            **({} if self.reference is None else {"reference": self.reference.tolist()}),
        }

    @classmethod
    def from_dict(cls, tree: Any) -> Calibration:
        """Read the entries that `to_dict` returned.

        Raises:
            DataError: For a missing or invalid entry, which is named.
        """
        tree = _require_keys(tree, "file", ("format", "method", "metric", "distances", "log_ratios", "fitted_on"))
        if tree["format"] != FORMAT:
            raise DataError(f"calibration: format {tree['format']!r}, this version reads {FORMAT}; calibrate again")
        facts = _require_keys(tree["fitted_on"], "fitted_on", [field.name for field in fields(FittedOn)])
        for field in fields(FittedOn):
            value = facts[field.name]
            if type(value).__name__ != field.type:
                raise DataError(f"calibration: fitted_on.{field.name} is {value!r}, expected {field.type}")
        identification = None
        if "identification" in tree:
            line = _require_keys(tree["identification"], "identification", ("slope", "offset"))
            identification = Identification(line["slope"], line["offset"])
        return cls(
            tree["method"],
            tree["metric"],
            tree["distances"],
            tree["log_ratios"],
            FittedOn(**{field.name: facts[field.name] for field in fields(FittedOn)}),
            identification=identification,
            cameras=cls.from_dict(tree["cameras"]) if "cameras" in tree else None,
            reference=tree.get("reference"),
        )


def parse_calibration(tree: Any, source: str | Path, *, advice: str = "calibrate the model again") -> Calibration:
    """Read the entries of a `calibration.json`, or of a description that holds the same.

    Args:
        tree: The entries.
        source: The file that holds them, for messages.
        advice: What to do about a damaged entry, for messages.

    Raises:
        DataError: For a missing or invalid entry; the message names it and the file.
    """
    try:
        return Calibration.from_dict(tree)
    except (DataError, RecursionError) as error:
        raise DataError(f"{source}: {explain(error)}; {advice}") from None


def _require_keys(tree: Any, name: str, keys: Sequence[str]) -> Mapping[str, Any]:
    """Return the mapping, or raise an error that names the missing keys."""
    missing = [key for key in keys if not isinstance(tree, Mapping) or key not in tree]
    if missing:
        raise DataError(f"calibration: {name} lacks {', '.join(missing)}; was the file written by passerby?")
    mapping: Mapping[str, Any] = tree
    return mapping


def _read_numbers(values: Any, name: str) -> NDArray[np.float64]:
    try:
        numbers = as_array(values).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"calibration: {name} cannot be read ({explain(error)}); was the file written by passerby?"
        ) from None
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise DataError(f"calibration: {name} has shape {numbers.shape}, expected one or more finite numbers in a row")
    return numbers
