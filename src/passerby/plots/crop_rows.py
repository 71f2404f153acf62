"""Rows of crops with captions, and a mosaic of images without captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from passerby.plots.cells import BOTTOM, CELL, IMAGE, LEFT, TEXT, TOP, Pixels, draw_cell, new_page
from passerby.plots.style import GRID, INK, PlotPath, require_any, rgb, save

_HEAD = 0.28  # inches: height of a row's heading
_NARROWEST = 3  # cells that a heading takes
_MOSAIC_GAP = 2  # pixels
_NO_IMAGE = np.full((128, 64, 3), rgb(GRID), np.uint8)


@dataclass(frozen=True)
class CaptionedCrop:
    """A crop with its caption.

    Attributes:
        image: (H, W, 3) RGB; None for a gray box, where the gallery kept no image.
        lines: Caption, at most three short lines; the first is bold.
        color: Color of the box and of the first line.
    """

    image: Pixels | None
    lines: tuple[str, ...]
    color: str = INK


def plot_crop_rows(
    rows: Sequence[tuple[str, Sequence[CaptionedCrop]]],
    path: PlotPath,
    *,
    title: str,
    across: int = 10,
    note: str = "",
) -> list[Path]:
    """Plot rows of crops, each below its heading.

    Short rows are placed side by side. A row with more than `across` crops continues on the next line.

    Args:
        rows: (heading, crops) from the top; headings may be empty.
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        title: Title of the plot.
        across: Crops side by side.
        note: Text below the plot.

    Returns:
        The files written.

    Raises:
        DataError: When `rows` is empty.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> crop = CaptionedCrop(np.full((128, 64, 3), 128, np.uint8), ("query", "camera 1"))
        >>> [file.name for file in plot_crop_rows([("one crop", [crop])], Path("rows.png"), title="Crops")]
        ['rows.png']
    """
    require_any(rows, "rows")
    head = _HEAD if any(heading for heading, _ in rows) else 0.0
    narrowest = min(_NARROWEST, across) if head else 1
    starts, columns, lines = _arrange([max(len(crops), narrowest) for _, crops in rows], across)
    step = head + IMAGE + TEXT
    figure, page = new_page(2 * LEFT + max(columns, 5) * CELL, TOP + lines * step + BOTTOM, title=title, note=note)
    for (heading, crops), (line, column) in zip(rows, starts, strict=True):
        top, left = TOP + line * step, LEFT + column * CELL
        page.text(left, top + head / 2, heading, fontsize=9.5, color=INK, fontweight="bold", va="center")
        for number, crop in enumerate(crops):
            down, right = divmod(column + number, across)
            draw_cell(
                page,
                _NO_IMAGE if crop.image is None else crop.image,
                left=LEFT + right * CELL,
                top=top + head + down * step,
                color=crop.color,
                lines=crop.lines,
            )
    return save(figure, path)


def plot_mosaic(images: Pixels, path: PlotPath, *, title: str, across: int = 16) -> list[Path]:
    """Plot many images of one size, close together.

    Args:
        images: (N, H, W, 3) RGB, at least one.
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        title: Title of the plot.
        across: Images side by side.

    Returns:
        The files written.

    Raises:
        DataError: When `images` is empty.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> images = np.full((4, 64, 32, 3), 128, np.uint8)
        >>> [file.name for file in plot_mosaic(images, Path("mosaic.png"), title="Four images")]
        ['mosaic.png']
    """
    require_any(images, "images")
    count, rows, columns, _ = images.shape
    across = min(across, count)
    lines = -(-count // across)
    sheet = np.full((lines * (rows + _MOSAIC_GAP), across * (columns + _MOSAIC_GAP), 3), 255, np.uint8)
    for number, image in enumerate(images):
        y, x = number // across * (rows + _MOSAIC_GAP), number % across * (columns + _MOSAIC_GAP)
        sheet[y : y + rows, x : x + columns] = image
    width = max(5.0, 0.6 * across)
    height = width * sheet.shape[0] / sheet.shape[1]
    figure, page = new_page(width + 2 * LEFT, TOP + height + LEFT, title=title)
    page.imshow(sheet, interpolation="antialiased", aspect="auto", extent=(LEFT, LEFT + width, TOP + height, TOP))
    return save(figure, path)


def _arrange(counts: Sequence[int], across: int) -> tuple[list[tuple[int, int]], int, int]:
    """Return the (line, column) where each row starts, the number of columns and of lines."""
    starts: list[tuple[int, int]] = []
    line = column = columns = 0
    for needed in counts:
        if column and column + needed > across:
            line, column = line + 1, 0
        starts.append((line, column))
        columns = max(columns, min(column + needed, across))
        line, column = (line, column + needed) if needed < across else (line + -(-needed // across), 0)
    return starts, columns, line + bool(column)
