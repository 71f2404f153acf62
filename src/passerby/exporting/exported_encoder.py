"""Run an exported file in full precision, for its certificate: pixels -> vectors.

B batch   H W image height and width   D embedding width
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerby.errors import ExportError, explain
from passerby.extras import require_extra
from passerby.runtime.layer_norms import normalize_channels_in_place
from passerby.runtime.networks import open_openvino
from passerby.types import FloatArray

Encode = Callable[[NDArray[np.uint8]], FloatArray]
"""(B, H, W, 3) uint8 -> (B, D) float32."""
BATCHES = (1, 2, 7, 64)
"""Sizes of the first batches of every comparison; all later ones have the last size."""


def open_file(path: Path) -> Encode:
    """Load an `.onnx` file by onnxruntime or an `.xml` file by openvino, on the CPU.

    OpenVINO computes in float32 here; it would choose bfloat16 by itself on a processor that has it.

    Raises:
        ExportError: For a file that its runtime cannot load.
    """
    try:
        return _open_openvino(path) if path.suffix == ".xml" else _open_onnx(path)
    except Exception as error:  # the errors of onnxruntime derive from Exception only
        if isinstance(error, ModuleNotFoundError | ValueError):
            raise
        raise ExportError(f"the exported file cannot be loaded by its runtime ({explain(error)})") from None


def encode_in_batches(encode: Encode, pixels: NDArray[np.uint8]) -> FloatArray:
    """Encode (N, H, W, 3) pixels in batches of `BATCHES`: (N, D)."""
    return np.concatenate([encode(pixels[start:end]) for start, end in batch_bounds(len(pixels))])


def batch_bounds(count: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of the batches of `count` images.

    Example:
        >>> list(batch_bounds(80))
        [(0, 1), (1, 3), (3, 10), (10, 74), (74, 80)]
    """
    start = 0
    sizes = iter(BATCHES)
    while start < count:
        end = min(count, start + next(sizes, BATCHES[-1]))
        yield start, end
        start = end


def _open_onnx(path: Path) -> Encode:
    runtime = require_extra("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda pixels: np.asarray(session.run(None, {"images": pixels})[0], dtype=np.float32)


def _open_openvino(path: Path) -> Encode:
    core = open_openvino()
    model = core.read_model(str(path))
    normalize_channels_in_place(model)  # as the runtime does: in 8 bits the vectors of both differ by roundings
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda pixels: np.array(compiled(pixels)[0], dtype=np.float32)
