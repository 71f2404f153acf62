"""Recipes under one harness. Oracles: the two recipes that were given, and arithmetic."""

import pytest

from conftest import STAGED, tiny_recipe
from passerby.errors import RecipeError
from passerby.experiments.harness import apply_harness, set_epochs
from passerby.recipe import load_recipe


def test_stages_and_warm_up_keep_their_fractions():
    recipe = tiny_recipe("schedule.epochs=12", "schedule.warmup_epochs=4")
    assert set_epochs(recipe, 6).schedule.warmup_epochs == 2
    assert set_epochs(recipe, 1).schedule.warmup_epochs == 0
    staged = set_epochs(tiny_recipe(*STAGED), 7)
    assert sum(stage.epochs for stage in staged.stages) == staged.schedule.epochs == 7
    assert min(stage.epochs for stage in staged.stages) >= 2
    with pytest.raises(RecipeError, match="got 2 epochs, expected at least 3, one for each of its 3 stages"):
        set_epochs(tiny_recipe(*STAGED), 2)


def test_training_is_from_the_harness_and_model_from_the_method():
    harness, method = load_recipe("lab-atto"), load_recipe("bdb")
    recipe = apply_harness(harness, method)
    assert (recipe.model, recipe.loss, recipe.name) == (method.model, method.loss, "bdb")
    assert (recipe.batches, recipe.optimizer) == (harness.batches, harness.optimizer)
    assert (recipe.schedule, recipe.training) == (harness.schedule, harness.training)
    assert (recipe.images.size, recipe.images.jitter) == (harness.images.size, harness.images.jitter)
    assert apply_harness(harness, load_recipe("plain-vit")).images.mean == (0.5, 0.5, 0.5)


def test_stages_keep_their_fraction_of_the_epochs_and_of_the_rate():
    """PCB+RPP trains 60, 5 and 5 epochs, the last two at a tenth of the rate."""
    recipe = apply_harness(load_recipe("lab-atto", overrides=["schedule.epochs=28"]), load_recipe("pcb-rpp"))
    assert [stage.warmup_epochs for stage in recipe.stages] == [5, 0, 0]
    assert [stage.epochs for stage in recipe.stages] == [24, 2, 2]
    assert [stage.lr_max for stage in recipe.stages] == [None, pytest.approx(2e-4), pytest.approx(2e-4)]
    with pytest.raises(RecipeError, match="got 2 epochs, expected at least 3"):
        apply_harness(
            load_recipe("lab-atto", overrides=["schedule.epochs=2", "schedule.warmup_epochs=0"]), load_recipe("pcb-rpp")
        )
