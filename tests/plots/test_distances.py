"""Pictures of distances. Oracle: the figures that were handed in, read back from what was drawn."""

import numpy as np
import pytest

from passerby.errors import DataError
from passerby.evaluation.camera_pairs import CameraPairs
from passerby.evaluation.pair_histogram import PairHistogram
from passerby.plots.distances import plot_camera_pairs, plot_distances, plot_embedding_map, plot_precision_recall


def words(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_histograms_are_shares_of_their_kind(drawn, tmp_path):
    same, different = np.zeros(100, dtype=int), np.zeros(100, dtype=int)
    same[10], same[12], different[50] = 3, 1, 7
    histogram = PairHistogram(0.0, 2.0, same, different)
    written = plot_distances({"a": histogram, "b": histogram}, tmp_path / "d.png")
    assert [path.suffix for path in written] == [".png", ".svg"]
    assert all(path.stat().st_size > 1000 for path in written)
    axes = drawn[0].axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "different people: 7 pairs",
        "same person: 4 pairs",
    ]
    heights = [patch.get_data().values for patch in axes.patches]
    assert [each.sum() for each in heights] == pytest.approx([100] * 4)
    assert max(heights[-1]) == 75
    assert axes.get_xlim() == pytest.approx((0.2, 1.02))


def test_only_one_kind_of_pair_can_be_drawn(drawn, tmp_path):
    counts = np.zeros(10, dtype=int)
    counts[3] = 2
    plot_distances({"a": PairHistogram(0.0, 2.0, np.zeros(10, dtype=int), counts)}, tmp_path / "d.png")
    assert len(drawn[0].axes[0].get_legend().get_texts()) == 1


def test_precision_stands_over_recall(drawn, tmp_path):
    plot_precision_recall({"a": np.linspace(1, 0.5, 101), "b": np.full(101, 0.25)}, tmp_path / "p.png")
    first, second = drawn[0].axes[0].lines
    np.testing.assert_allclose(first.get_xdata()[[0, -1]], [0, 100])
    np.testing.assert_allclose(first.get_ydata()[[0, -1]], [100, 50])
    assert set(second.get_ydata()) == {25}


def pairs(cameras=3):
    valid = np.full((cameras, cameras), 4)
    np.fill_diagonal(valid, 0)
    rank1 = np.where(valid > 0, 0.25, np.nan)
    return CameraPairs(np.arange(cameras), np.arange(cameras), rank1, valid)


def test_every_pair_of_cameras_has_its_figure_and_its_count(drawn, tmp_path):
    plot_camera_pairs(pairs(), tmp_path / "c.png")
    assert words(drawn[0]).count("25") == words(drawn[0]).count("of 4") == 6
    assert [label.get_text() for label in drawn[0].axes[0].get_xticklabels()] == ["1", "2", "3"]


def test_of_many_cameras_the_busiest_are_shown_and_it_is_said(drawn, tmp_path):
    plot_camera_pairs(pairs(40), tmp_path / "c.png")
    assert words(drawn[0]).count("25") == 16 * 15
    assert any("the 16 busiest of 40 cameras" in text.get_text() for text in drawn[0].texts)


def test_named_people_are_written_at_one_of_their_images(drawn, tmp_path):
    points = np.array([[0.0, 0], [1, 1], [1, 2], [9, 9]])
    people, cameras = np.array([1, 2, 2, 2]), np.array([0, 0, 1, 0])
    plot_embedding_map(points, people, cameras, tmp_path / "m.png", title="t", named=[2])
    (note,) = drawn[0].axes[0].texts
    assert note.get_text() == "2"
    assert tuple(note.xy) == (1, 2)
    assert [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()] == ["camera 1", "camera 2"]


def test_nothing_to_draw_is_an_error(tmp_path):
    path = tmp_path / "x.png"
    with pytest.raises(DataError, match="runs: got none"):
        plot_distances({}, path)
    with pytest.raises(DataError, match="runs: got none"):
        plot_precision_recall({}, path)
    nothing = CameraPairs(np.array([0]), np.array([0]), np.array([[np.nan]]), np.array([[0]]))
    with pytest.raises(DataError, match="no query has its person in another camera"):
        plot_camera_pairs(nothing, path)
    with pytest.raises(DataError, match="points: got none"):
        plot_embedding_map(np.empty((0, 2)), np.array([]), np.array([]), path, title="", named=[])
    assert not path.exists()
