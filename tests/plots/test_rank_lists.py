"""Rank lists. Oracle: the ranking that was given, read back from the captions and boxes of the figure."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from passerby.evaluation.summary import Scores
from passerby.plots.rank_lists import choose_queries, plot_rank_lists
from passerby.plots.style import RIGHT, WRONG
from passerby.types import Ranking, Sample

NAN = float("nan")


def scores(*precision):
    return Scores(
        cmc=np.ones(1, dtype=np.float32),
        mAP=0.5,
        mINP=0.5,
        queries=len(precision),
        valid_queries=int(np.isfinite(precision).sum()),
        gallery=9,
        protocol="market",
        ap="step",
        average_precision=np.array(precision),
    )


def test_worst_queries_come_first_and_invalid_queries_are_left_out():
    given = scores(0.5, 0.1, NAN, 1.0, 0.1)
    assert choose_queries(given, 3).tolist() == [1, 4, 0]
    assert choose_queries(given, 2, order="best").tolist() == [3, 0]
    assert choose_queries(given, 99).tolist() == [1, 4, 0, 3]


def test_random_queries_depend_on_the_seed():
    given = scores(*np.linspace(0, 1, 50), NAN)
    first, again, other = (choose_queries(given, 8, order="random", seed=seed) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()
    assert len(set(first)) == 8
    assert 50 not in choose_queries(given, 50, order="random")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "median"}, "order: got 'median', expected one of worst, best, random"),
        ({"count": 0}, "count: got 0"),
        ({"scores": Scores(np.ones(1), 1, 1, 3, 3, 3, "market", "step")}, "got 0 AP values for 3 queries"),
    ],
)
def test_invalid_arguments_of_choose_queries_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        choose_queries(**{"scores": scores(0.5), "count": 1, **options})


QUERY = [Sample(Path("q0.png"), 3, 0), Sample(Path("q1.png"), 5, 1)]
GALLERY = [Sample(Path("g0.png"), 5, 2), Sample(Path("g1.png"), 0, 0), Sample(Path("g2.png"), 3, 1)]
RANKING = Ranking(
    np.array([[2, 1, 0], [1, 0, -1]]),
    np.array([[0.125, 0.25, 0.5], [0.0625, 0.75, NAN]], dtype=np.float32),
    np.array([[True, False, False], [False, True, False]]),
)


def image_of(sample):
    """Random colors for each file; sizes that differ."""
    generator = np.random.default_rng(len(sample.label) + sample.camera_id)
    return generator.integers(0, 256, size=(40 + 10 * sample.camera_id, 20, 3), dtype=np.uint8)


def test_captions_hold_match_rank_distance_identity_and_camera(tmp_path, drawn):
    (file,) = plot_rank_lists(RANKING, tmp_path / "ranks.png", query=QUERY, gallery=GALLERY, chosen=[1], read=image_of)
    assert file.stat().st_size > 0
    (page,) = drawn[0].axes
    _query, wrong, right = page.patches  # the third rank is empty
    assert to_rgb(wrong.get_edgecolor()) == to_rgb(WRONG)
    assert to_rgb(right.get_edgecolor()) == to_rgb(RIGHT)
    texts = [text.get_text() for text in page.texts]
    assert texts == [
        *("query", "identity 5", "camera 2"),
        *("✗ 1: 0.062", "distractor", "camera 1"),
        *("✓ 2: 0.750", "identity 5", "camera 3"),
    ]
    np.testing.assert_array_equal(page.images[0].get_array(), image_of(QUERY[1]))
    for image, box in zip(page.images, page.patches, strict=True):  # in inches: shapes are kept
        rows, columns = image.get_array().shape[:2]
        assert box.get_height() / box.get_width() == pytest.approx(rows / columns)


def test_rows_are_in_the_given_order_and_top_limits_the_list(tmp_path, drawn):
    chosen = np.array([1, 0])
    plot_rank_lists(RANKING, tmp_path / "ranks.png", query=QUERY, gallery=GALLERY, chosen=chosen, read=image_of, top=1)
    (page,) = drawn[0].axes
    texts = [text.get_text() for text in page.texts]
    assert [text for text in texts if ":" in text][:2] == ["✗ 1: 0.062", "✓ 1: 0.125"]
    assert len(page.images) == 4


@pytest.mark.parametrize(
    ("chosen", "query", "message"),
    [
        ([], QUERY, "chosen: got no query, expected indices from 0 to 1"),
        ([0, 2], QUERY, r"chosen: got \[2\]"),
        ([0], QUERY[:1], "ranking: got 2 lists for 1 query"),
    ],
)
def test_invalid_arguments_of_plot_rank_lists_are_refused(tmp_path, chosen, query, message):
    with pytest.raises(ValueError, match=message):
        plot_rank_lists(RANKING, tmp_path / "ranks.png", query=query, gallery=GALLERY, chosen=chosen, read=image_of)
