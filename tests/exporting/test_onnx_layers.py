"""Which layers stay in float, and 1 x 1 convolutions as products of tokens. Oracle: a small graph by hand."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from passerby.exporting.onnx_int8 import quantize_onnx
from passerby.exporting.onnx_layers import find_float_nodes, replace_token_convolutions
from passerby.exporting.onnx_model import reorder_gelu, split_batch_norms
from passerby.exporting.openvino_model import convert_to_openvino, find_float_operations

SIZE, WIDTH = (16, 8), 12
TO_MAP, TO_TOKENS = [0, 3, 1, 2], [0, 2, 3, 1]


def small_model():
    """Pixels -> convolution -> layer norm of tokens -> 1 x 1 convolutions -> 3 x 3 convolution -> gate -> reduction."""
    generator, weights = np.random.default_rng(0), {}

    def weight(name, *shape):
        weights[name] = (generator.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        return name

    def conv(name, source, out, inside, side=1, **options):
        names = [source, weight(f"{name}.weight", out, inside, side, side), weight(f"{name}.bias", out)]
        return helper.make_node("Conv", names, [name], name, **options)

    weights |= {"scale": np.array(1 / 64, np.float32), "two": np.array(1.5, np.float32)}
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "scale"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["pixels"], perm=TO_MAP),
        conv("stem", "pixels", WIDTH, 3, 2, strides=[2, 2]),
        helper.make_node("Transpose", ["stem"], ["tokens"], perm=TO_TOKENS),
        helper.make_node(
            "LayerNormalization", ["tokens", weight("g", WIDTH), weight("b", WIDTH)], ["normed"], axis=-1
        ),
        helper.make_node("Transpose", ["normed"], ["map"], perm=TO_MAP),
        conv("fc1", "map", 2 * WIDTH, WIDTH),
        helper.make_node("Mul", ["fc1", "two"], ["doubled"]),
        helper.make_node("Relu", ["doubled"], ["relu"]),
        conv("fc2", "relu", WIDTH, 2 * WIDTH),
        helper.make_node("Add", ["fc2", "stem"], ["block"]),
        conv("depthwise", "block", WIDTH, 1, 3, group=WIDTH, pads=[1] * 4),
        conv("after", "depthwise", WIDTH, WIDTH),
        conv("wide", "after", WIDTH, WIDTH, 3, pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["wide"], ["pooled"]),
        conv("gate", "pooled", WIDTH, WIDTH),
        helper.make_node("Flatten", ["gate"], ["vector"]),
        helper.make_node("Gemm", ["vector", weight("r.w", 5, WIDTH), weight("r.b", 5)], ["embedding"], "r", transB=1),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", *SIZE, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def compute(model, images):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 256, (24, *SIZE, 3), dtype=np.uint8)


def test_pixels_groups_and_vectors_stay_in_float():
    assert find_float_nodes(small_model()) == ["stem", "depthwise", "gate", "r"]


def test_openvino_keeps_the_same_layers_in_float():
    model = convert_to_openvino(small_model())
    products = [op for op in model.get_ordered_ops() if op.get_type_name() in ("Convolution", "MatMul")]
    quantized = {op.get_friendly_name() for op in products} - set(find_float_operations(model))
    names = {op.get_friendly_name(): op.input_value(1).get_node().get_friendly_name() for op in products}
    assert {names[name] for name in quantized} == {f"{name}.weight" for name in ("fc1", "fc2", "after", "wide")}


def test_convolutions_of_tokens_become_products_with_the_same_result(images):
    model, replaced = small_model(), small_model()
    replace_token_convolutions(replaced)
    del replaced.graph.value_info[:]
    onnx.checker.check_model(replaced, full_check=True)
    kinds = {node.name: node.op_type for node in replaced.graph.node if node.name}
    assert (kinds["fc1"], kinds["fc2"], kinds["after"], kinds["wide"]) == ("MatMul", "MatMul", "Conv", "Conv")
    np.testing.assert_allclose(compute(replaced, images), compute(model, images), rtol=1e-4, atol=1e-5)


def test_int8_rounds_no_result_of_a_product_of_tokens(images, tmp_path):
    model = small_model()
    quantized = quantize_onnx(model, images, folder=tmp_path)
    users = {name: node.op_type for node in quantized.graph.node for name in node.input}
    results = Counter(
        (node.op_type, users[node.output[0]])
        for node in quantized.graph.node
        if node.op_type in ("MatMul", "Conv") and node.output[0] in users
    )
    assert results["MatMul", "Add"] == 2
    assert results["MatMul", "QuantizeLinear"] == 0
    vectors, exact = compute(quantized, images), compute(model, images)
    cosines = (vectors * exact).sum(axis=1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosines.min() > 0.99
    assert model.SerializeToString() == small_model().SerializeToString(), "the model in float32 was changed"


def gemm_weights(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name == "r.w"}


def test_a_batch_norm_is_taken_out_of_a_linear_layer_of_float16_numbers(images):
    """The exporter stores the product of both, which needs float32."""
    model = small_model()
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == "r.w"]
    weight = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
    folded = np.array([0.9, -1.1, 0.0, 1.3, 0.7], np.float32)[:, None] * weight
    tensor.CopyFrom(numpy_helper.from_array(folded, "r.w"))
    before = compute(model, images)
    split_batch_norms(model, {"r.w": weight})
    assert np.array_equal(gemm_weights(model)["r.w"], weight)
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(compute(model, images), before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rounded", [False, True])
def test_a_linear_layer_that_saves_nothing_stays_as_it_is(rounded):
    """Its own numbers need float32, or the stored ones are no multiples of them."""
    model = small_model()
    weight = gemm_weights(model)["r.w"] * np.float32(0.5)
    other = np.flip(weight, axis=1).astype(np.float16).astype(np.float32)
    split_batch_norms(model, {"r.w": other if rounded else weight})
    assert model.SerializeToString() == small_model().SerializeToString()


def gelu_graph(order):
    """GELU of numbers: `exporter` multiplies by x last, `other` has a user of 1 + erf besides."""
    constants = {"root": np.sqrt(np.float32(2)), "one": np.float32(1), "half": np.float32(0.5)}
    nodes = [
        helper.make_node("Div", ["x", "root"], ["scaled"]),
        helper.make_node("Erf", ["scaled"], ["erf"]),
        helper.make_node("Add", ["erf", "one"], ["added"]),
        helper.make_node("Mul", ["half", "added"], ["halved"]),
        helper.make_node("Mul", ["x", "halved"], ["gelu"]),
        helper.make_node("Add" if order == "other" else "Identity", ["gelu"] + ["added"] * (order == "other"), ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "gelu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [64])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def compute_gelu(model, x, optimized=None):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    if optimized:
        options.optimized_model_filepath = str(optimized)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def test_onnxruntime_computes_gelu_as_one_operator(tmp_path):
    model, x = gelu_graph("exporter"), np.linspace(-6, 6, 64, dtype=np.float32)
    (expected,) = compute_gelu(model, x)
    reorder_gelu(model)
    onnx.checker.check_model(model, full_check=True)
    (actual,) = compute_gelu(model, x, tmp_path / "optimized.onnx")
    operators = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert (operators["Erf"], operators["Gelu"]) == (0, 1)
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_an_error_function_of_another_formula_stays_as_it_is():
    model = gelu_graph("other")
    reorder_gelu(model)
    assert model.SerializeToString() == gelu_graph("other").SerializeToString()
