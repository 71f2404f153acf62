"""Convert a network to an ONNX model: tracing, and weights stored in float16.

B batch   H W image height and width   D embedding width
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from passerby.errors import ExportError
from passerby.exporting.hide_messages import hide_messages
from passerby.extras import require_extra
from passerby.runtime.networks import METADATA_KEY
from passerby.types import FloatArray

if TYPE_CHECKING:
    from passerby.runtime.embedder import Embedder

OPSET = 18
"""ONNX operator set: the lowest that torch's exporter writes, which the most runtimes read."""
INPUT, OUTPUT = "images", "embedding"
LARGEST_BATCH = 2**16
LARGEST = 2**31 - 2**20
"""Largest ONNX model in bytes: a file without external data ends at 2 GB."""
SMALL = 1024
"""Values of a tensor from which it is stored in float16; smaller ones save nothing."""


def trace_model(embedder: Embedder, *, flip: bool) -> Any:
    """Trace a model's network from pixels to unit vectors.

    Args:
        embedder: Model in torch, on the CPU.
        flip: Average each image's embedding with that of its mirror image inside the graph.

    Returns:
        `onnx.ModelProto`: `images`, uint8 (B, H, W, 3), to `embedding`, float32 (B, D); B is dynamic.

    Raises:
        ExportError: For a network that torch cannot trace, or above 2 GB.
        MissingExtraError: Without the extra `export`.
    """
    import torch

    from passerby.model.pixel_network import PixelNetwork

    for module in ("onnx", "onnxscript"):
        require_extra(module)
    size = 4 * sum(parameter.numel() for parameter in embedder.network.parameters())
    if size > LARGEST:
        raise ExportError(f"the network has {size / 1e9:.1f} GB of weights; an ONNX file has room for 2 GB")
    network = PixelNetwork(embedder, flip=flip).eval()
    pixels = torch.zeros(2, *embedder.preprocessing.size, 3, dtype=torch.uint8)
    shapes = {INPUT: {0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH)}}
    with torch.no_grad(), hide_messages():
        try:
            traced = torch.export.export(network, (pixels,), dynamic_shapes=shapes)
            program = torch.onnx.export(
                traced,
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=shapes,  # the name of the batch
                verbose=False,
            )
        except Exception as error:  # torch's tracer and converter raise errors of many types
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ExportError(f"this network cannot be exported by torch {torch.__version__} ({reason})") from None
    assert program is not None
    model = program.model_proto
    strip_notes(model)
    weights = {name: parameter.detach().numpy() for name, parameter in network.named_parameters()}
    split_batch_norms(model, weights)
    reorder_gelu(model)
    return model


def strip_notes(model: Any) -> None:
    """Remove the notes of the exporter, which name source files of this machine, from an ONNX model."""
    graph = model.graph
    for item in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    model.ClearField("metadata_props")


def split_batch_norms(model: Any, weights: Mapping[str, FloatArray]) -> None:
    """Take batch norms out of the linear layers into which torch's exporter has folded them, where it halves the file.

    The rows of a folded weight are those of the layer times a factor, and are no float16 numbers even if the layer's
    are. The factors, one for each row, become a multiplication of the result.

    Args:
        model: `onnx.ModelProto`, changed in place.
        weights: Parameters of the network, by name.
    """
    onnx = require_extra("onnx")
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        weight = weights.get(node.input[1]) if node.op_type == "Gemm" and len(node.input) == 3 else None
        if weight is None or node.input[1] not in stored or not is_half(weight):
            continue
        folded = onnx.numpy_helper.to_array(stored[node.input[1]])
        if folded.shape != weight.shape or is_half(folded):
            continue
        factors = (folded * weight).sum(axis=1) / np.maximum((weight * weight).sum(axis=1), np.finfo(np.float32).tiny)
        if not np.allclose(factors[:, None] * weight, folded, rtol=1e-5, atol=1e-5 * np.abs(folded).max()):
            continue
        name, result, shift = node.input[1], node.output[0], node.input[2]
        stored[name].CopyFrom(onnx.numpy_helper.from_array(weight, name))
        model.graph.initializer.append(onnx.numpy_helper.from_array(factors.astype(np.float32), f"{name}.factors"))
        del node.input[2]
        node.output[0] = f"{result}.product"
        nodes.append(onnx.helper.make_node("Mul", [node.output[0], f"{name}.factors"], [f"{result}.scaled"]))
        nodes.append(onnx.helper.make_node("Add", [f"{result}.scaled", shift], [result]))
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def reorder_gelu(model: Any) -> None:
    """Change x * (0.5 * (1 + erf(x / sqrt 2))), as torch's exporter writes GELU, into (x * (1 + erf(...))) * 0.5.

    onnxruntime computes only the second order as one operator: 0.84 to 0.90 of the time of the default model.

    Args:
        model: `onnx.ModelProto`, changed in place.
    """
    users: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for divided in model.graph.node:
        chain, x = [divided], divided.input[0] if divided.op_type == "Div" else ""
        for kind in ("Erf", "Add", "Mul", "Mul"):
            following = users.get(chain[-1].output[0], [])
            if [node.op_type for node in following] != [kind]:
                break
            chain.append(following[0])
        else:
            _, _, added, halved, product = chain
            half = [name for name in halved.input if name != added.output[0]]
            if x in product.input and x not in halved.input and len(half) == 1:
                halved.input[:] = [x, added.output[0]]
                product.input[:] = [halved.output[0], half[0]]


def is_half(values: FloatArray) -> bool:
    """Return whether every number is a float16 number."""
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values.astype(np.float16).astype(np.float32), values))


def store_weights_in_half(model: Any, *, exact: bool) -> None:
    """Store large weights in float16, with a cast to float32 behind each, which runtimes compute once at loading.

    Args:
        model: `onnx.ModelProto`, changed in place.
        exact: Store only weights whose every value is a float16 number, so that nothing is rounded. Otherwise all
            weights within float16's range are rounded.
    """
    onnx = require_extra("onnx")
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < SMALL:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.isfinite(half).all() or (exact and not is_half(values)):
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], f"{name}.cast", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def save_onnx(model: Any, path: Path, metadata: str) -> None:
    """Write an `onnx.ModelProto` with the metadata, which is JSON; empty for none."""
    onnx = require_extra("onnx")
    if metadata:
        onnx.helper.set_model_props(model, {METADATA_KEY: metadata})
    onnx.save(model, path)
