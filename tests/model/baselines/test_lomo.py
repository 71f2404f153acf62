"""LOMO. Oracles: the published width, colorsys, and loops over pixels and windows."""

import colorsys

import numpy as np
import pytest
import torch

from passerby.errors import RecipeError
from passerby.model.baselines.lomo import WIDTH, Lomo, color_bins, count_maximal, lomo, texture_bins


def test_the_descriptor_has_the_published_width_and_two_unit_vectors():
    generator = torch.Generator().manual_seed(0)
    vectors = Lomo().forward_features(torch.rand(2, 3, 128, 64, generator=generator))[:, :, 0, 0]
    assert vectors.shape == (2, WIDTH) == (2, 26960)
    colors = 512 * (24 + 11 + 5)
    assert vectors[:, :colors].norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert vectors[:, colors:].norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_color_bins_are_those_of_colorsys():
    pixels = np.random.default_rng(0).integers(0, 256, size=(40, 3)) / 255
    pixels[:3] = [[0, 0, 0], [1, 1, 1], [1, 0, 0]]
    expected = []
    for red, green, blue in pixels:
        parts = [min(int(part * 8), 7) for part in colorsys.rgb_to_hsv(red, green, blue)]
        expected.append((parts[0] * 8 + parts[1]) * 8 + parts[2])
    image = torch.tensor(pixels).reshape(1, 40, 1, 3).permute(0, 3, 1, 2)
    assert color_bins(image).flatten().tolist() == expected


@pytest.mark.parametrize("radius", [1, 3])
def test_texture_bins_compare_four_neighbors(radius):
    gray = torch.rand(1, 7, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    codes = texture_bins(gray, radius)
    for row in range(7):
        for column in range(6):
            center, code = gray[0, row, column], 0
            for power, (down, right) in enumerate(((0, 1), (-1, 0), (0, -1), (1, 0))):
                y, x = min(max(row + radius * down, 0), 6), min(max(column + radius * right, 0), 5)
                code += (1 if gray[0, y, x] > 1.3 * center else 2 if gray[0, y, x] < 0.7 * center else 0) * 3**power
            assert codes[0, row, column] == code


def test_counts_are_the_largest_of_each_row_of_windows():
    numbers = torch.randint(0, 5, (2, 21, 16), generator=torch.Generator().manual_seed(2))
    counts = count_maximal(numbers, 5)
    assert counts.shape == (2, 3, 5)
    for image in range(2):
        for row in range(3):
            for number in range(5):
                windows = [numbers[image, 5 * row : 5 * row + 10, left : left + 10] for left in (0, 5)]
                assert counts[image, row, number] == max((window == number).sum() for window in windows)


def test_other_options_are_refused():
    with pytest.raises(RecipeError, match=r"model.backbone: got 'resnet50', expected lomo"):
        lomo("resnet50")
    with pytest.raises(RecipeError, match="pretrained"):
        lomo(pretrained=True)
    assert lomo(part_dim=16).embedding_width == 16
