"""Types of the entries in the description of an exported file. Oracle: the messages, one for each damaged entry."""

import copy

import pytest

from passerby.runtime.file_metadata import parse_metadata
from runtime.exported_files import METADATA

TRAINED = {"titles": ["a"], "fingerprint": "1", "fingerprints": ["1"], "images": 4, "trained_identities": 2}
COMPLETE = {**METADATA, "manifest": {**METADATA["manifest"], **TRAINED}}


def damage(name, value):
    """The description with another value of an entry, named as `certificate.accuracy`."""
    tree = copy.deepcopy(COMPLETE)
    *parents, key = name.split(".")
    parent = tree
    for outer in parents:
        parent = parent[outer]
    parent[key] = value
    return tree


@pytest.mark.parametrize(
    ("name", "expected", "values"),
    [
        ("manifest", "an object", [None, [], "x"]),
        ("manifest.model", "an object", [None, "x"]),
        ("manifest.preprocessing", "an object", [None, [64, 32]]),
        ("manifest.titles", "a list of texts", ["x", [1]]),
        ("manifest.fingerprint", "text", [3]),
        ("manifest.fingerprints", "a list of texts", [None]),
        ("manifest.images", "a count", ["4", -1, True, 1.5]),
        ("manifest.trained_identities", "a count", [None]),
        ("weights", "text", [None, 3]),
        ("precision", "one of fp32, fp16, int8", [None, "int4", ["fp32"], 32]),
        ("flip", "true or false", ["no", 0, 1, None]),
        ("certificate", "an object", [None, []]),
        ("certificate.cosine_min", "a finite number", ["1", None, True, float("nan")]),
        ("certificate.cosine_mean", "a finite number", [[]]),
        ("certificate.accuracy", "one of measured, by cosine, not verified", [None, "good"]),
        ("certificate.interchangeable", "true or false", ["true", 1, None]),
        ("calibration", "an object or null", [3, "x"]),
    ],
)
def test_an_entry_of_another_type_is_named(name, expected, values):
    for value in values:
        with pytest.raises(ValueError, match=rf"{name} is .*, expected {expected}$"):
            parse_metadata(damage(name, value))


def test_missing_entries_are_named_and_those_of_the_training_data_may_be_absent():
    assert parse_metadata(METADATA) == METADATA
    assert parse_metadata(COMPLETE) == COMPLETE
    for key in METADATA.keys() - {"calibration", "format"}:
        with pytest.raises(ValueError, match=f"lacks {key}, expected"):
            parse_metadata({name: value for name, value in METADATA.items() if name != key})
    for content, message in (([], "got .*, expected an object"), ({}, "format is None, this version reads 1")):
        with pytest.raises(ValueError, match=message):
            parse_metadata(content)
