"""Development of an image: from linear light to the pixels of a camera. Compiled by numba."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from passerby.compiled import njit
from passerby.synthesis.cameras import Camera

_TONES = 4096
"""Steps of the tone curve."""
_MIDDLE_GRAY = 0.18
"""Mean linear light that a camera's exposure aims at."""


@njit(cache=True, nogil=True, error_model="numpy")
def _apply_tone(linear: Any, table: Any, gains: Any, saturation: Any) -> Any:
    """Apply white balance, tone curve and saturation to (H, W, 3) linear light; return uint8."""
    pixels = np.empty(linear.shape, dtype=np.uint8)
    last = len(table) - 1
    tone = np.empty(3, dtype=np.float32)
    for i in range(linear.shape[0]):
        for j in range(linear.shape[1]):
            for c in range(3):
                tone[c] = table[int(min(linear[i, j, c] * gains[c] * last, last))]
            gray = 0.299 * tone[0] + 0.587 * tone[1] + 0.114 * tone[2]
            for c in range(3):
                value = gray + saturation * (tone[c] - gray)
                pixels[i, j, c] = int(255.0 * min(max(value, 0.0), 1.0))
    return pixels


@njit(cache=True, nogil=True, error_model="numpy")
def _add_noise(pixels: Any, noise: Any, scale: Any) -> Any:
    noisy = np.empty(pixels.shape, dtype=np.uint8)
    for i in range(pixels.shape[0]):
        for j in range(pixels.shape[1]):
            for c in range(3):
                noisy[i, j, c] = int(min(max(pixels[i, j, c] + scale * noise[i, j, c], 0.0), 255.0))
    return noisy


@lru_cache(maxsize=4096)
def _tone_curve(haze: float, contrast: float, gamma: float) -> NDArray[np.float32]:
    """Return the camera's response to linear light from 0 to 1: (_TONES,) values from 0 to 1."""
    table = np.clip(np.linspace(0, 1, _TONES, dtype=np.float32) * (1 - haze) + 0.8 * haze, 0, 1)
    return np.asarray(np.clip(0.5 + contrast * (table ** (gamma / 2.2) - 0.5), 0, 1), dtype=np.float32)


def develop(
    linear: NDArray[np.float32], camera: Camera, rng: np.random.Generator, *, rows: float, blur: float
) -> NDArray[np.uint8]:
    """Convert linear light to pixels: tone, color, sensor resolution, blur, sharpening, noise, JPEG."""
    metered = (_MIDDLE_GRAY / max(float(linear.mean()), 0.01)) ** camera.metering
    gains = camera.gains * np.float32(metered * math.exp(rng.normal(0, 0.06)))
    table = _tone_curve(camera.haze, camera.contrast, camera.gamma)
    height, width = linear.shape[:2]
    image = Image.fromarray(_apply_tone(linear, table, gains.astype(np.float32), np.float32(camera.saturation)))
    own = min(1.0, rows / height)
    small = (max(8, round(width * own)), max(16, round(height * own)))
    if small != (width, height):
        image = image.resize(small, Image.Resampling.BOX)
    image = image.filter(ImageFilter.GaussianBlur(blur))
    if camera.sharpening > 0.05:
        percent = int(100 * camera.sharpening)
        image = image.filter(ImageFilter.UnsharpMask(radius=camera.halo, percent=percent, threshold=0))
    noise = rng.standard_normal((small[1], small[0], 3), dtype=np.float32)
    degraded = _add_noise(np.asarray(image), noise, np.float32(camera.noise * min(1.0, height / rows)))
    quality = int(np.clip(camera.quality + rng.integers(-8, 9), 20, 98))
    subsampling = "420" if camera.subsampled else "444"
    stored = simplejpeg.encode_jpeg(degraded, quality=quality, colorspace="RGB", colorsubsampling=subsampling)
    degraded = simplejpeg.decode_jpeg(stored, "RGB")
    if small != (width, height):
        degraded = np.asarray(Image.fromarray(degraded).resize((width, height), Image.Resampling.BICUBIC))
    return np.ascontiguousarray(degraded)
