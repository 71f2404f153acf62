"""Plots of open-set recognition: reliability of probabilities, verification (ROC), and identification (DIR at FAR)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from passerby.errors import DataError
from passerby.plots.curve_page import new_curve_page
from passerby.plots.style import COLORS, MUTED, PlotPath, line_style, require_any, style_axes
from passerby.text import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from passerby.openset.detection import OpenSetScores
    from passerby.openset.reliability import Reliability
    from passerby.openset.verification import Verification

_LOWEST_RATE = 1e-4  # left end of the ROC's x axis


def plot_reliability(results: Mapping[str, Reliability], path: PlotPath, *, title: str = "Reliability") -> list[Path]:
    """Plot observed fractions against predicted probabilities, and below them the number of pairs in each bin.

    Args:
        results: Reliability by the name for the legend, at least one.
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        title: Title of the plot.

    Returns:
        The files written.

    Raises:
        DataError: When `results` is empty.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> from passerby.openset.reliability import Reliability
        >>> bins = np.array([0.25, 0.75]), np.array([0.2, 0.8]), np.array([0.5, 0.5])
        >>> result = Reliability(*bins, 0.05, 0.16, 0.5, 0.69, 1.2, 0.5, 40, 40)
        >>> [file.name for file in plot_reliability({"example": result}, Path("reliability.png"))]
        ['reliability.png']
    """
    require_any(results, "results")
    labels = [
        f"{name}\nECE {100 * result.expected_calibration_error:.1f} %, Brier {result.brier:.3f}, "
        f"log loss {result.log_loss:.2f} (chance {result.chance:.2f}), slope {result.slope:.2f}"
        for name, result in results.items()
    ]
    priors = ", ".join(dict.fromkeys(f"{100 * result.prior:g} %" for result in results.values()))
    notes = [
        "above the diagonal: probabilities too low; below it: too high; slope below 1: over-confident",
        _count_pairs(results),
        f"pairs weighted to a prior of {priors}",
    ]
    page = new_curve_page(labels, notes, panels=1)
    (bars,) = page.panels
    page.axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
    for number, (result, label) in enumerate(zip(results.values(), labels, strict=True)):
        used = result.weight > 0
        page.axes.plot(result.predicted[used], result.observed[used], **line_style(number), label=label, clip_on=False)
        bins = len(result.weight)
        width = 0.8 / len(results)  # of a bin
        middles = (np.arange(bins) + 0.5 + (number - (len(results) - 1) / 2) * width) / bins
        bars.bar(middles, 100 * result.weight, width=width / bins, color=COLORS[number % len(COLORS)])
    style_axes(page.axes, title=title, x="", y="Observed fraction of same-identity pairs")
    style_axes(bars, title="", x="Predicted probability that both images show the same identity", y="Pairs (%)")
    page.axes.tick_params(labelbottom=False)
    page.axes.set_xlim(0, 1)
    bars.set_xlim(0, 1)
    page.axes.set_ylim(0, 1)
    return page.save(path)


def plot_roc(
    results: Mapping[str, Verification], path: PlotPath, *, title: str = "Receiver operating characteristic"
) -> list[Path]:
    """Plot true against false positive rates over all pairs; dots mark the equal error rates.

    The x axis is logarithmic and starts at 0.01 %. A curve starts at the smallest rate that its pairs resolve.

    Args:
        results: Verification results by the name for the legend, at least one.
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        title: Title of the plot.

    Returns:
        The files written.

    Raises:
        DataError: When `results` is empty.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> from passerby.evaluation.pair_histogram import PairHistogram
        >>> from passerby.openset.verification import verify
        >>> pairs = PairHistogram(0.0, 2.0, np.array([5, 2, 0, 0]), np.array([0, 3, 9, 4]))
        >>> [file.name for file in plot_roc({"example": verify(pairs)}, Path("roc.png"))]
        ['roc.png']
    """
    require_any(results, "results")
    labels = [
        f"{name}: equal error rate {100 * result.equal_error_rate:.1f} % (dot), area {result.area:.3f}"
        for name, result in results.items()
    ]
    page = new_curve_page(labels, [_count_pairs(results), "dotted: chance"])
    axes = page.axes
    rates = np.geomspace(_LOWEST_RATE, 1, 200)
    axes.plot(rates, 100 * rates, color=MUTED, linewidth=1, linestyle=":")
    for number, (result, label) in enumerate(zip(results.values(), labels, strict=True)):
        style = line_style(number, dots=False)
        resolved = result.false_positive_rate >= max(_LOWEST_RATE, 1 / result.different)
        axes.plot(result.false_positive_rate[resolved], 100 * result.true_positive_rate[resolved], **style, label=label)
        error = result.equal_error_rate
        axes.plot(error, 100 * (1 - error), "o", color=style["color"], markersize=6, clip_on=False)
    style_axes(axes, title=title, x="False positive rate", y="True positive rate (%)")
    _set_rate_axis(axes, _LOWEST_RATE)
    return page.save(path)


def plot_dir(
    results: Mapping[str, OpenSetScores],
    path: PlotPath,
    *,
    title: str = "Detection and identification rate at false alarm rate",
) -> list[Path]:
    """Plot detection and identification rates (DIR) against false alarm rates (FAR), with the 95 % interval as a band.

    Rates that the data cannot resolve are left out and listed below the plot.

    Args:
        results: Open-set scores by the name for the legend, at least one.
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        title: Title of the plot.

    Returns:
        The files written.

    Raises:
        DataError: When `results` is empty, or no rate of any result can be resolved.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> from passerby.openset.detection import DirAtFar, OpenSetScores
        >>> rates = DirAtFar(0.01, 0.3, (0.2, 0.4), 0.3), DirAtFar(0.1, 0.6, (0.5, 0.7), 0.4)
        >>> result = OpenSetScores(rates, 0.5, 50, 50, 25, 100)
        >>> [file.name for file in plot_dir({"example": result}, Path("dir.png"))]
        ['dir.png']
    """
    require_any(results, "results")
    resolved = {
        name: sorted((rate for rate in result.rates if not rate.reason), key=lambda rate: rate.far)
        for name, result in results.items()
    }
    if not any(resolved.values()):
        raise DataError(f"results: no rate can be plotted; {next(iter(results.values())).rates[0].reason}")
    labels = {
        name: f"{name}: {result.known_queries:,.0f} known and "
        f"{plural(round(result.unknown_queries), 'unknown query')}, "
        f"{plural(round(result.enrolled), 'identity')} enrolled"
        for name, result in results.items()
    }
    notes = ["band: 95 % interval over the draws of unknown identities (or over the bootstrap)"]
    for name, result in results.items():
        if missing := [f"{100 * rate.far:g} %" for rate in result.rates if rate.reason]:
            notes.append(f"{name}: too few unknown queries for {', '.join(missing)}")
    page = new_curve_page(list(labels.values()), notes)
    for number, (name, rates) in enumerate(resolved.items()):
        if rates:
            style = line_style(number)
            fars = [rate.far for rate in rates]
            low, high = 100 * np.array([rate.interval for rate in rates]).T
            page.axes.fill_between(fars, low, high, color=style["color"], alpha=0.2, linewidth=0)
            page.axes.plot(fars, [100 * rate.rate for rate in rates], **style, label=labels[name], clip_on=False)
    style_axes(
        page.axes, title=title, x="False alarm rate: unknown queries identified", y="Known queries identified (%)"
    )
    lowest = min(rate.far for rates in resolved.values() for rate in rates)
    _set_rate_axis(page.axes, lowest if lowest < 1 else 0.1)
    return page.save(path)


def _count_pairs(results: Mapping[str, Reliability] | Mapping[str, Verification]) -> str:
    """Return the numbers of pairs in words, on one line when all results have the same."""
    counts = {
        name: f"{plural(result.same, 'same-identity pair')}, {plural(result.different, 'different-identity pair')}"
        for name, result in results.items()
    }
    if len(set(counts.values())) == 1:
        return next(iter(counts.values()))
    return "\n".join(f"{name}: {count}" for name, count in counts.items())


def _set_rate_axis(axes: Axes, lowest: float) -> None:
    """Set a logarithmic x axis from `lowest` to 1, labeled in percent."""
    axes.set_xscale("log")
    axes.set_xlim(lowest, 1)
    ticks = [far for far in (1e-4, 1e-3, 1e-2, 1e-1, 1.0) if far >= lowest * 0.999]
    axes.set_xticks(ticks, [f"{100 * far:g} %" for far in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 100)
