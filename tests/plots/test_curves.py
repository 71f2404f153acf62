"""Curves are drawn from what they are given; pictures are read back, not compared pixel by pixel."""

import numpy as np
import pytest
from PIL import Image

from passerby.plots.curves import cmc_figure, loss_figure, lr_figure
from passerby.types import Scores


def scores(*cmc, **facts):
    settings = {
        "mAP": 0.4,
        "mINP": 0.1,
        "queries": 12,
        "valid_queries": 10,
        "gallery": 1234,
        "protocol": "market",
        "ap": "step",
    }
    return Scores(cmc=np.array(cmc, dtype=np.float32), **{**settings, **facts})


def texts(figure):
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return "\n".join(legends + [text.get_text() for text in figure.texts])


def log(epochs, steps):
    return [
        {
            "step": epoch * steps + step + 1,
            "epoch": epoch,
            "epoch_ends": step == steps - 1,
            "learning_rate": 0.1 / (epoch + 1),
            "losses": {"total": 4.0 - epoch, "identity": 2.0},
        }
        for epoch in range(epochs)
        for step in range(steps)
    ]


def test_cmc_is_drawn_in_percent_with_its_interval_and_its_rules(tmp_path, drawn):
    run = scores(0.25, 0.5, 0.75, intervals={"rank1": (0.2, 0.3), "mAP": (0.35, 0.45)})
    files = cmc_figure({"AP": run}, tmp_path / "new" / "cmc.png", max_rank=2)
    assert [file.name for file in files] == ["cmc.png", "cmc.svg"]
    assert all(file.stat().st_size for file in files)
    line = drawn[0].axes[0].lines[0]
    np.testing.assert_allclose(line.get_xydata(), [[1, 25], [2, 50]])
    bar = drawn[0].axes[0].collections[0].get_segments()[0]
    np.testing.assert_allclose(bar, [[1, 20], [1, 30]])
    for fact in (
        "AP: Rank-1 25.0 % [20.0-30.0], mAP 40.0 % [35.0-45.0]",
        "10 of 12",
        "1,234",
        "market",
        "step AP",
        "95 %",
    ):
        assert fact in texts(drawn[0])


def test_runs_on_different_rules_each_name_theirs(tmp_path, drawn):
    cmc_figure({"a": scores(0.5, 1), "b": scores(0.6, 1, ap="trapezoid")}, tmp_path / "cmc.png")
    assert "step AP" in texts(drawn[0])
    assert "trapezoid AP" in texts(drawn[0])
    assert "interval" not in texts(drawn[0])


def test_ten_runs_of_one_rank_can_be_drawn(tmp_path, drawn):
    cmc_figure({str(number): scores(number / 10) for number in range(10)}, tmp_path / "cmc.png")
    assert len(drawn[0].axes[0].lines) == 10


def test_the_same_curve_gives_the_same_bytes(tmp_path):
    one, other = (cmc_figure({"AP": scores(0.5, 1)}, tmp_path / name / "cmc.png") for name in ("a", "b"))
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in other]


def test_learning_rate_is_drawn_over_epochs(tmp_path, drawn):
    records = [*log(2, 5), {"step": 10, "epoch": 1, "scores": {"synth/mAP": 0.5}}]
    (png, _) = lr_figure(records, tmp_path / "lr.png")
    np.testing.assert_allclose(
        drawn[0].axes[0].lines[0].get_xydata(), [[step / 5, 0.1 if step <= 5 else 0.05] for step in range(1, 11)]
    )
    with Image.open(png) as image:
        assert image.width > 800


def test_losses_are_averaged_over_epochs_and_scores_stand_beside(tmp_path, drawn):
    records = [*log(2, 4), {"step": 8, "epoch": 1, "scores": {"synth/mAP": 0.5}}]
    loss_figure(records, tmp_path / "loss.png")
    left, right = drawn[0].axes
    by_name = {line.get_label(): line.get_xydata() for line in left.lines}
    np.testing.assert_allclose(by_name["total"], [[0.625, 4], [1.625, 3]])
    np.testing.assert_allclose(right.lines[0].get_xydata(), [[2, 50]])


def test_before_the_first_epoch_ends_steps_are_drawn(tmp_path, drawn):
    loss_figure(log(2, 4)[:3], tmp_path / "loss.png")
    assert drawn[0].axes[0].get_xlabel() == "Step"
    assert len(drawn[0].axes) == 1


def test_a_long_training_is_drawn_with_few_points(tmp_path, drawn):
    lr_figure(log(3, 5000), tmp_path / "lr.png")
    points = drawn[0].axes[0].lines[0].get_xydata()
    assert len(points) < 4000
    assert points[-1].tolist() == pytest.approx([3, 0.1 / 3])


def test_nothing_to_draw_is_said(tmp_path):
    with pytest.raises(ValueError, match="runs: got none"):
        cmc_figure({}, tmp_path / "cmc.png")
    with pytest.raises(ValueError, match="records: none of 0 holds 'learning_rate'"):
        lr_figure([], tmp_path / "lr.png")
    with pytest.raises(ValueError, match="records: none of 1 holds 'losses'"):
        loss_figure([{"step": 1}], tmp_path / "loss.png")
    assert not list(tmp_path.iterdir())


def test_a_long_title_stays_on_the_page(tmp_path, drawn):
    """Oracle: the legend's own extent, in pixels, inside the figure's."""
    cmc_figure({f"{'a long title, ' * 12}end": scores(0.5, 1.0)}, tmp_path / "cmc.png")
    page, legend = drawn[0].bbox, drawn[0].legends[0].get_window_extent()
    assert page.x0 <= legend.x0 < legend.x1 <= page.x1
    assert page.y0 <= legend.y0 < legend.y1 <= page.y1
