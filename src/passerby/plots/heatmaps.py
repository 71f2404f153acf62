"""What a network looks at, drawn over the image: heat, parts, and what each part adds to a similarity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from passerby.errors import DataError
from passerby.plots.cells import BOTTOM, CELL, IMAGE, LEFT, PAD, TEXT, TOP, draw_cell, new_page
from passerby.plots.style import COLORS, INK, MUTED, RIGHT, WRONG, save

Pixels = NDArray[np.uint8]
_BARS = 1.9  # inches between two images
_PART_INK = 0.5  # share of a part's color over the image


def overlay_heat(image: Pixels, heat: NDArray[np.floating]) -> Pixels:
    """Heat over the darkened image.

    Args:
        image: (H, W, 3) RGB.
        heat: (h, w), not negative; the largest value becomes the brightest color. All zero leaves the image dark.

    Returns:
        (H, W, 3) RGB.
    """
    height, width = image.shape[:2]
    peak = float(heat.max())
    scaled = np.asarray(heat / peak if peak > 0 else heat, dtype=np.float32)
    smooth = np.asarray(Image.fromarray(scaled).resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)
    colors = mpl.colormaps["inferno"](smooth)[..., :3]  # (H, W, 3) 0 to 1
    strength = (0.25 + 0.55 * smooth)[..., None]
    gray = image.mean(axis=2, keepdims=True) / 255
    mixed: Pixels = np.round(255 * ((1 - strength) * gray + strength * colors)).astype(np.uint8)
    return mixed


def overlay_parts(image: Pixels, assignment: NDArray[np.floating]) -> Pixels:
    """Each place of the map in the color of the part that it belongs to most, stronger where that is surer.

    Args:
        image: (H, W, 3) RGB.
        assignment: (P, h, w) shares, adding up to 1 over P.

    Returns:
        (H, W, 3) RGB.
    """
    height, width = image.shape[:2]
    parts = len(assignment)
    palette = np.array([mpl.colors.to_rgb(COLORS[part % len(COLORS)]) for part in range(parts)])
    best, sure = assignment.argmax(axis=0), assignment.max(axis=0)
    rows, columns = (np.arange(n) * m // n for n, m in zip((height, width), best.shape, strict=True))
    places = np.ix_(rows, columns)
    chance = 1 / parts
    strength = _PART_INK * (0.3 + 0.7 * (sure[places] - chance) / (1 - chance))[..., None]
    mixed: Pixels = np.round((1 - strength) * image + strength * 255 * palette[best[places]]).astype(np.uint8)
    return mixed


def stripe_assignment(parts: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """The (P, h, w) assignment of fixed stripes; a row that two stripes share belongs to both in halves."""
    height, width = shape
    inside = np.zeros((parts, height))
    for part in range(parts):
        inside[part, part * height // parts : -(-(part + 1) * height // parts)] = 1
    return np.repeat((inside / inside.sum(axis=0))[:, :, None], width, axis=2)


@dataclass(frozen=True)
class PartContributions:
    """Two images, and what each part of their embeddings adds to the similarity.

    Attributes:
        query: (H, W, 3) RGB.
        found: (H, W, 3) RGB.
        shares: (P,) what each part adds to the cosine similarity, from the top; they add up to it.
        match: Whether both show the same person.
        lines: What stands under the found image.
        names: (P,) what the parts are called.
    """

    query: Pixels
    found: Pixels
    shares: NDArray[np.floating]
    match: bool
    lines: tuple[str, ...]
    names: tuple[str, ...]


def plot_part_contributions(
    pairs: Sequence[PartContributions], path: Path, *, title: str, across: int = 2
) -> list[Path]:
    """For each pair, between its two images, a bar for each part beside the stripe that it stands for.

    Args:
        pairs: At least one.
        path: The PNG to write; the SVG goes beside it.
        title: What stands above.
        across: Pairs side by side.

    Raises:
        DataError: For no pair.
    """
    if not pairs:
        raise DataError("pairs: got none, expected at least one pair of images to explain")
    across = min(across, len(pairs))
    lines = -(-len(pairs) // across)
    unit = 2 * CELL + _BARS + 0.35
    width, height = 2 * LEFT + across * unit, TOP + lines * (IMAGE + TEXT) + BOTTOM
    figure, page = new_page(width, height, title=title)
    longest = max(float(np.abs(pair.shares).max()) for pair in pairs) or 1.0
    for number, pair in enumerate(pairs):
        line, column = divmod(number, across)
        left, above = LEFT + column * unit, TOP + line * (IMAGE + TEXT)
        color = RIGHT if pair.match else WRONG
        draw_cell(page, pair.query, left=left, above=above, color=INK, lines=("query",))
        draw_cell(page, pair.found, left=left + CELL + _BARS, above=above, color=color, lines=pair.lines)
        _draw_bars(page, pair, left=left + CELL, above=above, longest=longest, color=color)
    note = "each bar: what that part adds to the cosine similarity; together they are the whole of it"
    figure.text(LEFT / width, 0.1 / height, note, fontsize=8.5, color=MUTED, va="bottom")
    return save(figure, path, vector=True)


def _draw_bars(page: Axes, pair: PartContributions, *, left: float, above: float, longest: float, color: str) -> None:
    """The bars of one pair, in inches of the page, each at the height of its stripe."""
    count = len(pair.shares)
    step = (IMAGE - PAD) / count
    zero, room = left + 0.62, _BARS - 1.12
    for part, (share, name) in enumerate(zip(pair.shares, pair.names, strict=True)):
        middle = above + PAD / 2 + (part + 0.5) * step
        page.barh(
            middle, room * max(float(share), 0.0) / longest, left=zero, height=0.62 * step, color=COLORS[part % 8]
        )
        page.text(zero - 0.05, middle, name, fontsize=7.5, color=MUTED, ha="right", va="center")
        end = zero + room * max(float(share), 0.0) / longest
        page.text(end + 0.04, middle, f"{share:.2f}", fontsize=8, color=INK, ha="left", va="center")
    words = f"similarity {float(np.sum(pair.shares)):.2f}"
    below = above + IMAGE
    page.text(left + _BARS / 2, below, words, fontsize=8.5, fontweight="bold", color=color, ha="center", va="top")


def plot_mosaic(images: NDArray[np.uint8], path: Path, *, title: str, across: int = 16) -> list[Path]:
    """Many images of one size, close together.

    Args:
        images: (N, H, W, 3) RGB, at least one.
        path: The PNG to write; the SVG goes beside it.
        title: What stands above.
        across: Images side by side.

    Raises:
        DataError: For no image.
    """
    if not len(images):
        raise DataError("images: got none, expected at least one to draw")
    count, rows, columns, _ = images.shape
    across = min(across, count)
    lines, gap = -(-count // across), 2
    sheet = np.full((lines * (rows + gap), across * (columns + gap), 3), 255, np.uint8)
    for number, image in enumerate(images):
        y, x = number // across * (rows + gap), number % across * (columns + gap)
        sheet[y : y + rows, x : x + columns] = image
    inner = max(5.0, 0.6 * across)
    tall = inner * sheet.shape[0] / sheet.shape[1]
    figure, page = new_page(inner + 2 * LEFT, TOP + tall + LEFT, title=title)
    page.imshow(sheet, interpolation="antialiased", aspect="auto", extent=(LEFT, LEFT + inner, TOP + tall, TOP))
    return save(figure, path, vector=True)
