"""Files of a run with wrong content. Oracle: an error of passerby, whatever the value."""

import contextlib
import json
import random

import pytest

import passerby
from passerby.errors import DataError, PasserbyError, WeightsError
from passerby.runs.evaluate import evaluate

VALUES = [None, True, -1, 0, 2**62, 1.5, 1e300, "", "x", "inf", [], [1], ["x"], {}, {"x": 1}]
RAW = ["Infinity", "NaN", "1e999", "9" * 400, "10000000000000000000000"]


def places(tree, path=()):
    """Paths of all values of a JSON tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items)[:6]:
        yield (*path, key)
        yield from places(value, (*path, key))


def mutate(text, path, value, raw):
    tree = json.loads(text)
    node = tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = "@@" if raw else value
    return json.dumps(tree).replace('"@@"', value) if raw else json.dumps(tree)


def mutations(text, count, skip=()):
    generator = random.Random(0)
    paths = [path for path in places(json.loads(text)) if path[0] not in skip]
    for _ in range(count):
        raw = generator.random() < 0.3
        yield mutate(text, generator.choice(paths), generator.choice(RAW if raw else VALUES), raw)


@pytest.mark.timeout(120)
def test_mutated_manifests_are_loaded_or_refused(workspace):
    path = workspace / "runs" / "m" / "manifest.json"
    for text in mutations(path.read_text(), 60, skip=("recipe", "versions", "titles")):
        path.write_text(text)
        with contextlib.suppress(WeightsError):
            passerby.load("runs/m")


@pytest.mark.timeout(120)
def test_mutated_calibrations_are_loaded_or_refused(workspace):
    path = workspace / "runs" / "m" / "calibration.json"
    for text in mutations(path.read_text(), 80):
        path.write_text(text)
        with contextlib.suppress(DataError):
            passerby.load_calibration("runs/m").probability([0.0, 1.0])


@pytest.mark.parametrize("text", ["[]", "{}", '{"evaluations": 3}', '{"evaluations": [1]}', "{cut", '{"Rank-1": 0.9}'])
def test_a_foreign_scores_file_is_refused_before_the_work(workspace, text):
    (workspace / "out").mkdir()
    (workspace / "out" / "scores.json").write_text(text)
    with pytest.raises(DataError, match=r"out/scores\.json: (no metrics of passerby|cannot be read)"):
        evaluate("runs/m", out="out", device="cpu")
    assert (workspace / "out" / "scores.json").read_text() == text


def test_a_foreign_log_is_refused(workspace):
    (workspace / "runs" / "m" / "log.jsonl").write_text('{"loss": 3}\n')
    (workspace / "runs" / "m" / "model.safetensors").unlink()
    with pytest.raises(PasserbyError, match=r"log\.jsonl: not a log of passerby"):
        passerby.resume("runs/m", device="cpu")
