"""Contact sheet of a data set: identities in rows, cameras in columns. Wrong ids and swapped cameras are visible."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from passerby.data.images import read_image
from passerby.errors import DataError
from passerby.text import plural
from passerby.types import DISTRACTOR, DataSet, Sample

TILE = (128, 64)
"""Height and width of one image in pixels."""
_GAP, _TOP, _LEFT, _LINE = 4, 46, 76, 16
_BACKGROUND, _TEXT, _EMPTY = "white", "#222222", "#eeeeee"

Split = Literal["train", "query", "gallery"]


def draw_contact_sheet(data: DataSet, *, split: Split = "train", identities: int = 8, images: int = 2) -> Image.Image:
    """Draw images of some identities of a split.

    Args:
        data: The data set.
        split: The split to draw. Distractors are left out.
        identities: Number of identities, spread evenly over the person ids; one row each.
        images: Images of each identity in each camera. `+3` marks three further images, a gray tile a missing one.

    Returns:
        An RGB image of 128 x 64 pixel tiles, about 360 x 1,100 pixels for 8 identities in 2 cameras. Cameras are
        numbered from 1.

    Raises:
        DataError: When the split is empty, or an image cannot be read.

    Example:
        >>> from passerby.data.datasets import load_data
        >>> draw_contact_sheet(load_data("market1501:people")[0], identities=2).size
        (356, 342)
    """
    samples = [sample for sample in getattr(data, split) if sample.person_id != DISTRACTOR]
    if not samples:
        raise DataError(f"{data.title}: the {split} split of {data.root} has no identity to show")
    person_ids = sorted({sample.person_id for sample in samples})
    shown = spread(person_ids, identities)
    cells: dict[tuple[int, int], list[Sample]] = defaultdict(list)
    for sample in samples:
        cells[sample.person_id, sample.camera_id].append(sample)
    cameras = sorted({camera for person, camera in cells if person in set(shown)})
    height, width = TILE
    column_width = images * (width + _GAP) + _GAP
    row_height = height + _LINE + _GAP
    font = ImageFont.load_default(12)
    title = f"{data.title}, {split}: {len(shown)} of {plural(len(person_ids), 'identity')}"
    sheet_width = max(_LEFT + len(cameras) * column_width, round(font.getlength(title)) + 2 * _GAP)
    sheet = Image.new("RGB", (sheet_width, _TOP + len(shown) * row_height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, _TEXT, font)
    for column, camera in enumerate(cameras):
        draw.text((_LEFT + column * column_width, _TOP - _LINE - _GAP), f"camera {camera + 1}", _TEXT, font)
    for row, person in enumerate(shown):
        y = _TOP + row * row_height
        draw.text((_GAP, y), f"person\n{person}", _TEXT, font)
        for column, camera in enumerate(cameras):
            _draw_cell(sheet, draw, (_LEFT + column * column_width, y), cells[person, camera], images)
    return sheet


def _draw_cell(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], samples: Sequence[Sample], images: int
) -> None:
    """Draw the images of one identity in one camera, side by side, and the number of further images."""
    (x, y), (height, width) = corner, TILE
    for index in range(images):
        left = x + index * (width + _GAP)
        if index < len(samples):
            sheet.paste(Image.fromarray(read_image(samples[index], size=TILE)), (left, y))
        else:
            draw.rectangle((left, y, left + width - 1, y + height - 1), fill=_EMPTY)
    if len(samples) > images:
        draw.text((x, y + height), f"+{len(samples) - images}", _TEXT, ImageFont.load_default(12))


def spread(values: Sequence[int], count: int) -> list[int]:
    """Return `count` of the values, evenly spaced, starting with the first; all values if there are not more."""
    if len(values) <= count:
        return list(values)
    return [values[index * len(values) // count] for index in range(count)]
