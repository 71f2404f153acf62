"""Rank-1 by pair of cameras. Oracle: the values that were given, read back from the figure."""

import numpy as np
import pytest

from passerby.errors import DataError
from passerby.evaluation.camera_pairs import CameraPairs
from passerby.plots.camera_matrix import plot_camera_pairs


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def pairs(cameras=3):
    valid = np.full((cameras, cameras), 4)
    np.fill_diagonal(valid, 0)
    rank1 = np.where(valid > 0, 0.25, np.nan)
    return CameraPairs(np.arange(cameras), np.arange(cameras), rank1, valid)


def test_every_pair_of_cameras_shows_rank1_and_its_number_of_queries(drawn, tmp_path):
    plot_camera_pairs(pairs(), tmp_path / "c.png")
    assert texts(drawn[0]).count("25") == texts(drawn[0]).count("of 4") == 6
    assert [label.get_text() for label in drawn[0].axes[0].get_xticklabels()] == ["1", "2", "3"]


def test_of_many_cameras_those_with_the_most_valid_queries_are_shown(drawn, tmp_path):
    plot_camera_pairs(pairs(40), tmp_path / "c.png")
    assert texts(drawn[0]).count("25") == 16 * 15
    assert any("the 16 of 40 cameras with the most valid queries" in text.get_text() for text in drawn[0].texts)


def test_no_valid_query_is_an_error(tmp_path):
    pairs = CameraPairs(np.array([0]), np.array([0]), np.array([[np.nan]]), np.array([[0]]))
    with pytest.raises(DataError, match="no query has its identity in another camera"):
        plot_camera_pairs(pairs, tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []
