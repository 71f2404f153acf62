"""Checks, conversions and text of the exchanged types."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from passerby.errors import DataError
from passerby.types import DataSet, Embeddings, Labels, Ranking, Sample

vectors = np.ones((3, 2), dtype=np.float32)
ids = np.array([1, 2, 3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((vectors[0], ids, ids), r"vectors: got shape \(2,\) of float32, expected \(N, D\) floating point"),
        ((vectors.astype(int), ids, ids), r"vectors: got shape \(3, 2\) of int64"),
        ((vectors * np.array([[1], [1], [np.nan]]), ids, ids), "vectors: NaN or infinity, first in row 2"),
        ((vectors, ids[:2], ids), r"person_ids: got shape \(2,\) of int64, expected \(3,\) integers"),
        ((vectors, ids, ids * 1.0), r"camera_ids: got shape \(3,\) of float64, expected \(3,\) integers"),
        ((vectors, ids - 2, ids), "person_ids: got -1, expected 0 or more; drop junk"),
    ],
)
def test_invalid_embeddings_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        Embeddings(*arguments)


def test_an_infinite_value_is_found_after_the_first_million_numbers():
    wide = np.zeros((1100, 1024), dtype=np.float16)
    wide[1099, 5] = np.inf
    with pytest.raises(ValueError, match="first in row 1099"):
        Embeddings(wide, np.zeros(1100, int), np.zeros(1100, int))


def test_labels_are_checked_like_the_ids_of_embeddings():
    assert len(Labels([1, 2], [0, 0])) == 2
    for people, cameras, message in (
        ([1, 2], [0], r"camera_ids: got shape \(1,\)"),
        ([[1, 2]], [0, 0], r"person_ids: got shape \(1, 2\)"),
        ([-1], [0], "person_ids: got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            Labels(np.array(people), np.array(cameras))


def test_lists_and_tensors_become_arrays():
    from_lists = Embeddings([[0.5, 1.0], [2.0, 3.0]], [1, 2], [0, 1])
    ids = torch.tensor([1, 2])
    from_tensors = Embeddings(torch.tensor([[0.5, 1.0], [2.0, 3.0]], requires_grad=True), ids, ids - 1)
    np.testing.assert_array_equal(from_lists.vectors, from_tensors.vectors)
    assert (from_tensors.vectors.dtype, from_tensors.person_ids.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(from_lists.take([1]).vectors, [[2.0, 3.0]])


def test_results_have_a_repr_of_one_line_without_arrays_and_a_dictionary_for_json():
    ranking = Ranking(np.array([[2, -1]]), np.array([[0.25, np.nan]], np.float32), np.array([[True, False]]))
    assert repr(ranking) == "Ranking(indices=array(1, 2), distances=array(1, 2), matches=array(1, 2))"
    assert ranking.to_dict() == {"indices": [[2, -1]], "distances": [[0.25, None]], "matches": [[True, False]]}
    json.dumps(ranking.to_dict(), allow_nan=False)


def test_ids_beyond_63_bits_are_refused():
    largest = np.array([2**63 - 1], dtype=np.uint64)
    assert Labels(largest, [0]).person_ids[0] == 2**63 - 1
    with pytest.raises(DataError, match="person_ids: got 9223372036854775808, expected at most 9223372036854775807"):
        Labels(largest + np.uint64(1), [0])


def test_a_data_set_prints_its_counts_and_no_samples():
    sample = Sample(Path("a.jpg"), 1, 0)
    data = DataSet("folder", Path("people"), "folder:people", train=(sample,) * 3, query=(sample,), gallery=())
    assert repr(data) == "DataSet('folder:people', train=3, query=1, gallery=0, protocol='market')"


def test_own_data_are_titled_by_their_last_folder_or_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    empty = {"train": (), "query": (), "gallery": ()}
    for name, root, variant, title in (
        ("folder", "data/ours", "", "folder:ours"),
        ("folder", ".", "cameras unknown", f"folder:{tmp_path.name} (cameras unknown)"),
        ("table", "/data/site.csv", "", "table:site.csv"),
        ("folder", "/", "", "folder"),
        ("market1501", "/data/market", "", "market1501"),
    ):
        assert DataSet(name, Path(root), "spec", **empty, variant=variant).title == title
