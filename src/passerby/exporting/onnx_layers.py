"""Layers of an ONNX model by what 8 bits do to them: those that stay in float, and 1 x 1 convolutions of tokens.

B batch   C channels   H W map height and width
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from passerby.extras import require_extra

PRODUCTS = ("Conv", "Gemm", "MatMul")
TO_MAP, TO_TOKENS = [0, 3, 1, 2], [0, 2, 3, 1]
"""(B, H, W, C) -> (B, C, H, W), and back."""
ELEMENTWISE = ("Add", "Clip", "Div", "Erf", "Gelu", "HardSigmoid", "HardSwish", "Mul", "Relu", "Sigmoid", "Sub", "Tanh")


def find_float_nodes(model: Any) -> list[str]:
    """List the convolutions and matrix products that stay in float.

    - Grouped convolutions, and products of two activations.
    - The first convolution: the scale of 8 bits falls between the levels of the pixels.
    - Products of one vector for each image, such as the reduction of a pooled vector: its entries have different means,
      which take up most of the range. They hold most of the error of 8 bits and little of the time.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    shapes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim] for value in model.graph.value_info
    }
    computed: set[str] = set()  # tensors that depend on a product
    names = []
    for node in model.graph.node:
        depends = any(name in computed for name in node.input)
        if node.op_type in PRODUCTS:
            first = node.op_type == "Conv" and not depends
            grouped = node.op_type == "Conv" and _attribute(node, "group", 1) > 1
            vectors = node.op_type == "Gemm" or _is_vector(node.op_type, shapes.get(node.input[0]))
            if first or grouped or vectors or node.input[1] not in constants:
                names.append(node.name)
        if depends or node.op_type in PRODUCTS:
            computed.update(node.output)
    return names


def replace_token_convolutions(model: Any) -> None:
    """Replace 1 x 1 convolutions of maps that were transposed from tokens by matrix products of the tokens.

    Such are the convolutions behind the layer norms of a ConvNeXt. onnxruntime returns a matrix product of 8 bits in
    float, but a convolution in 8 bits again, whose range a single channel with large values takes up. The transposes
    between two such layers cancel, those around elementwise operations are removed by onnxruntime.

    Args:
        model: `onnx.ModelProto`, changed in place.
    """
    onnx = require_extra("onnx")
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    uses: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    tokens: set[str] = set()  # maps that are transposed tokens, up to elementwise operations
    nodes = []
    for node in graph.node:
        source, result = node.input[0] if node.input else "", node.output[0]
        transposed = node.op_type == "Transpose" and _attribute(node, "perm") == TO_MAP
        carried = node.op_type in ELEMENTWISE and all(name in tokens or name in weights for name in node.input if name)
        if transposed or carried:
            tokens.add(result)
        elif source in tokens and _is_pointwise(node, weights) and uses[node.input[1]] == 1:
            tokens.add(result)
            nodes += _multiply_tokens(onnx, node, weights[node.input[1]])
            continue
        nodes.append(node)
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def _multiply_tokens(onnx: Any, node: Any, weight: Any) -> list[Any]:
    """Return the nodes in place of a 1 x 1 convolution; its weight (O, C, 1, 1) becomes (C, O)."""
    matrix = onnx.numpy_helper.to_array(weight)[:, :, 0, 0].T.copy()
    weight.CopyFrom(onnx.numpy_helper.from_array(matrix, weight.name))
    source, result, make = node.input[0], node.output[0], onnx.helper.make_node
    product = f"{result}.product"
    nodes = [
        make("Transpose", [source], [f"{result}.tokens"], f"{node.name}.tokens", perm=TO_TOKENS),
        make("MatMul", [f"{result}.tokens", weight.name], [product], node.name),
    ]
    if len(node.input) > 2:
        nodes.append(make("Add", [product, node.input[2]], [f"{result}.sum"], f"{node.name}.sum"))
        product = f"{result}.sum"
    return [*nodes, make("Transpose", [product], [result], f"{node.name}.map", perm=TO_MAP)]


def _is_pointwise(node: Any, weights: Mapping[str, Any]) -> bool:
    """Return whether a node is an ordinary 1 x 1 convolution with stride 1 and a constant weight."""
    return (
        node.op_type == "Conv"
        and node.input[1] in weights
        and list(weights[node.input[1]].dims[2:]) == [1, 1]
        and _attribute(node, "group", 1) == 1
        and not any(_attribute(node, "pads", [0]))
        and all(step == 1 for step in _attribute(node, "strides", [1]))
    )


def _is_vector(kind: str, shape: list[int] | None) -> bool:
    """Return whether an input, with 0 for a side that is not fixed, is one vector for each image."""
    if shape is None:
        return False
    return shape[2:] == [1, 1] if kind == "Conv" else len(shape) == 2


def _attribute(node: Any, name: str, default: Any = None) -> Any:
    """Return an integer or list of integers of a node."""
    found = next((attribute for attribute in node.attribute if attribute.name == name), None)
    if found is None:
        return default
    return list(found.ints) if found.ints else found.i
