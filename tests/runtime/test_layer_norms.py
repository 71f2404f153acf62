"""Layer norms of maps without transposes. Oracle: the definition, computed by NumPy in float64."""

import numpy as np
import pytest

from passerby.runtime.layer_norms import normalize_channels_in_place
from passerby.runtime.model_manifest import DEFAULT_MODEL
from passerby.runtime.networks import open_openvino
from programs import require_module

openvino = require_module("openvino")
ops = require_module("openvino.opset13")

SCALE, SHIFT = np.linspace(0.5, 2, 6, dtype=np.float32), np.linspace(-1, 1, 6, dtype=np.float32)
MAP = np.random.default_rng(0).normal(3, 2, (2, 6, 4, 3)).astype(np.float32)


def network(*, to_tokens=(0, 2, 3, 1), axes=(-1,), to_map=(0, 3, 1, 2), vector_first=False, used_twice=None):
    """A map of 6 channels, normalized as tokens: transposed, normalized, scaled, shifted and transposed back."""
    images = ops.parameter([-1, 6, 4, 3], np.float32)
    tokens = ops.transpose(images, list(to_tokens))
    norm = ops.mvn(tokens, list(axes), True, 1e-6, "inside_sqrt")
    scaled = ops.multiply(SCALE, norm) if vector_first else ops.multiply(norm, SCALE)
    shifted = ops.add(SHIFT, scaled) if vector_first else ops.add(scaled, SHIFT)
    result = ops.transpose(shifted, list(to_map)) if to_map else shifted
    others = {"norm": norm, "scaled": scaled, "shifted": shifted}
    return openvino.Model([result, *([others[used_twice]] if used_twice else [])], [images])


def compute(model):
    return open_openvino().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(MAP)[0]


def kinds(model):
    return [operation.get_type_name() for operation in model.get_ops()]


@pytest.mark.parametrize("axes", [(-1,), (3,)])
@pytest.mark.parametrize("vector_first", [False, True])
def test_the_norm_is_that_of_the_channels_without_transposes(axes, vector_first):
    model = network(axes=axes, vector_first=vector_first)
    assert normalize_channels_in_place(model) == 1
    assert "Transpose" not in kinds(model)
    values = MAP.astype(np.float64)
    centered = values - values.mean(axis=1, keepdims=True)
    expected = centered / np.sqrt(centered.var(axis=1, keepdims=True) + 1e-6)
    expected = expected * SCALE[:, None, None] + SHIFT[:, None, None]
    np.testing.assert_allclose(compute(model), expected, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"axes": (1,)},
        {"axes": (2, 3)},
        {"to_tokens": (0, 3, 2, 1)},
        {"to_map": (0, 3, 2, 1)},
        {"to_map": None},
        {"used_twice": "norm"},
        {"used_twice": "scaled"},
        {"used_twice": "shifted"},
    ],
    ids=str,
)
def test_other_norms_are_left_as_they_are(options):
    model = network(**options)
    before, expected = kinds(model), compute(network(**options))
    assert normalize_channels_in_place(model) == 0
    assert kinds(model) == before
    np.testing.assert_array_equal(compute(model), expected)


def test_a_norm_with_a_scale_of_each_position_is_left_as_it_is():
    images = ops.parameter([1, 6, 4, 3], np.float32)
    norm = ops.mvn(ops.transpose(images, [0, 2, 3, 1]), [-1], True, 1e-6, "inside_sqrt")
    shifted = ops.add(ops.multiply(norm, np.ones((4, 3, 6), np.float32)), SHIFT)
    model = openvino.Model([ops.transpose(shifted, [0, 3, 1, 2])], [images])
    assert normalize_channels_in_place(model) == 0


def test_a_norm_of_the_first_version_which_has_no_axes_is_left_as_it_is():
    images = ops.parameter([1, 6, 4, 3], np.float32)
    norm = require_module("openvino.opset2").mvn(ops.transpose(images, [0, 2, 3, 1]), False, True, 1e-6)
    scaled = ops.add(ops.multiply(norm, SCALE), SHIFT)
    model = openvino.Model([ops.transpose(scaled, [0, 3, 1, 2])], [images])
    assert kinds(model).count("MVN") == 1
    assert normalize_channels_in_place(model) == 0


def test_all_norms_of_the_default_model_are_changed():
    """Stem, 12 blocks, three reductions between stages, and the last norm."""
    model = open_openvino().read_model(str(DEFAULT_MODEL / "model.onnx"))
    assert normalize_channels_in_place(model) == 17
    assert kinds(model).count("Transpose") == 1  # of the pixels
