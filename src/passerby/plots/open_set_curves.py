"""Figures of trust: can probabilities be believed, are pairs told apart, are unknown people turned away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from passerby.errors import DataError
from passerby.openset.detection import OpenSetScores
from passerby.openset.reliability import Reliability
from passerby.openset.verification import Verification
from passerby.plots.style import COLORS, INK, MUTED, dress, new_figure, save

_LOWEST = 1e-4  # false alarm rate that is shown


def plot_reliability(found: Mapping[str, Reliability], path: Path, *, title: str = "Reliability") -> list[Path]:
    """What was said against what is so, one line each, and below it how many pairs said so.

    Args:
        found: Reliability by the name in the legend, at least one.
        path: The PNG to write; the SVG goes beside it.
        title: What stands above.

    Raises:
        DataError: For none.
    """
    _require(found, "found")
    labels = [
        f"{name}\nECE {100 * each.expected_calibration_error:.1f} %, Brier {each.brier:.3f}, "
        f"log loss {each.log_loss:.2f} (chance {each.chance:.2f}), slope {each.slope:.2f}"
        for name, each in found.items()
    ]
    notes = ["above the diagonal more pairs show one person than was said, below fewer; slope below 1: over-confident"]
    notes += [_pairs(found), f"weighted so that {_shares(found)} of the pairs show one person"]
    figure, axes, (bars,), legend = _page(2 * len(labels), notes, strips=1)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
    width = 0.8 / len(found)
    for number, (each, label) in enumerate(zip(found.values(), labels, strict=True)):
        color, there = COLORS[number % len(COLORS)], each.weight > 0
        axes.plot(
            each.predicted[there],
            each.observed[there],
            color=color,
            linewidth=2,
            marker="o",
            markersize=5,
            label=label,
            clip_on=False,
        )
        count = len(each.weight)
        middle = (np.arange(count) + 0.5 + (number - (len(found) - 1) / 2) * width) / count
        bars.bar(middle, 100 * each.weight, width=width / count, color=color)
    dress(axes, title=title, x="", y="Observed share of one person")
    dress(bars, title="", x="Probability that the two images show one person", y="Pairs (%)")
    axes.tick_params(labelbottom=False)
    for each_axes in (axes, bars):
        each_axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    return _finish(figure, axes, path, legend=legend)


def plot_roc(
    found: Mapping[str, Verification], path: Path, *, title: str = "Receiver operating characteristic"
) -> list[Path]:
    """True against false positive rate over all pairs, false positives on a logarithmic axis; dots: equal error rates.

    Args:
        found: Verification by the name in the legend, at least one.
        path: The PNG to write; the SVG goes beside it.
        title: What stands above.

    Raises:
        DataError: For none.
    """
    _require(found, "found")
    labels = [
        f"{name}: equal error rate {100 * each.equal_error_rate:.1f} % (dot), area {each.area:.3f}"
        for name, each in found.items()
    ]
    notes = [_pairs(found), "dotted: chance"]
    figure, axes, _, legend = _page(len(labels), notes)
    rates = np.geomspace(_LOWEST, 1, 200)
    axes.plot(rates, 100 * rates, color=MUTED, linewidth=1, linestyle=":")
    for number, (each, label) in enumerate(zip(found.values(), labels, strict=True)):
        color = COLORS[number % len(COLORS)]
        shown = each.false_positive_rate >= max(_LOWEST, 1 / each.different)
        false, true = each.false_positive_rate[shown], each.true_positive_rate[shown]
        axes.plot(false, 100 * true, color=color, linewidth=2, label=label)
        axes.plot(
            each.equal_error_rate, 100 * (1 - each.equal_error_rate), "o", color=color, markersize=6, clip_on=False
        )
    dress(axes, title=title, x="False positive rate", y="True positive rate (%)")
    _rate_axis(axes, _LOWEST)
    return _finish(figure, axes, path, legend=legend)


def plot_dir(
    found: Mapping[str, OpenSetScores], path: Path, *, title: str = "Known people recognized, unknown turned away"
) -> list[Path]:
    """Detection and identification rate against false alarm rate, with the interval as a band.

    Rates that the data cannot resolve are left out, and said so under the plot.

    Args:
        found: Open-set scores by the name in the legend, at least one.
        path: The PNG to write; the SVG goes beside it.
        title: What stands above.

    Raises:
        DataError: For none, or when no rate of any can be resolved.
    """
    _require(found, "found")
    if all(rate.reason for each in found.values() for rate in each.rates):
        raise DataError(f"found: no rate can be drawn; {next(iter(found.values())).rates[0].reason}")
    notes = ["band: 95 % of the draws of who is unknown (or of the bootstrap over identities)"]
    labels = []
    for name, each in found.items():
        labels.append(
            f"{name}: {each.known_queries:,.0f} known and {each.unknown_queries:,.0f} unknown queries, "
            f"{each.enrolled:,.0f} people enrolled"
        )
        missing = [f"{100 * rate.far:g} %" for rate in each.rates if rate.reason]
        if missing:
            notes.append(f"{name}: too few unknown queries for {', '.join(missing)}")
    figure, axes, _, legend = _page(len(labels), notes)
    lowest = 1.0
    for number, (each, label) in enumerate(zip(found.values(), labels, strict=True)):
        rates = sorted((rate for rate in each.rates if not rate.reason), key=lambda rate: rate.far)
        if not rates:
            continue
        color, fars = COLORS[number % len(COLORS)], [rate.far for rate in rates]
        low, high = (100 * np.array([rate.interval[end] for rate in rates]) for end in (0, 1))
        axes.fill_between(fars, low, high, color=color, alpha=0.2, linewidth=0)
        values = [100 * rate.rate for rate in rates]
        axes.plot(fars, values, color=color, linewidth=2, marker="o", markersize=4, label=label, clip_on=False)
        lowest = min(lowest, fars[0])
    dress(axes, title=title, x="False alarm rate: unknown people taken for somebody", y="Known people recognized (%)")
    _rate_axis(axes, lowest if lowest < 1 else 0.1)
    return _finish(figure, axes, path, legend=legend)


def _require(found: Mapping[str, object], name: str) -> None:
    if not found:
        raise DataError(f"{name}: got none, expected at least one result to draw")


def _pairs(found: Mapping[str, Reliability] | Mapping[str, Verification]) -> str:
    counts = {name: f"{each.same:,} pairs of one person, {each.different:,} of two" for name, each in found.items()}
    if len(set(counts.values())) == 1:
        return next(iter(counts.values()))
    return "\n".join(f"{name}: {count}" for name, count in counts.items())


def _shares(found: Mapping[str, Reliability]) -> str:
    return ", ".join(dict.fromkeys(f"{100 * each.prior:g} %" for each in found.values()))


def _page(lines: int, notes: list[str], *, strips: int = 0) -> tuple[Figure, Axes, list[Axes], float]:
    """A figure with its main axes, strips under them, and where the legend begins above the notes."""
    note = "\n".join(notes)
    below = 0.25 + 0.17 * (note.count("\n") + 1) + 0.2 * lines  # inches under the names of the axes
    bottom = below + 0.55
    height = bottom + 1.0 * strips + 3.1 + 0.5
    figure = new_figure(7.2, height)
    axes = figure.add_axes((0.095, (bottom + 1.0 * strips) / height, 0.875, 3.1 / height))
    under = [figure.add_axes((0.095, bottom / height, 0.875, 0.75 / height)) for _ in range(strips)]
    figure.text(0.095, 0.1 / height, note, fontsize=8, color=MUTED, va="bottom")
    return figure, axes, under, (below + 0.1) / height


def _rate_axis(axes: Axes, lowest: float) -> None:
    """From `lowest` to 1, logarithmic, in percent."""
    axes.set_xscale("log")
    axes.set_xlim(lowest, 1)
    ticks = [far for far in (1e-4, 1e-3, 1e-2, 1e-1, 1.0) if far >= lowest * 0.999]
    axes.set_xticks(ticks, [f"{100 * far:g} %" for far in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 100)


def _finish(figure: Figure, axes: Axes, path: Path, *, legend: float) -> list[Path]:
    """The legend under the plot, where no curve can run behind it."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0.08, legend),
        fontsize=9,
        frameon=False,
        labelcolor=INK,
    )
    return save(figure, path, vector=True)
