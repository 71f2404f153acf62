"""Contact sheets. Oracle: images of one color, located in the sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from passerby.data.contact_sheet import draw_contact_sheet, spread
from passerby.errors import DataError
from passerby.types import DataSet, Sample

RED, GREEN, BLUE = (250, 0, 0), (0, 250, 0), (0, 0, 250)


def sample(folder: Path, name: str, color: tuple[int, int, int], person: int, camera: int) -> Sample:
    path = folder / f"{name}.png"
    Image.new("RGB", (20, 40), color).save(path)
    return Sample(path, person, camera)


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    train = (
        sample(tmp_path, "a", RED, 5, 0),
        sample(tmp_path, "b", GREEN, 5, 2),
        sample(tmp_path, "c", GREEN, 5, 2),
        sample(tmp_path, "d", GREEN, 5, 2),
        sample(tmp_path, "e", BLUE, 9, 2),
    )
    return DataSet("mini", tmp_path, f"mini:{tmp_path}", train, (), (Sample(train[0].path, 0, 0),))


def tiles(sheet: Image.Image, color: tuple[int, int, int]) -> set[tuple[int, int]]:
    """Return the corners (x, y) of the complete 128 x 64 tiles of a color; letters have single gray pixels."""
    is_color = (np.asarray(sheet) == color).all(axis=2)
    return {
        (int(x), int(y))
        for y, x in np.argwhere(is_color)
        if not is_color[y - 1, x] and not is_color[y, x - 1] and is_color[y : y + 128, x : x + 64].sum() == 128 * 64
    }


def test_identities_are_rows_and_cameras_are_columns(data: DataSet) -> None:
    sheet = draw_contact_sheet(data, images=2)
    ((red_x, red_y),) = tiles(sheet, RED)
    green = sorted(tiles(sheet, GREEN))
    ((blue_x, blue_y),) = tiles(sheet, BLUE)
    assert [y for _, y in green] == [red_y, red_y]
    assert blue_x == green[0][0] > red_x
    assert blue_y > red_y + 128
    assert green[1][0] - green[0][0] == 64 + 4
    assert (np.asarray(sheet)[red_y : red_y + 128, red_x : red_x + 64] == RED).all()


def test_missing_images_are_gray_and_a_long_title_fits(data: DataSet) -> None:
    gray = tiles(draw_contact_sheet(data, identities=1, images=4), (0xEE, 0xEE, 0xEE))
    assert len(gray) == 3 + 1  # three of four tiles of camera 1, one of camera 3
    narrow = draw_contact_sheet(data, identities=1, images=1)
    assert narrow.width >= 150


def test_a_split_without_identities_is_refused(data: DataSet) -> None:
    for split in ("query", "gallery"):  # no image; only a distractor
        with pytest.raises(DataError, match=f"the {split} split of .* has no identity to show"):
            draw_contact_sheet(data, split=split)


def test_a_damaged_image_is_named(data: DataSet) -> None:
    data.train[0].path.write_bytes(b"")
    with pytest.raises(DataError, match=r"a.png: the file is empty"):
        draw_contact_sheet(data)


@given(st.sets(st.integers(1, 500), min_size=1), st.integers(1, 30))
def test_spread_returns_distinct_values_in_order_with_the_first(values: set[int], count: int) -> None:
    ordered = sorted(values)
    selected = spread(ordered, count)
    assert selected == sorted(set(selected))
    assert len(selected) == min(count, len(ordered))
    assert selected[0] == ordered[0]
    assert set(selected) <= values
