"""int8 for onnxruntime: QDQ nodes around ordinary convolutions and matrix products, everything else in float.

SimAM, norms and depthwise convolutions lose too much in 8 bits: quantizing everything costs 9 to 14 points of mAP.
Products of pooled vectors and the first convolution stay in float too, see `onnx_layers`.

N images   H W image height and width
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.exporting.onnx_layers import PRODUCTS, find_float_nodes, replace_token_convolutions
from passerby.exporting.onnx_model import INPUT
from passerby.extras import require_extra

PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}
"""Mark of a preprocessed model; onnxruntime prints a warning without it."""
BATCH = 16
"""Images of a forward pass while the ranges are measured; every tensor of a pass is kept."""


def quantize_onnx(model: Any, pixels: NDArray[np.uint8], *, folder: Path) -> Any:
    """Quantize ordinary convolutions and matrix products with constant weights, by static ranges.

    Activations have one range each (uint8, asymmetric), weights one for each output channel (int8, symmetric). The
    results of matrix products stay in float; those of convolutions are rounded, as onnxruntime has no kernel else.

    Args:
        model: `onnx.ModelProto` in float32, not changed.
        pixels: (N, H, W, 3) uint8 crops by which the ranges are chosen.
        folder: For drafts.

    Returns:
        `onnx.ModelProto`.

    Raises:
        MissingExtraError: Without the extra `export`.
    """
    onnx = require_extra("onnx")
    quantization = require_extra("onnxruntime.quantization")
    with TemporaryDirectory(prefix="int8-", dir=folder) as drafts:
        source, target = (Path(drafts) / name for name in ("float.onnx", "int8.onnx"))
        prepared = type(model)()
        prepared.CopyFrom(model)
        float_nodes = find_float_nodes(prepared)
        replace_token_convolutions(prepared)
        del prepared.graph.value_info[:]  # shapes of weights before; onnxruntime infers them
        onnx.helper.set_model_props(prepared, PREPARED)  # torch's exporter has folded constants and inferred shapes
        onnx.save(prepared, source)
        quantization.quantize_static(
            source,
            target,
            _Reader(pixels),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=PRODUCTS,
            nodes_to_exclude=float_nodes,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
        )
        quantized = onnx.load(target)
    del quantized.metadata_props[:]
    return quantized


class _Reader:
    """Batches of crops in the form that onnxruntime's calibration reads: `get_next` returns None at the end."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = (
            pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next batch by the name of the input."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}
