"""`passerby data` through typer's runner. Oracle: exit codes, printed text, written files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from data.layouts import write_image, write_market
from passerby.cli.data import app
from passerby.errors import DataError, PasserbyError, WriteError


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, PasserbyError):
        raise result.exception  # `main` prints it
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def market(tmp_path: Path) -> Path:
    return write_market(tmp_path / "mark[et]")


def test_check_accepts_a_valid_set(market: Path) -> None:
    output = run("check", f"market1501:{market}")
    assert "Fit for training." in output
    assert "junk images" in output


def test_check_exits_1_and_prints_the_path_with_its_brackets(market: Path) -> None:
    write_image(market / "query" / "x.jpg").write_bytes(b"")
    output = run("check", f"market1501:{market}", code=1)
    assert "mark[et]/query/x.jpg: the name does not parse" in output
    assert "Not fit for training." in output


def test_check_prints_json_and_can_skip_decoding(market: Path) -> None:
    (market / "query" / "0001_c1s1_001051_00.jpg").write_bytes(b"")
    findings = json.loads(run("check", f"market1501:{market}", "--json", code=1))
    assert {key: findings[0][key] for key in ("severity", "message", "count")} == {
        "severity": "error",
        "message": "images that cannot be read",
        "count": 1,
    }
    assert all(
        f["severity"] == "note" for f in json.loads(run("check", f"market1501:{market}", "--json", "--no-decode"))
    )


def test_stats_print_a_table_or_json(market: Path) -> None:
    output = run("stats", f"market1501:{market}")
    assert "train identities" in output
    assert "market1501" in output
    (row,) = json.loads(run("stats", f"market1501:{market}", "--json"))
    assert (row["data"], row["train_images"], row["distractors"]) == ("market1501", 5, 2)


def test_show_writes_an_image(market: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "sheet.png"
    output = run(
        "show", f"market1501:{market}", "--out", str(out), "--split", "query", "--identities", "1", "--images", "1"
    )
    with Image.open(out) as sheet:
        assert f"{sheet.width} x {sheet.height} pixels" in output
    assert [path.name for path in out.parent.iterdir()] == ["sheet.png"]


def test_show_keeps_the_old_image_when_writing_fails(
    market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "sheet.png"
    out.write_bytes(b"old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=r"sheet.png: not saved \(No space left on device\)"):
        run("show", f"market1501:{market}", "--out", str(out))
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mark[et]", "sheet.png"]


def test_show_refuses_another_format_and_several_sets(market: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a name that ends in .png or .jpg"):
        run("show", f"market1501:{market}", "--out", str(tmp_path / "sheet.svgz"))
    with pytest.raises(DataError, match="2 data sets given; expected one"):
        run("show", f"market1501:{market}+market1501:{market}", "--out", str(tmp_path / "sheet.png"))


def test_an_invalid_spec_is_a_data_error() -> None:
    with pytest.raises(DataError, match="expected name:path"):
        run("stats", "nothing")
