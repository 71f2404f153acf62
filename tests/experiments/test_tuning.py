"""Choice of settings on held-out people. Oracles: recipes compared key by key, and splits counted by hand."""

import pytest

from conftest import SIMPLE, tiny_recipe
from passerby.data.datasets import load_data
from passerby.errors import DataError, RecipeError
from passerby.experiments.comparison_tables import TunedRow
from passerby.experiments.tuning import Tuning, apply_choices, hold_out, make_tuning_cells, parse_tuning
from passerby.recipe import load_recipe


def test_held_out_people_are_training_people_and_no_test_person_is_left():
    (data,) = load_data(SIMPLE)
    (held,) = load_data(hold_out(SIMPLE, 12))
    people = {sample.person_id for sample in data.train}
    assert len({sample.person_id for sample in held.query}) == 3
    assert {sample.person_id for sample in held.query} | {sample.person_id for sample in held.train} == people
    assert not {sample.person_id for sample in held.query} & {sample.person_id for sample in held.train}
    used = {sample.path for sample in (*held.train, *held.query, *held.gallery)}
    assert used == {sample.path for sample in data.train}
    assert "3 training identities held out" in held.title


def test_a_path_with_options_gets_one_more():
    assert hold_out("cuhk01:/data?split=871", 871) == "cuhk01:/data?split=871&holdout=218"
    assert hold_out("market1501:/data", 8) == "market1501:/data?holdout=2"


def test_too_many_held_out_people_are_refused():
    with pytest.raises(DataError, match="option holdout=11 leaves fewer than two of 12 training identities"):
        load_data(f"{SIMPLE},holdout=11")


def test_a_learning_rate_moves_all_rates_in_proportion():
    recipe = load_recipe("lab-atto-rpp")
    changed = Tuning("lr", (1.0,)).change(recipe, 2 * recipe.schedule.lr_max)
    for name in ("lr_init", "lr_max", "lr_min"):
        assert getattr(changed.schedule, name) == pytest.approx(2 * getattr(recipe.schedule, name))
        pairs = [(getattr(a, name), getattr(b, name)) for a, b in zip(changed.stages, recipe.stages, strict=True)]
        assert [a for a, _ in pairs] == [None if b is None else pytest.approx(2 * b) for _, b in pairs]
    assert changed.with_changes(schedule=recipe.schedule, stages=recipe.model_dump()["stages"]) == recipe


def test_each_row_gets_the_same_trainings_of_the_settings_that_it_has():
    rows = {"tiny": tiny_recipe(), "metric": tiny_recipe("metric.method=xqda")}
    cells = make_tuning_cells(rows, parse_tuning(["lr=0.001,0.01", "metric.ridge=0.1,1"]), 2)
    assert [cell.slug for cell in cells] == [
        "tiny-lr-0.001",
        "tiny-lr-0.01",
        "metric-metric.ridge-0.1",
        "metric-metric.ridge-1",
    ]
    assert {cell.recipe.schedule.epochs for cell in cells} == {2}
    assert [cell.recipe.metric and cell.recipe.metric.ridge for cell in cells] == [None, None, 0.1, 1.0]


def test_rows_without_a_choice_keep_their_setting():
    rows = {"a": tiny_recipe(), "b": tiny_recipe()}
    chosen = [TunedRow("a", "lr", {0.01: 0.5}, 0.01), TunedRow("b", "lr", {}, None)]
    recipes, texts = apply_choices(rows, parse_tuning(["lr=0.01"]), chosen)
    assert recipes["a"].schedule.lr_max == 0.01
    assert recipes["b"] == rows["b"]
    assert texts == {"a": "lr=0.01"}


@pytest.mark.parametrize("text", ["lr", "lr=", "=1", "lr=a", "lr=0.1,0.1", "lr=0", "lr=inf", "lr=-1,1"])
def test_settings_that_cannot_be_tried_are_refused(text):
    with pytest.raises(RecipeError, match=r"tune: got .*expected a key and different values above 0"):
        parse_tuning([text])


def test_two_settings_of_the_same_rows_are_refused():
    with pytest.raises(RecipeError, match=r"lr and optimizer.weight_decay are of the same rows; give one of them"):
        parse_tuning(["lr=1", "optimizer.weight_decay=1"])
