"""A data set at a glance: people down, cameras across, so that a wrong id or a swapped camera meets the eye."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from passerby.data.images import read_image
from passerby.errors import DataError
from passerby.types import DISTRACTOR, DataSet, Sample

TILE = (128, 64)
"""Height and width of one image in pixels."""
_GAP, _TOP, _LEFT, _LINE = 4, 46, 76, 16
_PAPER, _INK, _EMPTY = "white", "#222222", "#eeeeee"

Split = Literal["train", "query", "gallery"]


def contact_sheet(data: DataSet, *, split: Split = "train", people: int = 8, per_camera: int = 2) -> Image.Image:
    """Draw some people of a split, a row each, with a column for each camera.

    `people` identities are taken, spread evenly over the person ids, and up to `per_camera` images of each in each
    camera; `+3` says that three more are not shown, a gray field that there is none. Cameras are numbered from 1, as
    most data sets write them. Distractors are left out.

    Returns:
        An RGB picture; (128 x 64)-pixel tiles, so 8 people in 2 cameras are about 360 x 1,100 pixels.

    Raises:
        DataError: When the split is empty, or an image cannot be read.
    """
    samples = [sample for sample in getattr(data, split) if sample.person_id != DISTRACTOR]
    if not samples:
        raise DataError(f"{data.title}: the {split} split of {data.root} holds no person to show")
    chosen = spread(sorted({sample.person_id for sample in samples}), people)
    cells: dict[tuple[int, int], list[Sample]] = defaultdict(list)
    for sample in samples:
        cells[sample.person_id, sample.camera_id].append(sample)
    cameras = sorted({camera for person, camera in cells if person in set(chosen)})
    height, width = TILE
    column = per_camera * (width + _GAP) + _GAP
    row = height + _LINE + _GAP
    font = ImageFont.load_default(12)
    title = f"{data.title}, {split}: {len(chosen)} people of {_count(samples)}"
    across_all = max(_LEFT + len(cameras) * column, round(font.getlength(title)) + 2 * _GAP)
    sheet = Image.new("RGB", (across_all, _TOP + len(chosen) * row), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, _INK, font)
    for across, camera in enumerate(cameras):
        draw.text((_LEFT + across * column, _TOP - _LINE - _GAP), f"camera {camera + 1}", _INK, font)
    for down, person in enumerate(chosen):
        y = _TOP + down * row
        draw.text((_GAP, y), f"person\n{person}", _INK, font)
        for across, camera in enumerate(cameras):
            _draw_cell(sheet, draw, (_LEFT + across * column, y), cells[person, camera], per_camera)
    return sheet


def _draw_cell(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], samples: Sequence[Sample], places: int
) -> None:
    """The images of one person in one camera, side by side, and how many there are more."""
    (x, y), (height, width) = corner, TILE
    for place in range(places):
        left = x + place * (width + _GAP)
        if place < len(samples):
            sheet.paste(Image.fromarray(read_image(samples[place], size=TILE)), (left, y))
        else:
            draw.rectangle((left, y, left + width - 1, y + height - 1), fill=_EMPTY)
    if len(samples) > places:
        draw.text((x, y + height), f"+{len(samples) - places}", _INK, ImageFont.load_default(12))


def spread(values: Sequence[int], count: int) -> list[int]:
    """`count` of the values, evenly spaced, the first among them; all when there are not more."""
    if len(values) <= count:
        return list(values)
    return [values[place * len(values) // count] for place in range(count)]


def _count(samples: Sequence[Sample]) -> int:
    return len({sample.person_id for sample in samples})
