"""Stages of a recipe. Oracle: the documented rules, and the values that were written."""

import pytest

from passerby.errors import RecipeError
from passerby.recipe import load_recipe, parse_recipe

TWO = [{"name": "a", "epochs": 4}, {"name": "b", "epochs": 6}]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            [{"name": "a", "epochs": 10, "lr": 1}],
            "unknown key 'stages.0.lr'; stages.0 has the keys name, epochs, warmup_epochs",
        ),
        ([{"name": "a", "epochs": 0}], "stages.0.epochs: expected an integer of at least 1, got 0"),
        ([{"epochs": 10}], "stages.0.name: missing; expected at most 40 lowercase letters"),
        ([{"name": "A B", "epochs": 10}], "stages.0.name: .*, got 'A B'"),
        ([{"name": "a", "epochs": 10, "train": ["head"]}], "stages.0.train.0: expected backbone, necks or refinement"),
        (
            [{"name": "a", "epochs": 10, "train": []}],
            "stages: a trains nothing; name at least one of",
        ),
        (
            [{"name": "a", "epochs": 4, "train": ["refinement"], "refine": False}, TWO[1]],
            "stages: a trains only refinement, which it does not use; name .* one of backbone, necks, refinement in",
        ),
        ([TWO[0], {**TWO[1], "name": "a"}], "stages: the names a, a are not all different"),
        (
            [TWO[0], TWO[0] | {"name": "b"}],
            r"stages: their epochs are 4 \+ 4, but schedule.epochs is 10; make",
        ),
        ([TWO[0], {**TWO[1], "refine": False}], "stages: b, the last, has refine: false, but model.refine is true"),
        ([TWO[0], {**TWO[1], "warmup_epochs": 6}], "stages: b: warmup_epochs: 6 leaves nothing of 6 epochs"),
        (
            [TWO[0], {**TWO[1], "lr_max": 1e-9}],
            "stages: b: lr_max must be at least lr_init and lr_min .missing values",
        ),
    ],
)
def test_impossible_stages_are_explained(stages, message):
    tree = {"schedule": {"epochs": 10, "warmup_epochs": 1}, "stages": stages}
    with pytest.raises(RecipeError, match=message):
        parse_recipe(tree)


def test_a_stage_cannot_refine_without_a_part_classifier():
    stages = [{"name": "a", "epochs": 10, "refine": True}]
    tree = {"schedule": {"epochs": 10, "warmup_epochs": 1}, "stages": stages}
    for model in ({"refine": False}, {"parts": 0, "refine": False}):
        with pytest.raises(
            RecipeError, match=r"stages: a has refine: true, but model.refine is false; set model.refine"
        ):
            parse_recipe({**tree, "model": model})


def test_missing_values_of_a_stage_are_the_schedules():
    tree = {
        "schedule": {"epochs": 10, "warmup_epochs": 1, "lr_init": 0.01, "lr_max": 0.2, "lr_min": 0.001},
        "stages": [{"name": "a", "epochs": 4, "refine": False}, {"name": "b", "epochs": 6, "lr_max": 0.1}],
    }
    first, second = parse_recipe(tree).plan
    assert (first.warmup_epochs, first.lr_init, first.lr_max, first.lr_min, first.refine) == (
        1,
        0.01,
        0.2,
        0.001,
        False,
    )
    assert (second.warmup_epochs, second.lr_max, second.lr_min, second.refine) == (1, 0.1, 0.001, True)
    (whole,) = load_recipe("lab-atto").plan
    assert (whole.name, whole.epochs, whole.lr_max, whole.refine) == ("", 24, 2e-3, False)


def test_stages_come_back_from_their_file(tmp_path):
    recipe, path = load_recipe("lab-atto-rpp"), tmp_path / "mine.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    assert load_recipe(path) == recipe


def test_the_staged_recipe_is_lab_atto_but_for_its_parts():
    """Oracle: every other section, and as many epochs."""
    plain, staged = (load_recipe(name).model_dump(exclude={"name", "stages"}) for name in ("lab-atto", "lab-atto-rpp"))
    assert (plain["model"].pop("refine"), staged["model"].pop("refine")) == (False, True)
    assert plain == staged
    stages = load_recipe("lab-atto-rpp").plan
    assert [stage.train for stage in stages[1:]] == [("refinement",), ("backbone", "necks", "refinement")]
    assert [stage.refine for stage in stages] == [False, True, True]
