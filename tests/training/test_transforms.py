"""Training transforms, one step at a time. Oracles: NumPy, and the definition of each step for every pixel."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from passerby.training.transforms import CameraResponse, RandomZoom, TransformSettings, build_training_transform

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OFF = TransformSettings(size=(32, 16), mean=MEAN, std=STD)
ALL = replace(OFF, flip=0.5, pad=4, erasing=(0.5, (0.02, 0.4), (0.3, 3.3)), jitter=(0.5, 0.2, 0.2, 0.2, 0.1))
ALL = replace(ALL, response=(0.5, 0.3, 0.1, 0.1, 0.3), zoom=(0.5, 0.2, 0.1))


def transform(**changes):
    return build_training_transform(replace(OFF, **changes))


@pytest.fixture
def image():
    torch.manual_seed(0)
    return torch.randint(0, 256, (3, 32, 16), dtype=torch.uint8)


def normalized(image):
    """The oracle: NumPy in double precision."""
    values = image.numpy().astype(np.float64) / 255
    return (values - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))


def erased_boxes(*, size=(64, 32), area=(0.02, 0.4), aspect=(0.3, 3.3), count=300):
    """(top, bottom, left, right) of what is not 0 after erasing an image whose normalized value is 0 everywhere."""
    erase = transform(size=size, erasing=(1.0, area, aspect), mean=(0.0,) * 3, std=(1.0,) * 3)
    black = torch.zeros(3, *size, dtype=torch.uint8)
    for _ in range(count):
        changed = erase(black).ne(0).any(0)
        rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
        assert changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()  # one full rectangle
        yield int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def test_with_every_step_off_only_normalization_is_left(image):
    result = transform()(image)
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), normalized(image), atol=1e-6)


def test_the_input_is_left_as_it_was(image):
    before = image.clone()
    transform(flip=1.0, pad=3, erasing=(1.0, (0.1, 0.4), (0.5, 2.0)), jitter=(1.0, 0.2, 0.2, 0.2, 0.1))(image)
    assert torch.equal(image, before)


def test_flip_mirrors_left_and_right(image):
    result = transform(flip=1.0)(image)
    np.testing.assert_allclose(result.numpy(), normalized(image)[:, :, ::-1], atol=1e-6)


def test_flip_happens_as_often_as_its_probability(image):
    """Binomial(400, 0.25): six standard deviations around 100 are 48 to 152."""
    flip = transform(flip=0.25)
    plain = transform()(image)
    flips = sum(not torch.equal(flip(image), plain) for _ in range(400))
    assert 48 < flips < 152


def test_pad_and_crop_is_a_window_of_the_image_with_a_black_border(image):
    """The oracle: one of the (2 * 4 + 1) ** 2 windows of the padded image."""
    crop = transform(pad=4)
    padded = np.pad(image.numpy(), ((0, 0), (4, 4), (4, 4)))
    windows = {padded[:, i : i + 32, j : j + 16].tobytes(): (i, j) for i in range(9) for j in range(9)}
    seen = set()
    for _ in range(60):
        back = crop(image).numpy() * np.reshape(STD, (3, 1, 1)) + np.reshape(MEAN, (3, 1, 1))
        seen.add(windows[np.rint(back * 255).astype(np.uint8).tobytes()])
    assert len(seen) > 20


def test_erased_rectangles_keep_to_the_ranges_of_area_and_aspect():
    """Area as a fraction of the image, aspect as height over width; rounding moves each side by half a pixel."""
    boxes = list(erased_boxes())
    for top, bottom, left, right in boxes:
        height, width = bottom - top, right - left
        assert (height - 0.5) * (width - 0.5) <= 0.4 * 64 * 32
        assert (height + 0.5) * (width + 0.5) >= 0.02 * 64 * 32
        assert (height + 0.5) / (width - 0.5) >= 0.3
        assert (height - 0.5) / (width + 0.5) <= 3.3
    assert len(boxes) == 300
    assert len(set(boxes)) > 250


def test_aspect_is_height_over_width():
    tall = list(erased_boxes(aspect=(2.5, 3.0), area=(0.05, 0.1), count=30))
    assert all(bottom - top > right - left for top, bottom, left, right in tall)


def test_erased_pixels_are_standard_normal_after_normalization(image):
    """40 % of the image in one square: its mean is 0, its deviation 1, and its channels differ."""
    erase = transform(size=(64, 64), erasing=(1.0, (0.4, 0.4), (1.0, 1.0)))
    big = image.repeat(1, 2, 4)
    plain = transform(size=(64, 64))(big)
    result = erase(big)
    changed = result.ne(plain).any(0)
    values = result[:, changed]
    assert 0.35 < changed.float().mean() < 0.45
    assert abs(float(values.mean())) < 0.1
    assert abs(float(values.std()) - 1) < 0.1
    assert (values[0] != values[1]).all()


def test_erasing_happens_as_often_as_its_probability(image):
    """Binomial(400, 0.5): six standard deviations around 200 are 140 to 260."""
    erase = transform(erasing=(0.5, (0.02, 0.4), (0.3, 3.3)))
    plain = transform()(image)
    assert 140 < sum(not torch.equal(erase(image), plain) for _ in range(400)) < 260


def test_jitter_changes_colors_but_not_places(image):
    image[:, :, :8], image[:, :, 8:] = 60, 180
    result = transform(jitter=(1.0, 0.4, 0.0, 0.0, 0.0))(image)
    back = result * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    left, right = back[:, :, :8], back[:, :, 8:]
    assert float(left.std()) < 1e-6 > float(right.std())
    assert float(right.mean() / left.mean()) == pytest.approx(3, rel=0.05)
    assert float(left.mean()) != pytest.approx(60 / 255, abs=1e-4)


def test_a_camera_response_is_a_power_and_a_factor_for_each_channel():
    """Oracle: the definition, with exponent and factors solved from two gray values and checked on all others."""
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16).repeat(3, 1, 1)
    gains = set()
    for _ in range(20):
        result = CameraResponse(1.0, 0.4, 0.2)(ramp)
        assert result.dtype == torch.uint8
        values = result.double().reshape(3, 256)
        exponent = (values[0, 160] / values[0, 80]).log2()
        assert math.exp(-0.4) - 0.05 < exponent < math.exp(0.4) + 0.05
        for channel in values:
            gain = channel[160] / 255 / (160 / 255) ** exponent
            assert math.exp(-0.2) - 0.03 < gain < math.exp(0.2) + 0.03
            expected = (255 * gain * (torch.arange(256) / 255) ** exponent).clamp(max=255)
            assert (channel - expected).abs().max() < 3
            gains.add(round(float(gain), 3))
    assert len(gains) > 50


def test_a_camera_response_happens_as_often_as_its_probability(image):
    """Binomial(400, 0.25): six standard deviations around 100 are 48 to 152."""
    respond = CameraResponse(0.25, 0.3, 0.1)
    assert 48 < sum(not torch.equal(respond(image), image) for _ in range(400)) < 152


def test_a_lifted_black_level_compresses_all_values():
    """Oracle: b + (1 - b) v with b from the value of black, which is uniform from 0 to 0.2."""
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16).repeat(3, 1, 1)
    levels = []
    for _ in range(100):
        values = CameraResponse(1.0, 0.0, 0.0, lift=0.2)(ramp).double().reshape(3, 256)
        black = float(values[0, 0])
        expected = black + (1 - black / 255) * torch.arange(256)
        assert (values - expected).abs().max() <= 1
        levels.append(black / 255)
    assert 0 <= min(levels) < 0.03
    assert 0.17 < max(levels) <= 0.2 + 1 / 255


def test_faded_colors_keep_their_luminance():
    """Oracle: luminance 0.299 R + 0.587 G + 0.114 B, and one factor from 0.4 to 1 for the distances to it."""
    color = torch.tensor([200.0, 90.0, 30.0])
    luminance = float(color @ torch.tensor([0.299, 0.587, 0.114]))
    image = color.to(torch.uint8).reshape(3, 1, 1).repeat(1, 8, 8)
    factors = []
    for _ in range(100):
        faded = CameraResponse(1.0, 0.0, 0.0, fade=0.6)(image).double()[:, 0, 0]
        ratios = (faded - luminance) / (color - luminance)
        assert float(ratios.max() - ratios.min()) < 0.05
        factors.append(float(ratios[0]))
    assert 0.38 < min(factors) < 0.5
    assert 0.9 < max(factors) < 1.02


def test_a_zoom_changes_the_height_and_the_width_of_what_is_in_the_image():
    """Oracle: a white rectangle of 80 x 24 pixels in the middle of black; its sides are counted before and after."""
    image = torch.zeros(3, 128, 64, dtype=torch.uint8)
    image[:, 24:104, 20:44] = 255
    heights, ratios = [], []
    for _ in range(200):
        result = RandomZoom(1.0, 0.2, 0.1)(image)
        assert result.dtype == torch.uint8
        assert result.shape == image.shape
        white = result[0].double() / 255
        rows, columns = white.sum(0).max(), white.sum(1).max()
        middle = (white.sum(1) * torch.arange(128)).sum() / white.sum()
        assert abs(float(middle) - 63.5) < 1
        heights.append(float(rows) / 80)
        ratios.append(float(rows / columns) / (80 / 24))
    for values, limit in ((heights, 0.25), (ratios, 0.1)):
        logarithms = np.log(values)
        assert -limit - 0.03 < logarithms.min() < -0.8 * limit
        assert 0.8 * limit < logarithms.max() < limit + 0.03


def test_a_smaller_image_repeats_its_border():
    """Oracle: an image of one color keeps it at every size."""
    image = torch.full((3, 128, 64), 77, dtype=torch.uint8)
    assert all(torch.equal(RandomZoom(1.0, 0.5, 0.5)(image), image) for _ in range(50))


def test_a_zoom_happens_as_often_as_its_probability(image):
    """Binomial(400, 0.25): six standard deviations around 100 are 48 to 152."""
    zoom = RandomZoom(0.25, 0.3, 0.1)
    assert 48 < sum(not torch.equal(zoom(image), image) for _ in range(400)) < 152


def test_the_same_seed_gives_the_same_pixels(image):
    augment = build_training_transform(ALL)
    result = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        result.append(augment(image))
    assert torch.equal(result[0], result[1])
    assert not torch.equal(result[0], result[2])
