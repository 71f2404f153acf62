"""Tiny networks as ONNX files, which return a constant or the mean of their input."""

import numpy as np


def save_constant(path, output, *, size=(64, 64), inputs=1, batch=1):
    """A network that returns `output` for each image."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    names = ["images", "other"][:inputs]
    values = np.asarray(output, np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["images"], ["sum"], keepdims=0),
            helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
            helper.make_node("Add", ["values", "nothing"], ["boxes"]),
        ],
        "constant",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 3, *size]) for name in names],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, values.shape)],
        [numpy_helper.from_array(values, "values"), numpy_helper.from_array(np.zeros((), np.float32), "zero")],
    )
    _save(graph, path, checker, helper, save)


def save_channel_means(path, *, size=(4, 6)):
    """A network that returns the mean of each channel."""
    from onnx import TensorProto, checker, helper, save

    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["images"], ["means"])],
        "means",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, *size])],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, ["batch", 3, 1, 1])],
    )
    _save(graph, path, checker, helper, save)


def _save(graph, path, checker, helper, save):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model)
    save(model, str(path))


def save_color_map(path, *, batch="batch", size=(4, 6), metadata=None, channels_last=False, operator="Identity"):
    """A network that returns its input as a map of features, and the mean of each channel as `embedding`."""
    from onnx import TensorProto, helper, save

    shape = [batch, *size, 3] if channels_last else [batch, 3, *size]
    kind = TensorProto.UINT8 if channels_last else TensorProto.FLOAT
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["turned"], perm=(0, 3, 1, 2) if channels_last else (0, 1, 2, 3)),
        helper.make_node(operator, ["turned"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["means"]),
        helper.make_node("Flatten", ["means"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colors",
        [helper.make_tensor_value_info("images", kind, shape)],
        [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, 3]),
            helper.make_tensor_value_info("map", TensorProto.FLOAT, [batch, 3, *size]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if metadata is not None:
        helper.set_model_props(model, {"passerby": metadata})
    save(model, str(path))


def save_with_data_beside(path, location="weights.data", *, within="initializer"):
    """A network whose weights are in the file `location`.

    Args:
        path: The ONNX file.
        location: As the file names it; the file is not written.
        within: `initializer`, or `constant` or `branch` for a constant of a node, or of a node inside a branch.
    """
    from onnx import TensorProto, external_data_helper, helper, numpy_helper, save

    weight = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "weight")
    external_data_helper.set_external_data(weight, location)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    constant = helper.make_node("Constant", [], ["weight"], value=weight)
    if within == "branch":
        value = helper.make_tensor_value_info("weight", TensorProto.FLOAT, [3, 3, 1, 1])
        branch = helper.make_graph([constant], "branch", [], [value])
        choice = numpy_helper.from_array(np.array(True), "choice")
        constant = helper.make_node("If", ["choice"], ["weight"], then_branch=branch, else_branch=branch)
    initializers = {"initializer": [weight], "constant": [], "branch": []}[within]
    graph = helper.make_graph(
        [*([] if initializers else [constant]), helper.make_node("Conv", ["images", "weight"], ["map"])],
        "beside",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 4, 6])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, ["batch", 3, 4, 6])],
        [*initializers, *([choice] if within == "branch" else [])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))


def save_vectors(path, *, scale, shift=0.0, size=(4, 6)):
    """A network that returns (mean of each channel) * scale + shift."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["means"]),
            helper.make_node("Flatten", ["means"], ["flat"]),
            helper.make_node("Mul", ["flat", "scale"], ["scaled"]),
            helper.make_node("Add", ["scaled", "shift"], ["vectors"]),
        ],
        "vectors",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, *size])],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.float32(value), name) for name, value in (("scale", scale), ("shift", shift))],
    )
    _save(graph, path, checker, helper, save)


def save_reshaped(path, shape, *, size=(4, 6), channels=3):
    """A network that returns its pixels in another shape, such as that of a detector."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    graph = helper.make_graph(
        [helper.make_node("Reshape", ["images", "shape"], ["pixels"])],
        "reshaped",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, channels, *size])],
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [*shape])],
        [numpy_helper.from_array(np.array(shape), "shape")],
    )
    _save(graph, path, checker, helper, save)


def save_color_grid(path, *, size, cell):
    """A network that returns the mean color of each cell of a grid: 3 (H / cell) (W / cell) numbers."""
    from onnx import TensorProto, checker, helper, save

    width = 3 * (size[0] // cell) * (size[1] // cell)
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["images"], ["cells"], kernel_shape=[cell, cell], strides=[cell, cell]),
            helper.make_node("Flatten", ["cells"], ["embedding"]),
        ],
        "grid",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, *size])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", width])],
    )
    _save(graph, path, checker, helper, save)
