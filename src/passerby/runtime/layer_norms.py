"""Layer norms of maps in an OpenVINO model, without the transposes around them.

B batch   C channels   H W map height and width
"""

from __future__ import annotations

from typing import Any

from passerby.extras import require_extra

TO_TOKENS, TO_MAP = [0, 2, 3, 1], [0, 3, 1, 2]
"""(B, C, H, W) -> (B, H, W, C), and back."""


def normalize_channels_in_place(model: Any) -> int:
    """Let layer norms of maps normalize the channel axis, in place of the last axis of a transposed map.

    torch's LayerNorm takes the last axis, so that a ConvNeXt with convolutions as MLP transposes its maps before each
    norm and back after it. OpenVINO's CPU plugin copies the map for such a transpose. Without them an embedding takes 6
    to 16 % less time (docs/performance.md).

    Args:
        model: `openvino.Model`, changed in place. Other norms are left as they are: of other axes or without the second
            transpose, or with an intermediate value that is used elsewhere.

    Returns:
        Number of changed norms.

    Example:
        >>> import numpy as np, openvino as ov, openvino.opset13 as ops
        >>> images, ones = ops.parameter([1, 8, 4, 2], np.float32), np.ones(8, np.float32)
        >>> norm = ops.mvn(ops.transpose(images, [0, 2, 3, 1]), [-1], True, 1e-6, "inside_sqrt")
        >>> scaled = ops.add(ops.multiply(norm, ones), ones)
        >>> model = ov.Model([ops.transpose(scaled, [0, 3, 1, 2])], [images])
        >>> normalize_channels_in_place(model)
        1
    """
    ops = require_extra("openvino.opset13")
    changed = 0
    for norm in model.get_ordered_ops():
        if (
            norm.get_type_name() != "MVN"
            or norm.get_input_size() != 2  # the first version of the operation has no axes
            or not _is_transpose(_source(norm, 0), TO_TOKENS)
            or not _takes_last_axis(norm)
        ):
            continue
        scale = _only_user(norm, "Multiply")
        shift = _only_user(scale, "Add")
        back = _only_user(shift, "Transpose")
        if back is None or not _is_transpose(back, TO_MAP):
            continue
        options = norm.get_attributes()
        result = ops.mvn(
            _source(norm, 0).input_value(0),
            [1],
            options["normalize_variance"],
            float(options["eps"]),
            options["eps_mode"],
        )
        for node, before, combine in ((scale, norm, ops.multiply), (shift, scale, ops.add)):
            first = _source(node, 0).get_name() == before.get_name()  # == of operations makes another operation
            vector = node.input_value(1 if first else 0)
            if vector.get_partial_shape().rank.get_length() != 1:
                break
            result = combine(result, ops.reshape(vector, [1, -1, 1, 1], False))
        else:
            result.set_friendly_name(f"{back.get_friendly_name()}.in_place")
            back.output(0).replace(result.output(0))
            changed += 1
    return changed


def _source(node: Any, index: int) -> Any:
    return node.input_value(index).get_node()


def _is_transpose(node: Any, order: list[int]) -> bool:
    return bool(
        node.get_type_name() == "Transpose"
        and _source(node, 1).get_type_name() == "Constant"
        and _source(node, 1).get_vector().tolist() == order
    )


def _takes_last_axis(norm: Any) -> bool:
    """Return whether a norm is over the last of four axes; an ONNX file has the axes as a range of constants."""
    axes = norm.input_value(1).get_node()
    values = [_source(axes, index) for index in range(3)] if axes.get_type_name() == "Range" else [axes]
    if any(value.get_type_name() != "Constant" for value in values):
        return False
    numbers = [int(number) for value in values for number in value.get_vector()]
    if axes.get_type_name() == "Range":
        numbers = [*range(*numbers)]
    return numbers in ([-1], [3])


def _only_user(node: Any, kind: str) -> Any:
    """Return the operation that uses a result, if it is the only one and of a kind; None for None."""
    if node is None:
        return None
    users = [*node.output(0).get_target_inputs()]
    if len(users) != 1 or users[0].get_node().get_type_name() != kind:
        return None
    return users[0].get_node()
