"""The name of the method. Oracles: the builders themselves, and a manifest from before there was a choice."""

import inspect
from typing import get_args

import pytest
import torch

import passerby
from passerby.errors import RecipeError, WeightsError
from passerby.model.info import variants_info
from passerby.model.methods import MODELS, build_model
from passerby.model.weights import save_model
from passerby.recipe import ModelSettings, parse_recipe
from passerby.runs.arguments import model_arguments
from passerby.runtime.model_manifest import MANIFEST_FORMAT

META = torch.device("meta")
PREPROCESSING = {"size": [64, 32], "mean": [0.5] * 3, "std": [0.5] * 3}
TINY = {
    "convnext_ap": {"backbone": "test_convnext", "parts": 2, "part_dim": 8, "refine": False},
    "hpm": {"backbone": "resnet18", "part_dim": 8},
    "bdb": {"backbone": "resnet18"},
    "scpnet": {"backbone": "resnet18"},
    "ianet": {"backbone": "test_resnet"},
    "cama": {"backbone": "test_resnet"},
    "cbn": {"backbone": "test_resnet"},
    "dgnet": {"backbone": "test_resnet", "generator_width": 4},
    "mhn": {"backbone": "test_resnet", "orders": 2, "parts": 2, "part_dim": 8},
    "glad": {"backbone": "test_resnet", "part_dim": 8},
    "maskreid": {"backbone": "test_resnet"},
    "spreid": {"backbone": "test_resnet"},
    "horeid": {"backbone": "test_resnet"},
    "lomo": {"backbone": "lomo", "part_dim": 8},
    "imported": {"backbone": "osnet_x0_25", "head": "average-fc16-bn-relu"},
}


def test_the_methods_of_a_recipe_are_those_with_a_builder():
    assert get_args(ModelSettings.model_fields["method"].annotation) == tuple(MODELS)


@pytest.mark.parametrize("method", MODELS)
def test_a_method_has_the_options_of_its_builder(method):
    known = inspect.signature(MODELS[method]).parameters.keys() - {"identities"}
    recipe = parse_recipe({"model": {"method": method}})
    assert model_arguments(recipe).keys() == known | {"method"}
    with META:
        build_model(**{**model_arguments(recipe), **TINY[method]})


@pytest.mark.parametrize("method", MODELS)
def test_a_saved_model_comes_back_as_the_method_that_it_is(method, tmp_path):
    network = build_model(method=method, **TINY[method], identities=3).eval()
    manifest = {
        "format": MANIFEST_FORMAT,
        "model": {"method": method, **TINY[method]},
        "preprocessing": PREPROCESSING,
        "identities": 3,
    }
    save_model(tmp_path, network, manifest)
    images = torch.randn(2, 3, 64, 32)
    found = passerby.load(tmp_path).network
    torch.testing.assert_close(found(images).embedding, network(images).embedding)


def test_a_manifest_without_a_method_is_convnext_ap(tmp_path):
    network = build_model(**TINY["convnext_ap"], identities=3)
    manifest = {
        "format": MANIFEST_FORMAT,
        "model": TINY["convnext_ap"],
        "preprocessing": PREPROCESSING,
        "identities": 3,
    }
    save_model(tmp_path, network, manifest)
    assert passerby.load(tmp_path).network.part_names == ("part 1", "part 2")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"method": "mgn"}, "model: method 'mgn' is not known; expected one of convnext_ap, hpm, bdb"),
        ({"method": "hpm", "parts": 3}, "model: parts is not known; expected an object of backbone, .*method"),
        (["hpm"], r"model: \['hpm'\] is not known"),
    ],
)
def test_a_manifest_of_another_method_is_refused_by_name(model, message, tmp_path):
    manifest = {"format": MANIFEST_FORMAT, "model": model, "preprocessing": PREPROCESSING, "identities": 3}
    save_model(tmp_path, torch.nn.Linear(1, 1), manifest)
    with pytest.raises(WeightsError, match=message):
        passerby.load(tmp_path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"method": "mgn"},
            r"model\.method: expected convnext_ap, hpm, bdb, .* or imported, got 'mgn'",
        ),
        ({"method": "hpm", "parts": 6, "refine": True}, "model: method hpm has no parts, refine; it has method, backb"),
        ({"method": "bdb", "part_dim": 8}, "model: method bdb has no part_dim; it has .*drop_height, drop_width"),
        ({"drop_height": 0.3}, "model: method convnext_ap has no drop_height"),
        ({"method": "scpnet", "drop_height": 0.3}, "model: method scpnet has no drop_height; it has .*spatial_weight"),
        ({"method": "bdb", "channel_parts": 4}, "model: method bdb has no channel_parts"),
        ({"method": "cama", "orders": 2}, "model: method cama has no orders; it has .*activation_branches, overlap_w"),
        (
            {"method": "bdb", "drop_height": 1},
            "model: drop_height and drop_width are both 1, which drops the whole",
        ),
        ({"method": "bdb", "drop_height": 0}, "model.drop_height: expected a number above 0 and at most 1, got 0"),
    ],
)
def test_a_recipe_with_options_of_another_method_is_an_error(model, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe({"model": model})


@pytest.mark.parametrize("method", MODELS)
def test_a_recipe_is_written_with_the_options_of_its_method_and_read_again(method, tmp_path):
    recipe = parse_recipe({"model": {"method": method}})
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    assert passerby.load_recipe(path).to_yaml() == recipe.to_yaml()
    assert ("parts" in recipe.model_dump()["model"]) == (method in ("convnext_ap", "mhn"))


def test_only_stripes_count_as_stripes_and_only_a_part_classifier_refines():
    assert (ModelSettings().stripes, ModelSettings().refines) == (6, True)
    assert (ModelSettings(method="hpm").stripes, ModelSettings(method="hpm").refines) == (0, False)
    with pytest.raises(RecipeError, match=r"a has refine: true, but model\.refine is false"):
        parse_recipe({"model": {"method": "hpm"}, "stages": [{"name": "a", "epochs": 120, "refine": True}]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "mgn"}, "model.method: got 'mgn', expected one of convnext_ap, hpm, bdb"),
        ({"method": "hpm", "parts": 6, "attention": True}, "model: hpm has no attention, parts; it has backbone"),
    ],
)
def test_build_model_refuses_options_of_another_method(arguments, message):
    with META, pytest.raises(RecipeError, match=message):
        build_model(**arguments)


def test_another_method_is_counted_by_itself():
    assert list(variants_info({"method": "hpm", "backbone": "resnet18"}, identities=5, size=(64, 32))) == ["hpm"]
