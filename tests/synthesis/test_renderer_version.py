"""The renderer's output changes only with its version. Oracle: golden images and parameters of each version.

When the output changes on purpose, increase RENDERER_VERSION, set PARAMETERS to the printed value and write the sheet:

    PYTHONPATH=src:tests python -m synthesis.test_renderer_version
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from passerby.synthesis.dataset import RENDERER_VERSION, SynthSettings, render_image, render_shard

GOLDEN = Path(__file__).parent / f"renderer-{RENDERER_VERSION}.png"
PARAMETERS = "fe2c7541ae83d4edee3b4e685f5d4649651b53dad973eadda73267d8d70da9ba"
SETTINGS = SynthSettings(identities=8, cameras=4, images=2, seed=3, height=32)
ADVICE = "the output of the renderer changed: increase RENDERER_VERSION, see the head of this file"


def sheet():
    """Two rows of eight crops: each identity in two cameras."""
    crops = [render_image(SETTINGS, i, (i + shift) % 4, 0).pixels for shift in (0, 1) for i in range(8)]
    return np.concatenate([np.concatenate(crops[row : row + 8], axis=1) for row in (0, 8)])


def parameters():
    """SHA-256 over the drawn parameters of a shard, rounded to six digits so that it is equal on all machines."""
    rows = []
    for name, columns, image in render_shard(SETTINGS, 0):
        row = {**columns, **asdict(image.pose), "box": list(image.box), "blur": image.blur}
        rows.append([name, {key: rounded(value) for key, value in row.items()}])
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def rounded(value):
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def test_parameters_change_only_with_the_version():
    assert parameters() == PARAMETERS, ADVICE


def test_pixels_change_only_with_the_version():
    """Tolerance: 1 % of the values may differ, as another processor may round a few of them to the other side."""
    assert GOLDEN.is_file(), ADVICE
    assert (sheet() != np.asarray(Image.open(GOLDEN))).mean() <= 0.01, ADVICE


if __name__ == "__main__":
    print(parameters())
    Image.fromarray(sheet()).save(GOLDEN, optimize=True)
