"""Rows of crops and mosaics. Oracle: the size of the page, and the colors of the images that were given."""

import numpy as np
import pytest
from PIL import Image

from passerby.errors import DataError
from passerby.plots.crop_rows import CaptionedCrop, plot_crop_rows, plot_mosaic


def test_every_crop_is_on_the_page(tmp_path):
    colors = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
    crops = [CaptionedCrop(np.full((64, 32, 3), color, np.uint8), ("1: 0.1", "c1")) for color in colors]
    rows = [
        ("one", crops),
        (
            "two",
            [
                CaptionedCrop(np.full((64, 32, 3), (250, 250, 10), np.uint8), ("two",)),
                CaptionedCrop(None, ("none kept",)),
            ],
        ),
        ("three", crops * 4),
    ]
    (path,) = plot_crop_rows(rows, tmp_path / "p.png", title="People", across=5)
    with Image.open(path) as page:
        width, height = page.size
        pixels = np.array(page.convert("RGB")).reshape(-1, 3).astype(int)
    for color in (*colors, (250, 250, 10), (0xDD, 0xDD, 0xDD)):
        assert (np.abs(pixels - color).max(axis=1) <= 2).sum() > 2000, color
    assert width == pytest.approx(150 * (0.24 + 5 * 0.92), abs=2)
    assert height == pytest.approx(150 * (0.75 + 5 * 2.44), abs=2)  # lines: 1 + 1 + 3


def test_a_mosaic_holds_every_image(tmp_path):
    colors = np.random.default_rng(0).integers(0, 255, (5, 1, 1, 3)).astype(np.uint8)
    (path,) = plot_mosaic(np.broadcast_to(colors, (5, 32, 16, 3)), tmp_path / "m.png", title="batch", across=3)
    with Image.open(path) as page:
        pixels = np.array(page.convert("RGB")).reshape(-1, 3).astype(int)
    for color in colors.reshape(-1, 3):
        assert (np.abs(pixels - color).max(axis=1) <= 2).sum() > 5000


def test_nothing_to_plot_is_an_error(tmp_path):
    with pytest.raises(DataError, match="rows: got none"):
        plot_crop_rows([], tmp_path / "x.png", title="")
    with pytest.raises(DataError, match="images: got none"):
        plot_mosaic(np.empty((0, 4, 4, 3), np.uint8), tmp_path / "x.png", title="")
