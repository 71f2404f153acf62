"""Distances in blocks. Oracle: NumPy's norms in float64."""

import numpy as np
import pytest
import torch

from passerby.ranking.distance import _compute_blocks, _measure_lengths, distance_blocks


def full_matrix(query, gallery, **options):
    """Concatenate the blocks to the Q x G matrix."""
    return np.concatenate([block.copy() for _, block in distance_blocks(query, gallery, **options)])


@pytest.fixture
def vectors():
    generator = np.random.default_rng(0)
    return generator.standard_normal((13, 5)).astype(np.float32), generator.standard_normal((29, 5)).astype(np.float32)


@pytest.mark.parametrize("block", [None, 1, 4, 13, 100])
def test_euclidean_is_the_length_of_the_difference(vectors, block):
    query, gallery = vectors
    expected = np.linalg.norm(query[:, None].astype(float) - gallery[None].astype(float), axis=2)
    np.testing.assert_allclose(full_matrix(query, gallery, metric="euclidean", block=block), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_cosine_distance_is_one_minus_the_cosine_for_any_length_and_dtype(vectors, dtype):
    query, gallery = (item.astype(dtype) for item in vectors)
    a, b = query.astype(float), gallery.astype(float)
    cosine = a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(full_matrix(query * dtype(8), gallery), 1 - cosine, atol=1e-6)


def test_blocks_carry_the_index_of_their_first_query(vectors):
    assert [first for first, _ in distance_blocks(*vectors, block=5)] == [0, 5, 10]
    assert [block.shape for _, block in distance_blocks(*vectors, block=5)] == [(5, 29), (5, 29), (3, 29)]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("width", [3, 64, 511])
def test_equal_vectors_have_equal_distances_at_every_index(metric, width):
    """A float32 BLAS product fails this: its last bits depend on the column."""
    generator = np.random.default_rng(1)
    gallery = generator.standard_normal((333, width)).astype(np.float32)
    same = generator.choice(333, size=40, replace=False)
    gallery[same] = gallery[same[0]]
    query = generator.standard_normal((7, width)).astype(np.float32)
    query[0] = gallery[same[0]]
    distances = full_matrix(query, gallery, metric=metric)
    assert (distances[:, same] == distances[:, same[:1]]).all()
    assert (distances[0, same] == 0).all()
    assert (distances >= 0).all()


def test_a_memory_mapped_float16_gallery_gives_the_same_distances(tmp_path, vectors):
    query, gallery = vectors
    np.save(tmp_path / "gallery.npy", gallery.astype(np.float16))
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    query = query.astype(np.float16)
    np.testing.assert_array_equal(full_matrix(query, mapped), full_matrix(query, gallery.astype(np.float16)))


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
        (ones, ones * np.array([[1], [np.nan]], np.float32), {}, "gallery: 1 vector with NaN.* row 1"),
        (ones * np.float32(np.inf), ones, {"metric": "euclidean"}, "query: 2 vectors with NaN or infinity.* row 0"),
        (ones.astype(float) * 1e300, ones.astype(float), {"metric": "cosine"}, "query: 2 vectors .* too long"),
        (ones.astype(float) * 1e40, ones.astype(float), {"metric": "euclidean"}, "query: 2 vectors .* too long"),
        (ones, ones * np.array([[1], [0]], np.float32), {}, "gallery: 1 vector of zeros only, the first is row 1"),
        (ones, ones, {"metric": "manhattan"}, "metric: got 'manhattan', expected one of cosine, euclidean"),
        (ones, ones, {"block": 0}, "block: got 0"),
    ],
)
def test_invalid_vectors_are_rejected_at_the_call(query, gallery, options, message):
    with pytest.raises(ValueError, match=message):
        distance_blocks(query, gallery, **options)


def test_an_all_zero_vector_has_euclidean_distances():
    assert full_matrix(ones, 0 * ones, metric="euclidean") == pytest.approx(np.full((2, 2), np.sqrt(3)))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_torch_device_computes_the_same_blocks(vectors, metric, dtype):
    """The code path of a GPU on torch's CPU device: equal to NumPy within one rounding to float32."""
    query, gallery = (item.astype(dtype) for item in vectors)
    gallery[:5] = gallery[0]
    lengths = [_measure_lengths(item, "", metric=metric) for item in (query, gallery)]
    blocks = _compute_blocks(query, gallery, *lengths, metric=metric, rows=5, device=torch.device("cpu"))
    result = torch.cat([block.clone() for _, block in blocks])
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), full_matrix(query, gallery, metric=metric), rtol=1e-6, atol=1e-7)
    assert (result[:, :5] == result[:, :1]).all()


@pytest.mark.parametrize("device", ["mps", "gpu", "cuda:x", "cuda:99"])
def test_a_missing_device_is_rejected(device):
    with pytest.raises(ValueError, match=f"device: got '{device}', expected auto, cpu or one of . CUDA devices"):
        distance_blocks(ones, ones, device=device)


def test_auto_is_the_cpu_without_a_cuda_device(vectors, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    blocks = np.concatenate([block.copy() for _, block in distance_blocks(*vectors, device="auto")])
    np.testing.assert_array_equal(blocks, full_matrix(*vectors))


def test_lists_are_read_as_arrays(vectors):
    query, gallery = vectors
    lists = query.astype(float).tolist(), gallery.astype(float).tolist()
    np.testing.assert_array_equal(full_matrix(*lists), full_matrix(query.astype(float), gallery.astype(float)))
