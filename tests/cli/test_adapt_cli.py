"""`passerby adapt`. Oracles: exit codes, the printed table, files and messages."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from passerby.adaptation.adapt_result import AdaptResult, Rung
from passerby.cli.adapt import _print_rungs

PEOPLE = "synth:identities=7,cameras=2,images=2,height=64,test=1"


def test_nothing_helped_has_an_exit_code_of_its_own(passerby, workspace):
    output = passerby("adapt", "--data", "folder:crops?labels=none", "--model", "runs/m", "--out", "runs/site")
    assert output.code == 3
    assert "No rung was accepted; no run was written" in output.out
    assert "gain" not in output.out
    assert "expected 67 or more" in output.out
    assert not (workspace / "runs" / "site").exists()


def test_the_decision_on_each_rung_is_printed_with_its_reason(capsys):
    rungs = (
        Rung("norms", -0.0002, 0.001, 1.0, "gain not above 2 standard errors, 0.2 points"),
        Rung("wccn", 0.03, 0.01, 0.97),
        Rung("lda", 0.013, 0.006, 0.9),
        Rung("links", 0.025, 0.01, 0.9),
    )
    result = AdaptResult(Path("site"), "links", 0.4, rungs, 1940, 2, 970, 291, "tracks", "synth", 7)
    _print_rungs(Console(width=120), result)
    rows = [[text.strip() for text in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()[3:-1]]
    assert rows == [
        ["norms", "+0.0 ± 0.1", "100 %", "not accepted: gain not above 2 standard errors, 0.2 points"],
        ["wccn", "+3.0 ± 1.0", "97 %", "accepted, not chosen: links learned from pairs of cameras"],
        ["lda", "+1.3 ± 0.6", "90 %", "accepted, not chosen: links gains +2.5 points"],
        ["links", "+2.5 ± 1.0", "90 %", "chosen"],
    ]


def test_json_has_the_rungs(passerby, workspace):
    words = (
        "adapt",
        "--data",
        "folder:crops?labels=none",
        "--model",
        "runs/m",
        "--out",
        "runs/site",
        "--json",
        "--passes",
        "0",
    )
    output = passerby(*words)
    result = json.loads(output.out)
    assert output.code == 3
    assert (result["chosen"], result["folder"], result["cameras"]) == ("nothing", None, 2)
    assert [rung["name"] for rung in result["rungs"]] == ["norms", "wccn", "kissme", "xqda", "lda", "links"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "got 0 of --data, --gallery, --video; expected one of them"),
        (("--video", "a.avi"), "1 --video and 0 --camera; give one --camera for each --video"),
        (("--video", "a.avi", "--video", "a.avi", "--camera", "n", "--camera", "s"), "a --video is given twice"),
        (("--data", "folder:crops?labels=none", "--labels"), "labels=none, and --labels needs identities"),
        (("--data", "folder:people"), "a data set with identities, which are not used"),
        (("--gallery", "nowhere"), "nowhere: no gallery here"),
    ],
)
def test_wrong_input_is_one_message(passerby, workspace, words, message):
    assert message in passerby("adapt", "--out", "runs/site", *words).error
    assert not (workspace / "runs" / "site").exists()
