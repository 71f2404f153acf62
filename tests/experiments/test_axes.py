"""Axes and cells of an ablation. Oracles: the paper's rows, and the recipe that each level is documented to make."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from passerby.errors import RecipeError
from passerby.experiments.axes import AXES, EVALUATION_ONLY, parse_axes, span_grid
from passerby.recipe import load_recipe

COMBINABLE = [axis for axis in AXES if axis != "stripes"]  # which excludes parts


def cells(text, name="lab-atto", **recipe):
    overrides = [f"{key.replace('__', '.')}={value}" for key, value in recipe.items()]
    return span_grid(load_recipe(name, overrides=overrides), parse_axes(text))


def test_the_papers_grid_is_baseline_a_p_ap_with_each_refinement():
    """Refinement has no effect without parts: eight cells, not twelve."""
    names = [cell.name for cell in cells("attention,parts,refine")]
    assert names == [
        "Baseline",
        "P, stripes",
        "P, refined jointly",
        "P, refined in stages",
        "A",
        "AP, stripes",
        "AP, refined jointly",
        "AP, refined in stages",
    ]


def test_recipe_of_a_cell_matches_its_name():
    recipes = {cell.name: cell.recipe for cell in cells("attention,parts,refine")}
    base, staged = recipes["Baseline"].model, recipes["AP, refined in stages"]
    assert (base.attention, base.parts, base.refine) == (False, 0, False)
    assert (staged.model.attention, staged.model.parts, staged.model.refine) == (True, 4, True)
    assert [stage.name for stage in staged.stages] == ["stripes", "parts", "together"]
    assert recipes["P, refined jointly"].stages == ()
    assert {recipe.schedule.epochs for recipe in recipes.values()} == {24}


def test_staged_lab_atto_equals_the_shipped_recipe():
    (cell,) = cells("refine=staged")
    shipped = load_recipe("lab-atto-rpp")
    assert cell.recipe.model == shipped.model
    assert cell.recipe.plan == shipped.plan


def test_stages_of_the_recipe_are_kept_or_removed():
    off, joint, staged = (cell.recipe for cell in cells("refine", "lab-atto-rpp"))
    assert (off.stages, off.model.refine, joint.stages, joint.model.refine) == ((), False, (), True)
    assert staged.stages == load_recipe("lab-atto-rpp").stages


def test_level_of_loss_turns_on_only_its_losses_and_keeps_their_settings():
    """Checked over every loss of a recipe, so that a loss outside the level is off."""
    recipes = {cell.levels["loss"]: cell.recipe.loss for cell in cells("loss", loss__triplet__margin=0.7)}
    on = {level: [name for name in type(loss).model_fields if getattr(loss, name)] for level, loss in recipes.items()}
    assert on == {
        "identity": ["identity"],
        "triplet": ["identity", "triplet"],
        "circle": ["identity", "circle"],
        "contrastive": ["identity", "contrastive"],
        "supcon": ["identity", "supcon"],
        "center": ["identity", "center"],
    }
    assert recipes["triplet"].triplet.margin == 0.7


def test_other_axes_set_the_keys_of_their_names():
    assert [cell.recipe.images.erasing is not None for cell in cells("erasing")] == [False, True]
    assert [cell.recipe.schedule.warmup_epochs for cell in cells("warmup")] == [0, 5]
    assert [cell.recipe.model.parts for cell in cells("stripes")] == [2, 3, 4, 6, 8]
    assert [cell.recipe.model.attention_position for cell in cells("position")] == ["depthwise", "block"]


def test_kinds_of_embedding_share_a_training():
    reduced, full = cells("embedding")
    assert (reduced.embedding, full.embedding) == ("reduced", "full")
    assert reduced.slug == full.slug
    assert reduced.recipe == full.recipe
    assert [cell.slug for cell in cells("attention,embedding")] == ["attention-off"] * 2 + ["attention-on"] * 2


def test_position_has_no_levels_without_attention():
    assert [cell.name for cell in cells("attention,position")] == [
        "Baseline",
        "A, position depthwise",
        "A, position block",
    ]


@given(st.lists(st.sampled_from(COMBINABLE), unique=True, min_size=1, max_size=4))
@example(COMBINABLE)
def test_cells_have_unique_names_and_shared_folders_have_equal_recipes(axes):
    recipes = cells(",".join(axes))
    assert len({cell.name for cell in recipes}) == len(recipes)
    by_folder = {cell.slug: cell.recipe for cell in recipes}
    assert all(by_folder[cell.slug] == cell.recipe for cell in recipes)
    doubled = len(recipes) // len(by_folder)
    assert doubled == (2 if set(axes) & set(EVALUATION_ONLY) else 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("attention,color", "axis 'color': unknown; expected some of attention, position, parts, stripes, refine"),
        ("", "axes: got '', expected some of attention"),
        ("refine=of", "axis 'refine': unknown level 'of'; expected some of off, joint, staged"),
        ("refine=", "axis 'refine': unknown level ''"),
        ("refine,refine=off", "axis 'refine': given twice"),
        ("parts,stripes", "axes: parts and stripes both set model.parts; give one of them"),
    ],
)
def test_invalid_axes_are_refused_with_the_valid_ones(text, message):
    with pytest.raises(RecipeError, match=message):
        parse_axes(text)


def test_too_few_epochs_for_three_stages_are_refused():
    with pytest.raises(
        RecipeError, match=r"refine=staged: of 6 epochs, 4 remain for the stripes, of which 5 warm up; set"
    ):
        cells("refine=staged", schedule__epochs=6)


def test_error_of_an_invalid_recipe_names_the_level():
    with pytest.raises(RecipeError, match=r"refine=joint: recipe lab-atto: model: refine: true needs parts"):
        cells("refine", model__parts=0)
