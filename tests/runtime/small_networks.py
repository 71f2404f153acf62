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
