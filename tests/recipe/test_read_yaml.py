"""Bounds of the YAML reader. Oracle: PyYAML on what is within them; one clear error, in time, on what is not."""

import pytest
import yaml

import mutation
from mutation import damage_text, run_cases
from passerby.errors import RecipeError
from passerby.recipe import RECIPES, load_recipe
from passerby.recipe.read_yaml import read_yaml

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB + "name: *a8\n", "more than 20,000 values, aliases expanded"),
        ("a: &a [*a]\n", "line 1: an alias inside its own anchor"),
        ("a: " + "[" * 5000 + "]" * 5000, "line 1: nested more than 32 levels deep"),
        ("a: " + "{b: " * 5000, "line 1: nested more than 32 levels deep"),
        ("a: " + "9" * 5000, "line 1: a number of 5,000 characters"),
        ("a: 0x" + "9" * 5000, "line 1: a number of 5,002 characters"),
        ("a: 1\nb: 2\na: 3\n", "line 3: key 'a' is given twice; keep one"),
        ("a: {b: 1, b: 2}", "line 1: key 'b' is given twice; keep one"),
        ("a: !!int x", "invalid literal|does not fit its tag"),
        ("a: !!bool x", "a value does not fit its tag"),
        ("a: !!timestamp x", "a value does not fit its tag"),
        ("a: !!python/object/apply:os.system [ls]", "not YAML: line 1, column 4: could not determine a constructor"),
        ("x" * 1_000_001, "1,000,001 characters, expected at most 1,000,000"),
        ("a: [", "not YAML: line 1, column 5: expected the node content, but found the end"),
        ("a: \x00", "not YAML: character 4: special characters are not allowed"),
    ],
    ids=range(15),
)
@pytest.mark.timeout(20)
def test_what_exceeds_a_bound_is_one_error(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_yaml(text)
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(tmp_path / "recipe.yaml")
    assert len(str(caught.value)) < 1000


def test_valid_documents_are_read_as_before():
    for path in RECIPES.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert read_yaml(text) == yaml.safe_load(text)
    assert read_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, x: 2, y: 0x10}") == {
        "a": {"x": 1},
        "b": {"x": 1},
        "c": {"x": 2, "y": 16},
    }
    assert read_yaml("name: 2020-99-99") == {"name": "2020-99-99"}


def test_wrong_values_are_named_in_short():
    with pytest.raises(RecipeError, match="name: ") as caught:
        load_recipe("lab-atto", overrides=["name=[" + "x, " * 5000 + "x]"])
    assert len(str(caught.value)) < 1000
    with pytest.raises(RecipeError, match="nested more than 8 levels deep"):
        load_recipe("lab-atto", overrides=["a." * 50_000 + "b=1"])


WORDS = [
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "!!set ",
    "- ",
    ": ",
    "\n",
    "\t",
    "1e999",
    "~",
    "2020-99-99",
    "0o9",
]


@pytest.mark.timeout(60)
def test_damaged_recipes_are_read_or_refused(tmp_path):
    text = (RECIPES / "lab-atto-rpp.yaml").read_text(encoding="utf-8")

    def attempt(generator):
        words = generator.choice([WORDS, mutation.WORDS])
        damaged = damage_text(text, generator, words)
        (tmp_path / "recipe.yaml").write_bytes(damaged.encode("utf-8", "surrogatepass"))
        load_recipe(tmp_path / "recipe.yaml")

    run_cases(200, attempt)
