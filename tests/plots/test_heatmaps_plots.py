"""What is drawn over images. Oracle: pixels whose color is known, and the words of the page."""

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from passerby.errors import DataError
from passerby.plots.heatmaps import (
    PartContributions,
    overlay_heat,
    overlay_parts,
    plot_mosaic,
    plot_part_contributions,
    stripe_assignment,
)
from passerby.plots.style import COLORS

GRAY = np.full((32, 16, 3), 128, np.uint8)


def test_heat_is_bright_where_it_is_highest():
    heat = np.zeros((8, 4))
    heat[1, 1] = 5.0
    found = overlay_heat(GRAY, heat).sum(axis=2).astype(int)
    assert np.unravel_index(found.argmax(), found.shape)[0] in range(3, 9)
    assert found.max() > 1.5 * found[-1, -1]
    np.testing.assert_array_equal(overlay_heat(GRAY, heat), overlay_heat(GRAY, 100 * heat))


def test_no_heat_leaves_a_dark_image():
    found = overlay_heat(GRAY, np.zeros((8, 4)))
    assert found.shape == GRAY.shape
    assert len(np.unique(found.reshape(-1, 3), axis=0)) == 1
    assert found.max() < 128


@pytest.mark.parametrize(("parts", "height"), [(2, 4), (3, 4), (6, 8), (4, 3)])
def test_stripes_are_shares_of_every_place(parts, height):
    found = stripe_assignment(parts, (height, 2))
    assert found.shape == (parts, height, 2)
    np.testing.assert_allclose(found.sum(axis=0), 1)
    assert (np.diff(found.argmax(axis=0)[:, 0]) >= 0).all()
    assert (found.max(axis=(1, 2)) > 0).all()


def test_a_place_has_the_color_of_its_part():
    found = overlay_parts(GRAY, stripe_assignment(2, (4, 2)))
    for row, part in ((0, 0), (-1, 1)):
        color = np.array(mpl.colors.to_rgb(COLORS[part]))
        np.testing.assert_allclose(found[row, 0], 0.5 * 128 + 0.5 * 255 * color, atol=1)
    assert (found[:16] == found[0, 0]).all()


def test_an_unsure_place_keeps_more_of_the_image():
    unsure = np.array([0.51, 0.49])[:, None, None] * np.ones((2, 4, 2))
    weak, strong = overlay_parts(GRAY, unsure), overlay_parts(GRAY, np.round(unsure))
    assert np.abs(weak.astype(int) - 128).max() < np.abs(strong.astype(int) - 128).max()


def test_bars_are_as_long_as_their_shares(drawn, tmp_path):
    shares = np.array([0.4, 0.2, -0.1])
    pair = PartContributions(GRAY, GRAY, shares, True, ("found", "camera 2"), ("part 1", "part 2", "whole"))
    written = plot_part_contributions([pair], tmp_path / "s.png", title="why")
    assert [path.suffix for path in written] == [".png", ".svg"]
    (page,) = drawn[0].axes
    bars = [patch.get_width() for patch in page.patches if patch.get_facecolor()[3] > 0 and patch.get_linewidth() < 2]
    assert bars[0] == pytest.approx(2 * bars[1])
    assert bars[2] == 0
    written_words = [text.get_text() for text in page.texts]
    assert {"0.40", "0.20", "-0.10", "similarity 0.50", "part 1", "whole", "found"} <= set(written_words)


def test_a_mosaic_holds_every_image(tmp_path):
    colors = np.random.default_rng(0).integers(0, 255, (5, 1, 1, 3)).astype(np.uint8)
    path, _ = plot_mosaic(np.broadcast_to(colors, (5, 32, 16, 3)), tmp_path / "m.png", title="batch", across=3)
    with Image.open(path) as picture:
        pixels = np.array(picture.convert("RGB")).reshape(-1, 3).astype(int)
    for color in colors.reshape(-1, 3):
        assert (np.abs(pixels - color).max(axis=1) <= 2).sum() > 5000


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(DataError, match="pairs: got none"):
        plot_part_contributions([], tmp_path / "x.png", title="")
    with pytest.raises(DataError, match="images: got none"):
        plot_mosaic(np.empty((0, 4, 4, 3), np.uint8), tmp_path / "x.png", title="")
