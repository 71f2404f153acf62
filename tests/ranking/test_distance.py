"""Distances in blocks, against NumPy's own norms in float64."""

import numpy as np
import pytest
import torch

from passerby.ranking.distance import _compute_blocks, _measure_lengths, distance_blocks


def whole(query, gallery, **options):
    """The Q x G matrix that the blocks are cut from."""
    return np.concatenate([block.copy() for _, block in distance_blocks(query, gallery, **options)])


@pytest.fixture
def vectors():
    generator = np.random.default_rng(0)
    return generator.standard_normal((13, 5)).astype(np.float32), generator.standard_normal((29, 5)).astype(np.float32)


@pytest.mark.parametrize("block", [None, 1, 4, 13, 100])
def test_euclidean_is_the_length_of_the_difference(vectors, block):
    query, gallery = vectors
    expected = np.linalg.norm(query[:, None].astype(float) - gallery[None].astype(float), axis=2)
    np.testing.assert_allclose(whole(query, gallery, metric="euclidean", block=block), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_cosine_is_one_minus_the_cosine_whatever_the_length_and_dtype(vectors, dtype):
    query, gallery = (each.astype(dtype) for each in vectors)
    a, b = query.astype(float), gallery.astype(float)
    cosine = a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(whole(query * dtype(8), gallery), 1 - cosine, atol=1e-6)


def test_blocks_tell_where_they_begin(vectors):
    assert [first for first, _ in distance_blocks(*vectors, block=5)] == [0, 5, 10]
    assert [block.shape for _, block in distance_blocks(*vectors, block=5)] == [(5, 29), (5, 29), (3, 29)]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("width", [3, 64, 511])
def test_equal_vectors_are_at_equal_distances_wherever_they_stand(metric, width):
    """A float32 BLAS product fails this: its last bits depend on the column."""
    generator = np.random.default_rng(1)
    gallery = generator.standard_normal((333, width)).astype(np.float32)
    same = generator.choice(333, size=40, replace=False)
    gallery[same] = gallery[same[0]]
    query = generator.standard_normal((7, width)).astype(np.float32)
    query[0] = gallery[same[0]]
    distances = whole(query, gallery, metric=metric)
    assert (distances[:, same] == distances[:, same[:1]]).all()
    assert (distances[0, same] == 0).all()
    assert (distances >= 0).all()


def test_a_memory_mapped_float16_gallery_is_read_as_it_is(tmp_path, vectors):
    query, gallery = vectors
    np.save(tmp_path / "gallery.npy", gallery.astype(np.float16))
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    query = query.astype(np.float16)
    np.testing.assert_array_equal(whole(query, mapped), whole(query, gallery.astype(np.float16)))


ones = np.ones((2, 3), dtype=np.float32)


@pytest.mark.parametrize(
    ("query", "gallery", "options", "message"),
    [
        (ones, np.ones((2, 4), np.float32), {}, "query: vectors are 3 wide, gallery's are 4"),
        (ones, ones.astype(np.float16), {}, "query: vectors are float32, gallery's are float16; .*astype"),
        (np.empty((0, 3), np.float32), ones, {}, r"query: got vectors of shape \(0, 3\)"),
        (ones, np.empty((0, 3), np.float32), {}, r"gallery: got vectors of shape \(0, 3\)"),
        (ones, np.empty((2, 0), np.float32), {}, r"gallery: got vectors of shape \(2, 0\)"),
        (ones[0], ones, {}, r"query: got vectors of shape \(3,\)"),
        (ones, ones.astype(int), {}, "gallery: got vectors of shape .* and int64"),
        (ones, ones * np.array([[1], [np.nan]], np.float32), {}, "gallery: 1 vectors hold NaN.* row 1"),
        (ones * np.float32(np.inf), ones, {"metric": "euclidean"}, "query: 2 vectors hold NaN or infinity.* row 0"),
        (ones.astype(float) * 1e300, ones.astype(float), {"metric": "cosine"}, "query: 2 vectors .* too long"),
        (ones.astype(float) * 1e40, ones.astype(float), {"metric": "euclidean"}, "query: 2 vectors .* too long"),
        (ones, ones * np.array([[1], [0]], np.float32), {}, "gallery: 1 vectors are all zero, the first is row 1"),
        (ones, ones, {"metric": "manhattan"}, "metric: got 'manhattan', expected one of cosine, euclidean"),
        (ones, ones, {"block": 0}, "block: got 0"),
    ],
)
def test_what_cannot_be_compared_is_refused_at_the_call(query, gallery, options, message):
    with pytest.raises(ValueError, match=message):
        distance_blocks(query, gallery, **options)


def test_an_all_zero_vector_is_a_place_under_euclidean():
    assert whole(ones, 0 * ones, metric="euclidean") == pytest.approx(np.full((2, 2), np.sqrt(3)))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_torch_device_computes_the_same_blocks(vectors, metric, dtype):
    """What runs on a GPU, run on torch's CPU device: equal to NumPy's within one rounding to float32."""
    query, gallery = (each.astype(dtype) for each in vectors)
    gallery[:5] = gallery[0]
    lengths = [_measure_lengths(each, "", metric=metric) for each in (query, gallery)]
    blocks = _compute_blocks(query, gallery, *lengths, metric=metric, rows=5, device=torch.device("cpu"))
    found = torch.cat([block.clone() for _, block in blocks])
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), whole(query, gallery, metric=metric), rtol=1e-6, atol=1e-7)
    assert (found[:, :5] == found[:, :1]).all()


@pytest.mark.parametrize("device", ["mps", "gpu", "cuda:x", "cuda:99"])
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(ValueError, match=f"device: got '{device}', expected auto, cpu or one of . CUDA devices"):
        distance_blocks(ones, ones, device=device)
