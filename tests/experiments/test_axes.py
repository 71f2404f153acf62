"""The grid of an ablation. Oracles: the paper's rows, and the recipe that each level should make."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.errors import RecipeError
from passerby.experiments.axes import AXES, EVALUATION_ONLY, grid, parse_axes, three_stages
from passerby.recipe import load_recipe


def cells(text, name="lab-atto", **recipe):
    overrides = [f"{key.replace('__', '.')}={value}" for key, value in recipe.items()]
    return grid(load_recipe(name, overrides=overrides), parse_axes(text))


def test_the_papers_grid_is_baseline_a_p_ap_with_each_refinement():
    """Refinement says nothing without parts: eight cells and not twelve."""
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


def test_each_cell_is_trained_as_its_name_says():
    found = {cell.name: cell.recipe for cell in cells("attention,parts,refine")}
    base, staged = found["Baseline"].model, found["AP, refined in stages"]
    assert (base.attention, base.parts, base.refine) == (False, 0, False)
    assert (staged.model.attention, staged.model.parts, staged.model.refine) == (True, 4, True)
    assert [stage.name for stage in staged.stages] == ["stripes", "parts", "together"]
    assert found["P, refined jointly"].stages == ()
    assert {recipe.schedule.epochs for recipe in found.values()} == {24}


def test_staged_lab_atto_is_the_shipped_recipe():
    (cell,) = cells("refine=staged")
    shipped = load_recipe("lab-atto-rpp")
    assert cell.recipe.model == shipped.model
    assert cell.recipe.plan == shipped.plan


def test_a_staged_recipe_can_be_taken_apart():
    off, joint, staged = (cell.recipe for cell in cells("refine", "lab-atto-rpp"))
    assert (off.stages, off.model.refine, joint.stages, joint.model.refine) == ((), False, (), True)
    assert staged.stages == load_recipe("lab-atto-rpp").stages


def test_each_loss_goes_alone_or_with_identity_and_keeps_its_settings():
    """Of every loss that a recipe can have, so that one that is not the level's is off."""
    found = {cell.levels["loss"]: cell.recipe.loss for cell in cells("loss", loss__triplet__margin=0.7)}
    on = {level: [name for name in type(loss).model_fields if getattr(loss, name)] for level, loss in found.items()}
    assert on == {
        "identity": ["identity"],
        "triplet": ["identity", "triplet"],
        "circle": ["identity", "circle"],
        "contrastive": ["identity", "contrastive"],
        "supcon": ["identity", "supcon"],
        "center": ["identity", "center"],
    }
    assert found["triplet"].triplet.margin == 0.7


def test_the_other_axes_set_what_they_are_called():
    assert [cell.recipe.images.erasing is not None for cell in cells("erasing")] == [False, True]
    assert [cell.recipe.schedule.warmup_epochs for cell in cells("warmup")] == [0, 5]
    assert [cell.recipe.model.parts for cell in cells("stripes")] == [2, 3, 4, 6, 8]
    assert [cell.recipe.model.attention_position for cell in cells("position")] == ["depthwise", "block"]


def test_the_kind_of_embedding_costs_no_training():
    reduced, full = cells("embedding")
    assert (reduced.embedding, full.embedding) == ("reduced", "full")
    assert reduced.slug == full.slug
    assert reduced.recipe == full.recipe
    assert [cell.slug for cell in cells("attention,embedding")] == ["attention-off"] * 2 + ["attention-on"] * 2


def test_the_position_of_an_attention_that_is_off_is_no_cell():
    assert [cell.name for cell in cells("attention,position")] == [
        "Baseline",
        "A, position depthwise",
        "A, position block",
    ]


@given(st.lists(st.sampled_from([axis for axis in AXES if axis != "stripes"]), unique=True, min_size=1))
def test_any_axes_span_cells_with_names_of_their_own(axes):
    """And no two trainings in one folder that differ."""
    found = cells(",".join(axes))
    assert len({cell.name for cell in found}) == len(found)
    by_folder = {cell.slug: cell.recipe for cell in found}
    assert all(by_folder[cell.slug] == cell.recipe for cell in found)
    doubled = len(found) // len(by_folder)
    assert doubled == (2 if set(axes) & set(EVALUATION_ONLY) else 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("attention,color", "axis 'color': not known; expected some of attention, position, parts, stripes, refine"),
        ("", "axes: got '', expected some of attention"),
        ("refine=of", "axis 'refine': level 'of' is not known; it has off, joint, staged"),
        ("refine=", "axis 'refine': level '' is not known"),
        ("refine,refine=off", "axis 'refine': given twice"),
        ("parts,stripes", "axes: parts and stripes both set model.parts; take one of them"),
    ],
)
def test_wrong_axes_are_named_with_the_known_ones(text, message):
    with pytest.raises(RecipeError, match=message):
        parse_axes(text)


def test_too_few_epochs_for_three_stages_are_told():
    short = load_recipe("lab-atto", overrides=["schedule.epochs=6"])
    with pytest.raises(RecipeError, match=r"refine=staged: 6 epochs leave 4 for the stripes, of which 5 warm up; set"):
        three_stages(short)


def test_a_level_that_makes_no_recipe_names_its_cell():
    with pytest.raises(RecipeError, match=r"recipe lab-atto, refine=joint: model: refine: true needs parts"):
        cells("refine", model__parts=0)
