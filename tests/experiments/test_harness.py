"""Methods under one harness. Oracles: the two recipes that went in, and arithmetic."""

import pytest

from conftest import STAGED, tiny_recipe
from passerby.errors import RecipeError
from passerby.experiments.harness import under, with_epochs
from passerby.recipe import load_recipe


def test_stages_and_warm_up_keep_their_shares():
    recipe = tiny_recipe("schedule.epochs=12", "schedule.warmup_epochs=4")
    assert with_epochs(recipe, 6).schedule.warmup_epochs == 2
    assert with_epochs(recipe, 1).schedule.warmup_epochs == 0
    staged = with_epochs(tiny_recipe(*STAGED), 7)
    assert sum(stage.epochs for stage in staged.stages) == staged.schedule.epochs == 7
    assert min(stage.epochs for stage in staged.stages) >= 2
    with pytest.raises(RecipeError, match="got 2 epochs, expected at least 3, one for each of its 3 stages"):
        with_epochs(tiny_recipe(*STAGED), 2)


def test_the_training_is_the_harnesss_and_the_model_the_methods():
    harness, method = load_recipe("lab-atto"), load_recipe("bdb")
    found = under(harness, method)
    assert (found.model, found.loss, found.name) == (method.model, method.loss, "bdb")
    assert (found.batches, found.optimizer) == (harness.batches, harness.optimizer)
    assert (found.schedule, found.training) == (harness.schedule, harness.training)
    assert (found.images.size, found.images.jitter) == (harness.images.size, harness.images.jitter)
    assert under(harness, load_recipe("plain-vit")).images.mean == (0.5, 0.5, 0.5)


def test_stages_keep_their_share_of_the_epochs_and_of_the_rate():
    """PCB+RPP trains 60, 5 and 5 epochs, the last two at a tenth of the rate."""
    found = under(load_recipe("lab-atto", overrides=["schedule.epochs=28"]), load_recipe("pcb-rpp"))
    assert [stage.warmup_epochs for stage in found.stages] == [5, 0, 0]
    assert [stage.epochs for stage in found.stages] == [24, 2, 2]
    assert [stage.lr_max for stage in found.stages] == [None, pytest.approx(2e-4), pytest.approx(2e-4)]
    with pytest.raises(RecipeError, match="got 2 epochs, expected at least 3"):
        under(
            load_recipe("lab-atto", overrides=["schedule.epochs=2", "schedule.warmup_epochs=0"]), load_recipe("pcb-rpp")
        )
