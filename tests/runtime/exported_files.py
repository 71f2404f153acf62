"""Files as `passerby model export` writes them, for tests."""

import json

import numpy as np

from passerby.runtime.model_manifest import MANIFEST_FORMAT
from programs import require_module
from runtime.small_networks import save_color_map

SIZE = (64, 32)
MEAN, STD = (0.5, 0.25, 0.125), (0.25, 0.5, 1.0)
METADATA = {
    "format": 1,
    "manifest": {
        "format": MANIFEST_FORMAT,
        "model": {"backbone": "colors"},
        "preprocessing": {"size": SIZE, "mean": MEAN, "std": STD},
        "identities": 3,
    },
    "weights": "0" * 64,
    "precision": "fp32",
    "flip": False,
    "certificate": {
        "cosine_min": 1.0,
        "cosine_mean": 1.0,
        "images": 4,
        "source": "crops",
        "accuracy": "by cosine",
        "check": None,
        "interchangeable": True,
    },
    "calibration": None,
}


def noise(count, size=SIZE):
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def save_exported(path, **changes):
    """A file as `passerby model export` writes it; it returns mean colors that are not normalized."""
    metadata = json.dumps({**METADATA, **changes})
    if path.suffix == ".onnx":
        save_color_map(path, size=SIZE, channels_last=True, metadata=metadata)
        return
    openvino = require_module("openvino")
    save_color_map(path.with_suffix(".onnx"), size=SIZE, channels_last=True)
    model = openvino.convert_model(str(path.with_suffix(".onnx")))
    model.set_rt_info(metadata, "passerby")
    openvino.save_model(model, str(path))
