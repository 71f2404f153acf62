"""Recipes that are changed from Python. Oracle: the documented rules, and the recipe before."""

import pytest

from passerby.errors import RecipeError
from passerby.recipe import Recipe, load_recipe


def test_an_assigned_setting_is_validated():
    recipe = load_recipe("lab-atto")
    recipe.schedule.epochs = 60
    recipe.loss.circle = {"gamma": 32}
    recipe.model.weights = "default"
    assert (recipe.schedule.epochs, recipe.loss.circle.gamma, str(recipe.model.weights)) == (60, 32, "default")
    changes = ["schedule.epochs=60", "loss.circle={gamma: 32}", "model.weights=default"]
    assert recipe == load_recipe("lab-atto", overrides=changes)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("schedule", "epochs", 0, "schedule.epochs: expected an integer of at least 1, got 0"),
        ("schedule", "epochs", 5, "warmup_epochs: 5 leaves nothing of 5 epochs"),
        ("schedule", "epoch", 5, r"unknown key 'schedule.epoch'; did you mean 'epochs'\? schedule has the keys epochs"),
        ("model", "drop_height", 0.5, "method convnext_ap has no drop_height"),
        (
            "loss",
            "circle",
            {"beta": 1},
            "unknown key 'loss.circle.beta'; loss.circle has the keys weight, margin",
        ),
    ],
)
def test_an_assigned_value_that_is_impossible_leaves_the_recipe_as_it_was(section, key, value, message):
    recipe = load_recipe("lab-atto")
    with pytest.raises(RecipeError, match=message):
        setattr(getattr(recipe, section), key, value)
    assert recipe == load_recipe("lab-atto")


def test_assigning_a_section_checks_the_rules_between_sections():
    recipe = load_recipe("lab-atto-rpp")
    with pytest.raises(RecipeError, match=r"epochs are 16 \+ 4 \+ 4, but schedule\.epochs is 30; make the sums equal"):
        recipe.schedule = recipe.schedule.model_copy(update={"epochs": 30})
    assert recipe == load_recipe("lab-atto-rpp")


def test_recipes_share_no_settings():
    """A change to one recipe does not reach another, nor the defaults."""
    first, second = load_recipe("demo"), load_recipe("demo")
    first.evaluation.batch = 7
    first.images.erasing.p = 0.9
    Recipe().loss.identity.weight = 3.0
    copy = second.with_changes(images=second.images)
    copy.images.pad = 99
    assert second == load_recipe("demo")
    assert Recipe().loss.identity.weight == 1.0


def test_changes_by_keyword_are_those_of_the_command_line():
    """Oracle: the same overrides."""
    changed = load_recipe("lab-atto").with_changes(
        name="mine",
        schedule={"epochs": 60, "lr_max": 1e-3},
        loss={"triplet": None, "supcon": {}, "identity": {"weight": 2}},
        images={"jitter": {"hue": 0.1}},
        training={"ema": 0.99},
    )
    overrides = ["name=mine", "schedule.epochs=60", "schedule.lr_max=1e-3", "loss.triplet=null", "loss.supcon={}"]
    overrides += ["loss.identity.weight=2", "images.jitter.hue=0.1", "training.ema=0.99"]
    assert changed == load_recipe("lab-atto", overrides=overrides)
    assert load_recipe("lab-atto").with_changes(**{"schedule.epochs": 60}).schedule.epochs == 60
    assert load_recipe("lab-atto").with_changes() == load_recipe("lab-atto")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"schedule": {"epoch": 3}},
            r"recipe lab-atto: unknown key 'schedule.epoch'; did you mean 'epochs'",
        ),
        (
            {"model": {"refine": True}, "stages": [{"name": "a", "epochs": 3}]},
            "epochs are 3, but schedule.epochs is",
        ),
        ({"name": {"first": "x"}}, "name is a value, not a section"),
    ],
)
def test_impossible_changes_are_explained(changes, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("lab-atto").with_changes(**changes)
