import json

import pytest
from typer.testing import CliRunner

from passerby.cli.model import app
from passerby.errors import RecipeError


def run(*arguments):
    result = CliRunner().invoke(app, [*arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_info_prints_the_papers_accounting():
    text = run("info", "convnext-ap").output
    rows = {line.strip("│ ").split("│")[0].strip(): line.split("│")[2:6] for line in text.splitlines() if "│" in line}
    cells = {name: [cell.strip() for cell in values] for name, values in rows.items()}
    assert "convnext_base" in text
    assert cells["embedding width"] == ["1024", "1024", "1536", "1536"]
    for figure in ("87.566 M", "2.740 M", "10.03 G"):
        assert figure in text


def test_info_as_json_counts_the_recipe_with_its_overrides():
    printed = json.loads(
        run("info", "convnext-ap", "--json", "--identities", "5", "--set", "model.backbone=convnext_atto").output
    )
    assert list(printed) == ["Baseline", "A", "P", "AP"]
    assert printed["AP"]["parameters"]["classifiers"] == 6 * (256 * 5 + 5)
    assert printed["AP"]["map"] == [320, 8, 4]


def test_an_unknown_recipe_is_named():
    with pytest.raises(RecipeError, match="nothing"):
        run("info", "nothing")
