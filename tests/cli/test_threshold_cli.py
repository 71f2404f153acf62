"""`passerby threshold`. Oracle: the same from Python, and what a user must read beside the number."""

import json

import pytest

from passerby.runs.threshold import find_threshold

OTHER = "synth:identities=16,cameras=2,images=2,seed=9"


def test_json_and_nothing_else_on_stdout(passerby, tiny_run):
    output = passerby(
        "threshold", tiny_run, "--far", 0.1, "--gallery-size", 4, "--data", OTHER, "--device", "cpu", "--json"
    )
    assert (output.code, output.err) == (0, "")
    printed = json.loads(output.out)
    (expected,) = find_threshold(tiny_run, OTHER, far=0.1, gallery_size=4, device="cpu")
    assert printed == {"run": str(tiny_run), "thresholds": [json.loads(json.dumps(expected.to_dict()))]}


def test_table_states_the_identities_and_that_the_threshold_is_too_optimistic(passerby, tiny_run):
    output = passerby("threshold", tiny_run, "--far", 0.1, "--device", "cpu")
    assert output.code == 0, output.err
    words = " ".join(output.out.split())
    for fact in (
        "Rank-1 match closer than the threshold",
        "10 % of unknown people",
        "11 other identities",
        "training identities",
        "of 12 against",
        "95 % interval",
        "Too optimistic",
        "--data",
    ):
        assert fact in words, fact
    assert "extrapolated" not in words


def test_a_gallery_beyond_the_data_is_marked(passerby, tiny_run):
    words = " ".join(passerby("threshold", tiny_run, "--far", 0.5, "--gallery-size", 12, "--device", "cpu").out.split())
    assert "12 identities, extrapolated" in words
    assert "the data have 11 identities" in words


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--far", "0"], "far: got 0.0, expected a false alarm rate between 0 and 1"),
        (["--far", "0.001"], "far: 0.001 in a gallery of 11 people is less than one of"),
        (["--far", "0.1", "--gallery-size", "0"], "--gallery-size: got 0"),
        (["--far", "0.1", "--data", "market1501:/no/where"], "/no/where"),
    ],
)
def test_unusable_input_is_named(passerby, tiny_run, options, message):
    assert message in passerby("threshold", tiny_run, "--device", "cpu", *options).error
