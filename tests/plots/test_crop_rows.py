"""Pictures of people. Oracle: the size of the page, and the colors that were put on it."""

import io

import numpy as np
import pytest
from PIL import Image

from passerby.errors import DataError
from passerby.plots.crop_rows import CaptionedCrop, plot_crop_rows


def test_every_crop_is_on_the_page(tmp_path):
    colors = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
    crops = [CaptionedCrop(np.full((64, 32, 3), color, np.uint8), ("1: 0.1", "c1")) for color in colors]
    out = io.BytesIO()
    Image.fromarray(np.full((64, 32, 3), (250, 250, 10), np.uint8)).save(out, "PNG")
    rows = [
        ("one", crops),
        ("two", [CaptionedCrop(out.getvalue(), ("encoded",)), CaptionedCrop(None, ("none kept",))]),
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


def test_nobody_is_an_error(tmp_path):
    with pytest.raises(DataError, match="people: nobody to draw"):
        plot_crop_rows([], tmp_path / "p.png", title="")
