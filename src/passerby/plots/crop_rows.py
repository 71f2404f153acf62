"""People that a gallery found, as a picture: rows of crops with a few words under each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.errors import DataError
from passerby.plots.cells import BOTTOM, CELL, IMAGE, LEFT, TEXT, TOP, draw_cell, new_page
from passerby.plots.style import GRID, INK, MUTED, save

_HEAD = 0.28  # inches: a row's heading
_NARROWEST = 3  # cells that a heading takes


@dataclass(frozen=True)
class CaptionedCrop:
    """One crop of a picture.

    Attributes:
        picture: Encoded image, or (H, W, 3) RGB; None where only vectors were kept: an empty box stands for it.
        lines: What stands under it, at most three short lines; the first is bold.
        color: Of the box and the first line.
    """

    picture: bytes | NDArray[np.uint8] | None
    lines: tuple[str, ...]
    color: str = INK


def plot_crop_rows(
    rows: Sequence[tuple[str, Sequence[CaptionedCrop]]],
    path: Path,
    *,
    title: str,
    across: int = 10,
    note: str = "",
    vector: bool = False,
) -> list[Path]:
    """Draw rows of crops, each under its heading; short ones stand side by side, long ones go on in the next line.

    Args:
        rows: (heading, crops) from above; headings may all be empty.
        path: The PNG to write.
        title: What stands above.
        across: Crops side by side.
        note: What stands below.
        vector: Write an SVG beside it.

    Returns:
        The files.

    Raises:
        DataError: For no rows.
    """
    if not rows:
        raise DataError("people: nobody to draw")
    placed, used, lines = _places([len(crops) for _, crops in rows], across)
    head = _HEAD if any(heading for heading, _ in rows) else 0.0
    width = 2 * LEFT + max(used, 5) * CELL
    height = TOP + lines * (head + IMAGE + TEXT) + BOTTOM
    figure, page = new_page(width, height, title=title)
    for (heading, crops), (line, column) in zip(rows, placed, strict=True):
        top = TOP + line * (head + IMAGE + TEXT)
        left = LEFT + column * CELL
        page.text(left, top + head / 2, heading, fontsize=9.5, color=INK, fontweight="bold", va="center")
        for place, shown in enumerate(crops):
            below, right = divmod(column + place, across)
            draw_cell(
                page,
                _pixels(shown.picture),
                left=LEFT + right * CELL,
                above=top + head + below * (head + IMAGE + TEXT),
                color=shown.color,
                lines=shown.lines,
            )
    figure.text(LEFT / width, 0.1 / height, note, fontsize=8.5, color=MUTED, va="bottom")
    return save(figure, path, vector=vector)


def _places(counts: Sequence[int], across: int) -> tuple[list[tuple[int, int]], int, int]:
    """(line, column) where each row begins, columns used, lines used: short rows stand side by side."""
    placed: list[tuple[int, int]] = []
    line = column = used = 0
    for count in counts:
        needed = max(count, min(_NARROWEST, across))
        if column and column + needed > across:
            line, column = line + 1, 0
        placed.append((line, column))
        used = max(used, min(column + needed, across))
        line, column = (line, column + needed) if needed < across else (line + -(-needed // across), 0)
    return placed, used, line + bool(column)


def _pixels(picture: bytes | NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    if picture is None:
        gray = tuple(int(GRID[i : i + 2], 16) for i in (1, 3, 5))
        return np.full((128, 64, 3), gray, np.uint8)
    if isinstance(picture, bytes):
        with Image.open(BytesIO(picture)) as image:
            return np.array(image.convert("RGB"))
    return picture
