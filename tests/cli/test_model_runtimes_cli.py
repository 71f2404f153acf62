"""`passerby model runtimes`. Oracle: the table from Python."""

import json

import passerby as package
from passerby.model import runtimes


def test_the_table_and_the_choice_are_printed(passerby, tiny_run, monkeypatch, tmp_path):
    monkeypatch.setenv("PASSERBY_CACHE", str(tmp_path))
    monkeypatch.setattr(runtimes, "_TURNS", 1)
    table = package.model_runtimes(tiny_run)
    text = passerby("model", "runtimes", tiny_run).out
    assert f"{tiny_run}: {table.processor}, 1 thread\n" in text
    assert f"fp32: {table.choose('fp32')}" in text
    tree = json.loads(passerby("model", "runtimes", tiny_run, "--json").out)
    expected = {str(size): "torch" for size in table.choose("fp32").runtimes}
    assert tree["choice"]["fp32"]["runtimes"] == expected
    assert [row["runtime"] for row in tree["rows"]] == ["torch"]
    again = json.loads(passerby("model", "runtimes", tiny_run, "--measure", "--json").out)
    assert again["rows"][0]["milliseconds"] != tree["rows"][0]["milliseconds"]


def test_a_missing_model_is_named(passerby, tmp_path):
    assert "not a run or a saved model" in passerby("model", "runtimes", tmp_path).error
    assert "--threads" in passerby("model", "runtimes", "--threads", "0").err
