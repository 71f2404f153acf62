"""The layer of tones. Oracles: its definition in NumPy; images of one scene behind different haze."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from passerby.errors import RecipeError
from passerby.model.convnext_ap import convnext_ap
from passerby.model.heatmaps import activation_maps
from passerby.model.tones import MEAN, STD, Tones
from passerby.recipe.sections import ImageSettings

SHIFT, SCALE = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (MEAN, STD))


def apply(layer, values):
    """Values from 0 to 1 in and out of a layer that takes normalized images."""
    return layer(torch.from_numpy((values - SHIFT) / SCALE)).numpy() * SCALE + SHIFT


def scene(seed=0, size=(16, 8)):
    """Blocks of 4 x 4 pixels of one color, (2, 3, H, W): the quantile of the blocks is that of the pixels."""
    colors = np.random.default_rng(seed).random((2, 3, size[0] // 4, size[1] // 4), np.float32)
    return colors.repeat(4, axis=2).repeat(4, axis=3)


def test_the_layer_is_its_definition():
    values = scene()
    luminance = np.einsum("bchw,c->bhw", values, [0.299, 0.587, 0.114]).reshape(2, -1)
    black = np.minimum(np.sort(luminance)[:, : 16 * 2][:, -1], 0.5).reshape(2, 1, 1, 1)  # 2 of the 8 blocks
    expected = np.clip((values - black) / (1 - black), 1e-4, 1) ** 0.7
    np.testing.assert_allclose(apply(Tones(black=0.25, gamma=0.7), values), expected, atol=1e-5)
    np.testing.assert_allclose(apply(Tones(black=0, gamma=2), values), np.maximum(values, 1e-4) ** 2, atol=1e-5)


@given(haze=st.floats(0, 0.4), seed=st.integers(0, 99))
def test_haze_makes_no_difference(haze, seed):
    """Oracle: the image without haze. Its darkest block is black, so that the black point is the haze."""
    values = scene(seed) * 0.5 + 0.2
    values[:, :, :4, :4] = 0
    layer = Tones(black=0.01, gamma=0.8)
    np.testing.assert_allclose(apply(layer, haze + (1 - np.float32(haze)) * values), apply(layer, values), atol=2e-3)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_image_of_one_value_stays_finite(value):
    found = apply(Tones(black=0.05, gamma=0.7), np.full((1, 3, 9, 5), value, np.float32))
    assert np.isfinite(found).all()
    assert found.min() >= -1e-6


def test_the_normalization_is_that_of_recipes():
    assert (ImageSettings().mean, ImageSettings().std) == (MEAN, STD)


def test_the_type_of_the_images_is_kept():
    for dtype in (torch.float64, torch.bfloat16):
        assert Tones(black=0.05, gamma=0.7)(torch.zeros(1, 3, 8, 8, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"black": 1.0, "gamma": 1.0}, "model.tone_black: got 1.0, expected 0 to below 1"),
        ({"black": 0.0, "gamma": 0.0}, "model.tone_gamma: got 0.0, expected above 0"),
    ],
)
def test_an_impossible_value_is_named(options, message):
    with pytest.raises(RecipeError, match=message):
        Tones(**options)


def test_the_network_and_its_heat_maps_see_the_changed_tones():
    """Oracle: the same weights without the layer, given images that went through the layer before."""
    options = {"backbone": "test_convnext", "parts": 2, "part_dim": 8, "refine": False}
    plain, evened = convnext_ap(**options).eval(), convnext_ap(**options, tone_black=0.05, tone_gamma=0.7).eval()
    evened.load_state_dict(plain.state_dict())  # the layer adds no tensor
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    changed = Tones(black=0.05, gamma=0.7)(images)
    torch.testing.assert_close(evened(images).embedding, plain(changed).embedding)
    np.testing.assert_allclose(activation_maps(evened, images), activation_maps(plain, changed), rtol=1e-5)
    assert not torch.allclose(evened(images).embedding, plain(images).embedding)
