"""Training curves. Oracle: the records that were given, read back from the lines of the figure."""

import numpy as np
import pytest
from PIL import Image

from passerby.plots.training_curves import plot_learning_rate, plot_losses


def log(epochs, steps):
    return [
        {
            "step": epoch * steps + step + 1,
            "epoch": epoch + 1,
            "epoch_ends": step == steps - 1,
            "learning_rate": 0.1 / (epoch + 1),
            "losses": {"total": 4.0 - epoch, "identity": 2.0},
        }
        for epoch in range(epochs)
        for step in range(steps)
    ]


def test_learning_rate_is_plotted_over_epochs(tmp_path, drawn):
    records = [*log(2, 5), {"step": 10, "epoch": 2, "scores": {"synth/mAP": 0.5}}]
    (png,) = plot_learning_rate(records, tmp_path / "lr.png")
    np.testing.assert_allclose(
        drawn[0].axes[0].lines[0].get_xydata(), [[step / 5, 0.1 if step <= 5 else 0.05] for step in range(1, 11)]
    )
    with Image.open(png) as image:
        assert image.width > 800


def test_losses_are_averaged_over_epochs_and_metrics_have_a_second_panel(tmp_path, drawn):
    records = [*log(2, 4), {"step": 8, "epoch": 2, "scores": {"synth/mAP": 0.5}}]
    plot_losses(records, tmp_path / "loss.png")
    left, right = drawn[0].axes
    by_name = {line.get_label(): line.get_xydata() for line in left.lines}
    np.testing.assert_allclose(by_name["total"], [[0.625, 4], [1.625, 3]])
    np.testing.assert_allclose(right.lines[0].get_xydata(), [[2, 50]])


def test_the_x_axis_is_in_steps_before_the_first_epoch_ends(tmp_path, drawn):
    plot_losses(log(2, 4)[:3], tmp_path / "loss.png")
    assert drawn[0].axes[0].get_xlabel() == "Step"
    assert len(drawn[0].axes) == 1


def test_a_long_training_is_plotted_with_few_points(tmp_path, drawn):
    plot_learning_rate(log(3, 5000), tmp_path / "lr.png")
    points = drawn[0].axes[0].lines[0].get_xydata()
    assert len(points) < 4000
    assert points[-1].tolist() == pytest.approx([3, 0.1 / 3])


def test_records_without_values_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="records: none of 0 holds 'learning_rate'"):
        plot_learning_rate([], tmp_path / "lr.png")
    with pytest.raises(ValueError, match="records: none of 1 holds 'losses'"):
        plot_losses([{"step": 1}], tmp_path / "loss.png")
    assert not list(tmp_path.iterdir())
