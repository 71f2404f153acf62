"""`passerby adapt`. Oracles: exit codes, the printed table, files and messages."""

import json

import pytest

PEOPLE = "synth:identities=7,cameras=2,images=2,height=64,test=1"


def test_nothing_helped_has_an_exit_code_of_its_own(passerby, workspace):
    output = passerby("adapt", "--data", "folder:crops?labels=none", "--model", "runs/m", "--out", "runs/site")
    assert output.code == 3
    assert "No rung was accepted; no run was written" in output.out
    assert "gain" not in output.out
    assert "expected 67 or more" in output.out
    assert not (workspace / "runs" / "site").exists()


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
