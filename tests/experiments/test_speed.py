"""Speed of training. Oracles: the number of images in an epoch, and arithmetic on a given speed."""

import pytest

from conftest import SIMPLE, tiny_recipe
from passerby.errors import RecipeError, TrainingError
from passerby.experiments import speed


def test_training_speed_counts_the_images_of_an_epoch():
    """12 training identities in batches of 4 x 2: 48 images an epoch."""
    rate, images = speed.measure_training_speed(tiny_recipe(), SIMPLE, device="cpu", seconds=0)
    assert rate > 0
    assert images == 48


def test_training_of_two_steps_is_too_short_to_time():
    short = tiny_recipe("schedule.epochs=1", "schedule.warmup_epochs=0", "batches.persons=12")
    with pytest.raises(TrainingError, match="too few steps in 1 epoch to be timed; give more epochs"):
        speed.measure_training_speed(short, SIMPLE, device="cpu", seconds=0)


class FakeStep:
    """A step of a GPU: its values are on the host after every fifth step; another reading waits for the device."""

    waits = 0

    def __init__(self, step: int) -> None:
        self.step = step
        self.losses_read = step % 5 == 0

    @property
    def losses(self) -> dict[str, float]:
        FakeStep.waits += not self.losses_read
        return {"loss": 1.0}

    @property
    def images_per_second(self) -> float:
        FakeStep.waits += not self.losses_read
        return 10.0 * self.step


@pytest.mark.parametrize(("last", "rate", "waits"), [(40, 225.0, 2), (4, 40.0, 3)])
def test_the_device_is_waited_for_once_per_group_of_steps(monkeypatch, last, rate, waits):
    """Oracle: the median of the rates at steps 5, 10, ..., 40; with 4 steps, the rate at the last one, which waits."""
    FakeStep.waits = 0
    monkeypatch.setattr(speed, "training_steps", lambda *_args: map(FakeStep, range(1, last + 1)))
    measured, _ = speed.measure_training_speed(tiny_recipe(), SIMPLE, device="cpu", seconds=60)
    assert (measured, FakeStep.waits) == (rate, waits)


@pytest.mark.parametrize(("seconds", "epochs"), [(0.48, 1), (1.43, 2), (1.45, 3)])
def test_whole_epochs_fit_the_budget(monkeypatch, seconds, epochs):
    """48 images at 100 images per second take 0.48 s."""
    monkeypatch.setattr(speed, "measure_training_speed", lambda *_args, **_more: (100.0, 48))
    assert speed.fit_epochs(tiny_recipe(), SIMPLE, seconds / 60, device="cpu") == epochs


def test_budget_below_one_epoch_is_refused(monkeypatch):
    monkeypatch.setattr(speed, "measure_training_speed", lambda *_args, **_more: (10.0, 4800))
    with pytest.raises(
        RecipeError, match=r"1 minute: less than one epoch of 4,800 images at 10 images/s here; give at least 8\.0"
    ):
        speed.fit_epochs(tiny_recipe(), SIMPLE, 1, device="cpu")


def test_images_of_a_step_include_accumulated_batches():
    assert speed.count_step_images(tiny_recipe("optimizer.accumulate=3")) == 4 * 2 * 3
