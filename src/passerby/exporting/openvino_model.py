"""Convert an ONNX model to OpenVINO IR: conversion, int8 by NNCF, and saving.

N images   H W image height and width
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.exporting.hide_messages import hide_messages
from passerby.extras import require_extra
from passerby.runtime.networks import METADATA_KEY, open_openvino, require_openvino

PRODUCTS = ("Convolution", "MatMul")
BATCH = 16
"""Images of a forward pass while the ranges are measured."""


def convert_to_openvino(model: Any) -> Any:
    """Convert an ONNX model, whose weights are in float32: `onnx.ModelProto` -> `openvino.Model`."""
    return open_openvino().read_model(model.SerializeToString())


def quantize_openvino(model: Any, pixels: NDArray[np.uint8]) -> Any:
    """Quantize ordinary convolutions and matrix products with constant weights, by static ranges.

    Args:
        model: `openvino.Model` in float32.
        pixels: (N, H, W, 3) uint8 crops by which the ranges are chosen.

    Returns:
        `openvino.Model`.

    Raises:
        MissingExtraError: Without the extra `openvino`.
    """
    with hide_messages():
        nncf = require_extra("nncf")
    batches = [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
    names = find_float_operations(model)
    with hide_messages():
        return nncf.quantize(
            model,
            nncf.Dataset(batches),
            subset_size=len(batches),
            ignored_scope=nncf.IgnoredScope(names=names, validate=False),
        )


def find_float_operations(model: Any) -> list[str]:
    """List the operations that stay in float: all but ordinary convolutions and products with constant weights.

    The first convolution and products of one vector for each image stay in float too; `onnx_layers.find_float_nodes`
    has the reasons.
    """
    computed: set[str] = set()  # operations that depend on a product
    names = []
    for operation in model.get_ordered_ops():
        kind, name = operation.get_type_name(), operation.get_friendly_name()
        inputs = [value.get_node() for value in operation.input_values()]
        depends = any(node.get_friendly_name() in computed for node in inputs)
        if depends or kind in PRODUCTS:
            computed.add(name)
        if kind in ("Constant", "Parameter", "Result"):
            continue
        first = kind == "Convolution" and not depends
        if first or kind not in PRODUCTS or _is_vector(operation) or not _is_constant(operation.input_value(1)):
            names.append(name)
    return names


def save_openvino(model: Any, path: Path, metadata: str, *, half: bool) -> None:
    """Write `.xml` and `.bin` with the metadata.

    Args:
        model: `openvino.Model`.
        path: The `.xml` file.
        metadata: JSON; empty for none.
        half: Store weights in float16.
    """
    openvino = require_openvino()
    if metadata:
        model.set_rt_info(metadata, METADATA_KEY)
    openvino.save_model(model, path, compress_to_fp16=half)


def _is_vector(operation: Any) -> bool:
    """Return whether the input of a product is one vector for each image."""
    shape = operation.input_value(0).get_partial_shape()
    if shape.rank.is_dynamic:
        return False
    return shape.rank.get_length() == 2 or (
        operation.get_type_name() == "Convolution" and all(side == 1 for side in list(shape)[2:])
    )


def _is_constant(value: Any) -> bool:
    """Whether a value is a constant, or a converted one (weights in half precision)."""
    node = value.get_node()
    kind = node.get_type_name()
    return kind == "Constant" or (kind in ("Convert", "Multiply", "Reshape") and _is_constant(node.input_value(0)))
