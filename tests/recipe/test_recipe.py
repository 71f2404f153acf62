"""Oracle: the sentence that a user should read, and the values that were written."""

import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from passerby.errors import RecipeError
from passerby.model.weights import find_setting_differences, find_weights_file
from passerby.recipe import RECIPES, Recipe, find_differences, load_recipe, parse_recipe, recipe_names
from passerby.recipe.settings_base import Settings


def write(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_every_shipped_recipe_is_valid_and_carries_its_name(name):
    assert load_recipe(name).name == name


def test_shipped_recipes_are_listed():
    assert recipe_names() == sorted(recipe_names())
    assert {"convnext-ap", "lab-atto"} <= set(recipe_names())


def test_the_papers_recipe_has_the_papers_values():
    """Oracle: the paper's section 4.2 and figure 2, as REFERENCE gives them."""
    recipe = load_recipe("convnext-ap")
    schedule, loss = recipe.schedule, recipe.loss
    assert (schedule.epochs, schedule.warmup_epochs, schedule.lr_init, schedule.lr_max) == (120, 5, 0.02, 0.1)
    assert (recipe.images.size, recipe.model.parts, recipe.model.part_dim) == ((256, 128), 6, 256)
    assert (loss.circle.margin, loss.circle.gamma, loss.identity.label_smoothing) == (0.25, 64, 0.1)


def test_a_written_recipe_is_read_equal(tmp_path):
    recipe = load_recipe(
        "lab-atto",
        overrides=[
            "loss.triplet.margin=null",
            "images.jitter={hue: 0.1}",
            "model.layer_scale=null",
            "model.weights=/data/my weights.safetensors",
            "training.ema=0.999",
            "name='yes'",
        ],
    )
    assert load_recipe(write(tmp_path, recipe.to_yaml())) == recipe


@given(
    lr_max=st.floats(1e-8, 1e8),
    epochs=st.integers(6, 10_000),
    size=st.tuples(st.integers(32, 2048), st.integers(32, 2048)),
    name=st.text(st.characters(exclude_categories=["Cs"])),
    erasing=st.none() | st.floats(0, 1),
)
def test_any_recipe_survives_its_file(tmp_path_factory, lr_max, epochs, size, name, erasing):
    tree = {
        "name": name,
        "images": {"size": size, "erasing": None if erasing is None else {"p": erasing}},
        "schedule": {"epochs": epochs, "lr_max": lr_max, "lr_init": lr_max / 2},
    }
    recipe = parse_recipe(tree)
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    assert load_recipe(write(path.parent, recipe.to_yaml())) == recipe


def test_the_file_holds_the_defaults_too():
    """A default that changes later must not change an old run."""
    tree = yaml.safe_load(Recipe().to_yaml())
    assert tree == Recipe().model_dump(mode="json")
    assert tree["training"]["checkpoint_minutes"] == 5.0


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.e-3", "+1e-3", "0.001", "1.0e-3"])
def test_a_number_with_an_exponent_is_a_number(text, tmp_path):
    """YAML 1.1 reads 1e-3 as text."""
    assert load_recipe("lab-atto", overrides=[f"optimizer.weight_decay={text}"]).optimizer.weight_decay == 1e-3
    written = write(tmp_path, f"optimizer: {{weight_decay: {text}}}")
    assert load_recipe(written).optimizer.weight_decay == 1e-3


def test_overrides_apply_in_order_and_switch_losses_on():
    recipe = load_recipe(
        "lab-atto",
        overrides=["schedule.epochs=60", "schedule.epochs=70", "loss.circle.gamma=32", "loss.triplet=null"],
    )
    assert recipe.schedule.epochs == 70
    assert recipe.loss.circle.gamma == 32
    assert recipe.loss.triplet is None


@pytest.mark.parametrize("name", recipe_names())
def test_differences_make_one_recipe_of_another(name):
    """Of one method: no override takes a setting away that another method does not have."""
    recipe = load_recipe(name)
    others = {base: load_recipe(base) for base in recipe_names()}
    alike = {base: other for base, other in others.items() if other.model.method == recipe.model.method}
    for base, other in alike.items():
        assert load_recipe(base, overrides=find_differences(recipe, other)) == recipe
    assert [base for base, other in alike.items() if not find_differences(recipe, other)] == [name]


def test_a_difference_reads_as_it_would_be_typed():
    typed = ["training.precision=bf16", "schedule.lr_min=1e-6", "images.jitter=null"]
    changed = load_recipe("default", overrides=typed)
    expected = {'training.precision="bf16"', "schedule.lr_min=1e-06", "images.jitter=null"}
    assert set(find_differences(changed, load_recipe("default"))) == expected


def test_an_override_may_hold_an_equals_sign():
    assert load_recipe("lab-atto", overrides=["name=a=b"]).name == "a=b"


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            {"epochs": 3},
            "unknown key 'epochs'; the recipe has the keys name, images, batches, model, loss, optimizer, s",
        ),
        (
            {"optimiser": {}},
            "key 'optimiser' is now 'optimizer'; rename it .*, or convert .* `passerby model upgrade RUN`",
        ),
        ({"loss": {"centre": None}}, "key 'loss.centre' is now 'loss.center'; .*`passerby model upgrade RUN`"),
        (
            {"schedule": {"epoch": 3}},
            r"unknown key 'schedule.epoch'; did you mean 'epochs'\? schedule has the keys epochs, warmup_epochs, lr",
        ),
        ({"images": {"erasing": {"prob": 1}}}, "'images.erasing.prob'; images.erasing has the keys p, area, aspect"),
        ({"loss": {"triplet": {"gamma": 1}}}, "'loss.triplet.gamma'; loss.triplet has the keys weight, margin"),
        ({"schedule": {"epochs": 0}}, "schedule.epochs: expected an integer of at least 1, got 0"),
        ({"schedule": {"epochs": "many"}}, "schedule.epochs: expected an integer of at least 1, got 'many'"),
        ({"schedule": {"epochs": 5}}, "schedule: warmup_epochs: 5 leaves nothing of 5 epochs; make it smaller"),
        ({"schedule": {"lr_max": 0.01}}, "schedule: lr_max must be at least lr_init and lr_min"),
        ({"schedule": {"lr_max": float("inf")}}, "schedule.lr_max: .*finite.*, got inf"),
        ({"schedule": {"lr_init": float("nan")}}, "schedule.lr_init: .*, got nan"),
        (
            {"images": {"size": [256]}},
            "images.size: expected a list of 2: an integer from 32 to 2048, an ",
        ),
        (
            {"images": {"size": [32, 16]}},
            r"images.size: \[32, 16\] is too small for convnext_base.*; use \[32, 32\] or larger, or model.last_",
        ),
        (
            {"images": {"mean": [0.5, 0.5, 0.5]}, "model": {"tone_gamma": 0.7}},
            r"model.tone_black and model.tone_gamma: they need images.mean=\[0.485, .*; got \[0.5, 0.5, 0.5\]",
        ),
        ({"model": {"tone_black": 1}}, "model.tone_black: expected a number of at least 0 and below 1, got 1"),
        ({"images": {"size": [256, 8]}}, "images.size.1: expected an integer from 16 to 2048, got 8"),
        ({"images": {"flip": 1.5}}, "images.flip: expected a number from 0 to 1, got 1.5"),
        ({"images": {"mean": [0.5, 0.5, float("nan")]}}, "images.mean.2: .*finite.*, got nan"),
        ({"images": {"erasing": {"area": [0.4, 0.02]}}}, r"images.erasing: area: \[0.4, 0.02\] is in the wrong order"),
        ({"images": {"erasing": True}}, "images.erasing: expected a section with the keys p, area, aspect, .*got true"),
        ({"images": {"background": 1.5}}, "images.background: expected a number from 0 to 1, got 1.5"),
        ({"images": {"response": {"gain": -1}}}, "images.response.gain: expected a number from 0 to 1, got -1"),
        ({"images": {"zoom": {"scale": 2}}}, "images.zoom.scale: expected a number from 0 to 1, got 2"),
        ({"images": {"jitter": {"hue": 0.6}}}, "images.jitter.hue: expected a number from 0 to 0.5, got 0.6"),
        ({"batches": {"persons": 1}}, "batches.persons: expected an integer of at least 2, got 1"),
        ({"batches": {"images": 1}}, "batches.images: 1 gives a metric loss no pair of one identity; use 2 or more"),
        (
            {"batches": {"images": 1}, "loss": {"circle": None, "supcon": {}}},
            "batches.images: 1 gives a metric loss no pair of one identity; use 2 or more",
        ),
        ({"batches": {"cache": "maybe"}}, "batches.cache: expected auto, always or never, got 'maybe'"),
        ({"model": {"parts": 1}}, "model: refine: true needs parts of at least 2; set refine: false"),
        ({"model": {"pretrained": True, "weights": "a"}}, "model: pretrained: true and weights: FILE are both given"),
        ({"model": {"last_stride": 3}}, "model.last_stride: .*1 or 2, got 3"),
        ({"model": {"drop_path": 1}}, "model.drop_path: expected a number of at least 0 and below 1, got 1"),
        ({"loss": {"identity": None, "circle": None}}, "loss: every loss is off; give at least one of identity, circ"),
        ({"loss": {"identity": {"weight": 0}, "circle": None}}, "loss: every loss is off"),
        ({"loss": {"circle": {"weight": -1}}}, "loss.circle.weight: expected a number of at least 0, got -1"),
        ({"optimizer": {"name": "lion"}}, "optimizer.name: expected sgd or adamw, got 'lion'"),
        ({"optimizer": {"clip": 0}}, "optimizer.clip: expected a number above 0, or null, got 0"),
        ({"optimizer": {"betas": [0.9, 1]}}, "optimizer.betas.1: expected a number of at least 0 and below 1, got 1"),
        ({"training": {"precision": "int8"}}, "training.precision: expected fp32, bf16 or fp16, got 'int8'"),
        ({"training": {"seed": -1}}, "training.seed: expected an integer from 0 to 2147483647, got -1"),
        ({"training": {"ema": 1.0}}, "training.ema: expected a number above 0 and below 1, or null, got 1.0"),
        (
            {"evaluation": {"protocol": "duke"}},
            "evaluation.protocol: expected market, single-gallery-shot or multi-query, or null",
        ),
        ({"schedule": 3}, "schedule: .*, got 3"),
        ({1: 2}, "mine.yaml: unknown key '1'; the recipe has the keys"),
    ],
)
def test_an_impossible_recipe_is_explained_by_its_key(tree, message, tmp_path):
    path = write(tmp_path, yaml.safe_dump(tree))
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fine_tuning_is_lab_atto_from_the_default_model():
    """Oracle: the shipped model's own settings of what its tensors do not show; the schedule and the start differ."""
    found = find_differences(load_recipe("fine-tune"), load_recipe("lab-atto"))
    assert {each.split(".")[0] for each in found} == {'name="fine-tune"', "model", "schedule"}
    assert {each for each in found if each.startswith("model.")} == {
        'model.weights="default"',
        "model.instance_norm=2",
        "model.tone_black=0.05",
        "model.tone_gamma=0.8",
    }
    tuned = load_recipe("fine-tune").model
    assert find_setting_differences(find_weights_file(tuned.weights), tuned.model_dump(mode="json")) == {}


def test_all_problems_are_in_one_message(tmp_path):
    with pytest.raises(RecipeError, match=r"model\.parts.*; schedule\.epochs"):
        load_recipe(write(tmp_path, "schedule: {epochs: 0}\nmodel: {parts: -1}"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("schedule.epochs", "overrides 'schedule.epochs': expected key.subkey=value, such as schedule.epochs=60"),
        ("=3", "overrides '=3': expected key.subkey=value"),
        (
            "schedule.epochs=[",
            r"overrides 'schedule.epochs=\[': the value is not YAML: line 1, column 2: .* the end",
        ),
        ("name.first=x", "overrides 'name.first=x': name is a value, not a section"),
        ("schedule.epoch=3", r"unknown key 'schedule.epoch'; did you mean 'epochs'\? schedule has the keys epochs"),
        ("nothing.at.all=3", "unknown key 'nothing'; the recipe has the keys name"),
    ],
)
def test_a_wrong_override_is_quoted(override, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("lab-atto", overrides=[override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "mine.yaml: not YAML"),
        ("- 1\n- 2", "mine.yaml: contains a list, expected sections such as model: and schedule:"),
        ("", "mine.yaml: contains nothing, expected sections"),
        ("name: !!python/object/apply:os.getcwd []", "mine.yaml: not YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_named(text, message, tmp_path):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, text))


def test_a_binary_file_is_no_recipe(tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(RecipeError, match=r"picture\.jpg: not YAML"):
        load_recipe(path)


def test_an_unknown_name_lists_the_shipped_ones(tmp_path):
    for name in ("lab-ato", tmp_path):
        with pytest.raises(RecipeError, match=r"neither a shipped recipe \(.*convnext-ap,.* lab-atto.*\) nor a file"):
            load_recipe(name)


def test_a_recipe_has_a_short_repr_and_a_json_dict():
    recipe = load_recipe("lab-atto")
    assert repr(recipe) == "Recipe('lab-atto', convnext_ap of convnext_atto, 24 epochs)"
    assert parse_recipe(json.loads(json.dumps(recipe.to_dict()))) == recipe


WRONG = [None, True, "x", "A b", "x" * 50, 1.5, -1, 0, 3, 1e400, float("nan"), 10**30, [], [1], [1] * 4, [None] * 3]


WRONG += [[-1.0, -1.0], [{"x": 1}], ["a", "b"], {"a": 1}, {1: 2}, [1e9] * 3]


def settings(section=Recipe, *parents):
    """The path of every key of a recipe, with that of the first of the stages."""
    for name, field in section.model_fields.items():
        yield *parents, name
        for kind in getattr(field.annotation, "__args__", (field.annotation,)):
            if isinstance(kind, type) and issubclass(kind, Settings):
                yield from settings(kind, *parents, name)


@pytest.mark.parametrize("path", [*settings()], ids=".".join)
def test_every_message_is_in_our_words_and_names_the_key(path):
    """Oracle: pydantic's own messages and kinds of errors, of which no word may reach the user."""
    for value in WRONG:
        tree = value
        for key in reversed(path):
            tree = {key: tree}
        if len(path) == 2 and path[0] == "stages":
            tree = {"stages": [{"name": "a", "epochs": 1, path[1]: value}]}
        try:
            Recipe.model_validate(tree)
            continue
        except ValidationError as error:
            problems = error.errors()
        with pytest.raises(RecipeError) as caught:
            parse_recipe(tree)
        for problem in problems:
            kind, message = problem["type"], str(caught.value)
            assert kind == "value_error" or problem["msg"] not in message
            assert kind in ("value_error", "extra_forbidden", "invalid_key") or " expected " in message, message
            assert str(problem["loc"][0] if problem["loc"] else path[0]) in message
        assert not re.search(r"Input|should|valid |unable|pydantic|Settings", str(caught.value))
