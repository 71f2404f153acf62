"""Visibility of people in crops. Oracles: the body estimator in PyTorch, and the renderer's visible joints."""

import numpy as np
import pytest

from passerby.data.images import resize_image
from passerby.errors import DataError
from passerby.runtime.visibility import measure_visibility
from passerby.synthesis.dataset import SynthSettings, render_image
from programs import require_module

SETTINGS = SynthSettings(identities=100, cameras=50, seed=404)


@pytest.fixture(scope="module")
def crops():
    return [render_image(SETTINGS, number, number % 50, 0).pixels for number in range(70)]


def test_it_is_the_mean_score_of_the_key_points(crops):
    torch = require_module("torch")
    from passerby.model.body_estimator import load_body_estimator

    larger = [resize_image(crops[0], (200, 90)), *crops[1:]]
    pixels = np.stack([resize_image(crop, (128, 64)) for crop in larger])
    with torch.inference_mode():
        _, scores = load_body_estimator()(torch.from_numpy(pixels).permute(0, 3, 1, 2)).points()
    np.testing.assert_allclose(measure_visibility(larger), scores.mean(dim=1), atol=1e-5)


def test_it_is_lower_for_half_a_person_and_for_none(crops):
    whole = measure_visibility(crops)
    upper = measure_visibility([crop[:64] for crop in crops])
    assert np.mean(upper < whole) > 0.9
    noise = np.random.default_rng(0).integers(0, 256, (20, 128, 64, 3), dtype=np.uint8)
    assert measure_visibility(list(noise)).max() < np.median(whole) / 2
    assert measure_visibility([]).shape == (0,)


@pytest.mark.parametrize("crop", [np.zeros((4, 4), np.uint8), np.zeros((4, 0, 3), np.uint8), np.zeros((4, 4, 3))])
def test_other_arrays_are_refused(crop):
    with pytest.raises(DataError, match=r"crops: 1: got .*, expected uint8 \(H, W, 3\)"):
        measure_visibility([np.zeros((4, 4, 3), np.uint8), crop])
