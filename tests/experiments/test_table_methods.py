"""Rows of Table 5. Oracles: the paper's table in published.yaml, and the recipes themselves."""

import pytest

from passerby.errors import RecipeError
from passerby.experiments.table_methods import list_table5, load_rows
from passerby.model.info import configuration_info
from passerby.recipe import load_recipe
from passerby.reporting.published import list_published_methods
from passerby.runs.arguments import model_arguments


def test_every_method_of_the_paper_has_a_row_in_its_order_and_metrics_follow():
    names = list_table5()
    assert [name.replace("-", "") for name in names[: len(list_published_methods())]] == [
        method.partition(" ")[0].replace("-", "").lower() for method in list_published_methods()
    ]
    assert names[len(list_published_methods()) :] == ["default-kissme", "default-xqda", "lomo-kissme", "lomo-xqda"]


def test_rows_take_the_training_and_the_backbone_of_like_where_their_method_has_none():
    rows = load_rows(["table5"], "lab-atto", [])
    assert next(iter(rows)) == "lab-atto"
    assert {recipe.schedule.lr_max for recipe in rows.values()} == {load_recipe("lab-atto").schedule.lr_max}
    backbones = {name: recipe.model.backbone for name, recipe in rows.items()}
    assert backbones.pop("osnet") == "osnet_x1_0"
    assert {backbones.pop("lomo-xqda"), backbones.pop("lomo-kissme")} == {"lomo"}
    assert set(backbones.values()) == {"convnext_atto"}
    assert {recipe.model.pretrained for recipe in rows.values()} == {False}
    assert rows["default-xqda"].model.weights is not None


@pytest.mark.parametrize("name", list_table5())
def test_every_row_can_be_built_under_lab_atto(name):
    recipe = load_rows(["table5"], "lab-atto", [])[name]
    info = configuration_info(model_arguments(recipe), identities=4, size=recipe.images.size)
    assert info.embedding_width > 0


def test_named_rows_keep_their_backbone():
    rows = load_rows(["pcb", "table5"], "lab-atto", []) if "pcb" not in list_table5() else {}
    assert rows["pcb"].model.backbone.startswith("resnet50")
    assert rows["pcb-rpp"].model.backbone == "convnext_atto"
    assert load_rows(["table5"], None, [])["hpm"].model.backbone.startswith("resnet50")


def test_a_row_named_twice_is_refused():
    with pytest.raises(RecipeError, match="each file name once"):
        load_rows(["table5", "hpm"], "lab-atto", [])
