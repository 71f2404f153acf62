"""Bars of the contribution of each part of the embedding to the similarity of two images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from passerby.plots.cells import BOTTOM, CELL, IMAGE, LEFT, PAD, TEXT, TOP, Pixels, draw_cell, new_page
from passerby.plots.style import COLORS, INK, MUTED, RIGHT, WRONG, PlotPath, require_any, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BARS = 1.9  # inches between two images
_NAMES, _VALUES = 0.62, 0.5  # inches of that for the parts' names and for the values


@dataclass(frozen=True)
class PartContributions:
    """A query, a gallery image, and the contribution of each part to their cosine similarity.

    Attributes:
        query: (H, W, 3) RGB.
        gallery: (H, W, 3) RGB.
        contributions: (P,) summing to the cosine similarity, the uppermost part first.
        match: Whether both images show the same identity.
        lines: Caption of the gallery image.
        names: (P,) names of the parts.
    """

    query: Pixels
    gallery: Pixels
    contributions: NDArray[np.floating]
    match: bool
    lines: tuple[str, ...]
    names: tuple[str, ...]


def plot_part_contributions(
    pairs: Sequence[PartContributions], path: PlotPath, *, title: str, across: int = 2
) -> list[Path]:
    """Plot, between the two images of each pair, a bar for each part at the height of its stripe.

    Args:
        pairs: At least one.
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        title: Title of the plot.
        across: Pairs side by side.

    Returns:
        The files written.

    Raises:
        DataError: When `pairs` is empty.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> image = np.full((64, 32, 3), 128, np.uint8)
        >>> pair = PartContributions(image, image, np.array([0.4, 0.2]), True, ("match",), ("upper", "lower"))
        >>> [file.name for file in plot_part_contributions([pair], Path("parts.png"), title="Parts")]
        ['parts.png']
    """
    require_any(pairs, "pairs")
    across = min(across, len(pairs))
    lines = -(-len(pairs) // across)
    unit = 2 * CELL + _BARS + 0.35
    figure, page = new_page(
        2 * LEFT + across * unit,
        TOP + lines * (IMAGE + TEXT) + BOTTOM,
        title=title,
        note="bar: contribution of the part to the cosine similarity; the contributions sum to the similarity",
    )
    longest = max(float(np.abs(pair.contributions).max()) for pair in pairs) or 1.0
    for number, pair in enumerate(pairs):
        line, column = divmod(number, across)
        left, top = LEFT + column * unit, TOP + line * (IMAGE + TEXT)
        color = RIGHT if pair.match else WRONG
        draw_cell(page, pair.query, left=left, top=top, color=INK, lines=("query",))
        draw_cell(page, pair.gallery, left=left + CELL + _BARS, top=top, color=color, lines=pair.lines)
        _draw_bars(page, pair, left=left + CELL, top=top, longest=longest, color=color)
    return save(figure, path)


def _draw_bars(page: Axes, pair: PartContributions, *, left: float, top: float, longest: float, color: str) -> None:
    """Draw the bars of one pair; a negative contribution has no bar, only its value."""
    step = (IMAGE - PAD) / len(pair.contributions)
    zero, scale = left + _NAMES, (_BARS - _NAMES - _VALUES) / longest
    for part, (contribution, name) in enumerate(zip(pair.contributions, pair.names, strict=True)):
        middle = top + PAD / 2 + (part + 0.5) * step
        length = scale * max(float(contribution), 0.0)
        page.barh(middle, length, left=zero, height=0.62 * step, color=COLORS[part % len(COLORS)])
        page.text(zero - 0.05, middle, name, fontsize=7.5, color=MUTED, ha="right", va="center")
        page.text(zero + length + 0.04, middle, f"{contribution:z.2f}", fontsize=8, color=INK, ha="left", va="center")
    similarity = f"similarity {float(np.sum(pair.contributions)):.2f}"
    style: dict[str, Any] = {"fontsize": 8.5, "fontweight": "bold", "color": color, "ha": "center", "va": "top"}
    page.text(left + _BARS / 2, top + IMAGE, similarity, **style)
