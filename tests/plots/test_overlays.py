"""Overlays. Oracle: pixels whose color is known."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from passerby.plots.overlays import build_stripe_assignment, overlay_heat, overlay_parts
from passerby.plots.style import COLORS

GRAY = np.full((32, 16, 3), 128, np.uint8)


def test_heat_is_bright_where_it_is_highest():
    heat = np.zeros((8, 4))
    heat[1, 1] = 5.0
    overlay = overlay_heat(GRAY, heat).sum(axis=2).astype(int)
    assert np.unravel_index(overlay.argmax(), overlay.shape)[0] in range(3, 9)
    assert overlay.max() > 1.5 * overlay[-1, -1]
    np.testing.assert_array_equal(overlay_heat(GRAY, heat), overlay_heat(GRAY, 100 * heat))


def test_no_heat_leaves_a_dark_image():
    overlay = overlay_heat(GRAY, np.zeros((8, 4)))
    assert overlay.shape == GRAY.shape
    assert len(np.unique(overlay.reshape(-1, 3), axis=0)) == 1
    assert overlay.max() < 128


@pytest.mark.parametrize(("parts", "height"), [(2, 4), (3, 4), (6, 8), (4, 3)])
def test_stripes_sum_to_one_at_every_position(parts, height):
    overlay = build_stripe_assignment(parts, (height, 2))
    assert overlay.shape == (parts, height, 2)
    np.testing.assert_allclose(overlay.sum(axis=0), 1)
    assert (np.diff(overlay.argmax(axis=0)[:, 0]) >= 0).all()
    assert (overlay.max(axis=(1, 2)) > 0).all()


def test_a_position_has_the_color_of_its_part():
    overlay = overlay_parts(GRAY, build_stripe_assignment(2, (4, 2)))
    for row, part in ((0, 0), (-1, 1)):
        color = np.array(to_rgb(COLORS[part]))
        np.testing.assert_allclose(overlay[row, 0], 0.5 * 128 + 0.5 * 255 * color, atol=1)
    assert (overlay[:16] == overlay[0, 0]).all()


def test_the_color_is_weaker_where_the_probability_is_lower():
    uncertain = np.array([0.51, 0.49])[:, None, None] * np.ones((2, 4, 2))
    weak, strong = overlay_parts(GRAY, uncertain), overlay_parts(GRAY, np.round(uncertain))
    assert np.abs(weak.astype(int) - 128).max() < np.abs(strong.astype(int) - 128).max()
