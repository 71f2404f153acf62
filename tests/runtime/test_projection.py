"""Projections of vectors. Oracles: NumPy's singular value decomposition, and inner products computed in float64."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.errors import DataError
from passerby.runtime.projection import (
    PROJECTION_FILE,
    Projection,
    fit_projection,
    format_projection,
    read_projection,
)
from passerby.runtime.tensor_file import format_tensors, parse_tensors
from programs import require_module


def unit(seed, count, width):
    vectors = np.random.default_rng(seed).standard_normal((count, width)) * np.linspace(2, 0.2, width)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), count=st.integers(1, 40), width=st.integers(2, 12), split=st.integers(0, 40))
def test_components_are_the_right_singular_vectors_of_all_groups_together(seed, count, width, split):
    vectors = unit(seed, count, width)
    projection = fit_projection([vectors[:split], vectors[split:]], data="drawn")
    values = np.linalg.svd(vectors.astype(np.float64), compute_uv=False)
    kept = len(projection.components)
    assert kept <= min(count, width)
    assert (values[kept:] ** 2).sum() < 1e-5 * (values**2).sum()
    project = projection.components.T @ projection.components
    np.testing.assert_allclose(vectors @ project, vectors, atol=1e-3)
    energy = ((vectors @ projection.components.T) ** 2).sum(axis=0)
    np.testing.assert_allclose(energy, values[:kept] ** 2, rtol=1e-3, atol=1e-5)
    assert (projection.images, projection.width) == (count, width)


def test_projected_vectors_have_unit_length_and_nearly_their_cosines():
    vectors = unit(0, 300, 40)
    narrow = fit_projection([vectors], data="drawn").take(30).apply(vectors)
    np.testing.assert_allclose(np.linalg.norm(narrow, axis=1), 1, atol=1e-6)
    exact = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    assert np.abs(narrow @ narrow.T - exact).max() < 0.12
    assert np.abs(narrow @ narrow.T - exact).mean() < 0.01


def test_fewer_dimensions_are_the_first_of_more():
    vectors = unit(0, 60, 16)
    projection = fit_projection([vectors], data="drawn")
    assert projection.take(8).take(4) == projection.take(4)
    assert projection.take(8) != projection.take(4)
    np.testing.assert_array_equal(projection.take(4).components, projection.components[:4])


@pytest.mark.parametrize("dims", [0, -1, 16, 17, 2000])
def test_dimensions_outside_the_width_are_refused(dims):
    projection = fit_projection([unit(0, 60, 16)], data="drawn")
    with pytest.raises(DataError, match=rf"dims.*got {dims}, expected 1 to 15: the model's vectors have 16 dimensions"):
        projection.take(dims)


def test_more_dimensions_than_images_are_refused():
    projection = fit_projection([unit(0, 5, 16)], data="drawn")
    with pytest.raises(DataError, match="got 8, the model's projection has 5 dimensions, fitted to 5 images"):
        projection.take(8)
    with pytest.raises(DataError, match="nothing has no image"):
        fit_projection([], data="nothing")


@pytest.mark.parametrize("half", [False, True])
def test_a_file_returns_the_projection(tmp_path, half):
    projection = fit_projection([unit(0, 60, 16)], data="drawn").take(6)
    content = format_projection(projection, network="n", half=half)
    (tmp_path / PROJECTION_FILE).write_bytes(content)
    back = read_projection(tmp_path, network="n")
    assert (back.data, back.images, back.dims, back.width) == ("drawn", 60, 6, 16)
    np.testing.assert_allclose(back.components, projection.components, atol=1e-3 if half else 0)
    assert (back == projection) is not half
    assert read_projection(tmp_path / "none", network="n") is None


@pytest.mark.parametrize("damage", ["cut", "text", "format", "numbers", "shape", "nan"])
def test_a_damaged_file_is_one_error(tmp_path, damage):
    projection = fit_projection([unit(0, 60, 16)], data="drawn").take(6)
    content = format_projection(projection, network="n")
    if damage == "cut":
        content = content[:-8]
    elif damage == "text":
        content = b"not a file"
    else:
        tensors, metadata = parse_tensors(content)
        rows = tensors["components"].copy()
        changed = {"format": {"format": "9"}}.get(damage, {})
        rows = {"numbers": 2 * rows, "shape": rows.T.copy(), "nan": rows * np.nan}.get(damage, rows)
        content = format_tensors({"components": rows}, metadata | changed)
    (tmp_path / PROJECTION_FILE).write_bytes(content)
    with pytest.raises(DataError, match=r"projection.safetensors: not a projection .*; delete it and run `passerby"):
        read_projection(tmp_path, network="n")


def test_the_projection_of_another_model_is_refused(tmp_path):
    projection = fit_projection([unit(0, 60, 16)], data="drawn")
    (tmp_path / PROJECTION_FILE).write_bytes(format_projection(projection, network="other"))
    with pytest.raises(DataError, match=r"the projection of another model \(weights other\)"):
        read_projection(tmp_path, network="n")


def test_safetensors_reads_what_is_written(tmp_path):
    """Oracle: the package safetensors."""
    numpy = require_module("safetensors.numpy")
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1.5], np.float16)}
    content = format_tensors(tensors, {"data": "none"})
    loaded = numpy.load(content)
    assert {name: value.tolist() for name, value in loaded.items()} == {k: v.tolist() for k, v in tensors.items()}
    (size,) = struct.unpack("<Q", content[:8])
    assert json.loads(content[8 : 8 + size])["__metadata__"] == {"data": "none"}
    back, metadata = parse_tensors(numpy.save(tensors, {"x": "y"}))
    assert metadata == {"x": "y"}
    assert all((back[name] == tensors[name]).all() for name in tensors)


def test_components_that_are_not_orthonormal_are_no_projection():
    with pytest.raises(DataError, match=r"components of shape \(2, 2\), expected orthonormal rows"):
        Projection(np.ones((2, 2)), "drawn", 1)
