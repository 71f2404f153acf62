"""A whole ablation on drawn people. Oracles: the runs' own figures, and what was there before."""

import csv
import json
import shutil

import numpy as np
import pytest

from conftest import SIMPLE, logged, tiny_recipe
from passerby.errors import DataError, RecipeError, TrainingError
from passerby.evaluation.paired import paired_test
from passerby.experiments import ablate as runs
from passerby.experiments.axes import parse_axes

pytestmark = pytest.mark.usefixtures("without_pictures")

AXES = parse_axes("refine=off/staged,embedding")
RECIPE = tiny_recipe("evaluation.calibration=null", "evaluation.bootstrap=0", "schedule.warmup_epochs=0", "name=tiny")
OTHER = "synth:identities=12,cameras=2,images=2,seed=3"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two trainings (stripes, and refined in stages) under two seeds, each evaluated twice; and what was said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("passerby.runs.evaluate.draw_evaluation", lambda _result, _out: None)
        out = tmp_path_factory.mktemp("ablation")
        with logged("passerby.experiments") as said:
            done = runs.ablate(RECIPE, [SIMPLE], out, axes=AXES, seeds=2, device="cpu")
    return out, said, done


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def queries(out, cell, kind, seed):
    (path,) = out.glob(f"runs/*/refine-{cell}/seed-{seed}/queries-{kind}.json")
    return json.loads(path.read_text())


def test_each_cell_is_trained_once_for_each_seed_and_told_on_a_line(finished):
    out, said, done = finished
    assert len(list(out.rglob("model.safetensors"))) == 4
    assert [line.split(", synth")[0] for line in said] == [
        "[1/4] stripes, embedding reduced",
        "[2/4] refined in stages, embedding reduced",
        "[3/4] stripes, embedding reduced",
        "[4/4] refined in stages, embedding reduced",
    ]
    assert all("Rank-1" in line and "mAP" in line for line in said)
    assert done.failed == {}
    scores = [json.loads(path.read_text()) for path in sorted(out.rglob("scores.json"))]
    assert ["stages" in each for each in scores] == [False, False, True, True]


def test_the_tables_hold_the_runs_own_figures_and_their_test(finished):
    """Oracle: mean, deviation and test, from each run's `scores.json` and the queries' figures."""
    out, _, done = finished
    rows = {
        (row["row"], row["figure"]): row
        for row in csv.DictReader((out / "tables.csv").read_text().splitlines())
        if row["table"] == "The whole grid"
    }
    mine = rows["refined in stages, embedding reduced", "mAP"]
    own = [
        json.loads(path.read_text())["evaluations"][0]["mAP"]
        for path in sorted(out.glob("runs/*/refine-staged/*/scores.json"))
    ]
    assert float(mine["mean"]) == pytest.approx(np.mean(own))
    assert float(mine["sd"]) == pytest.approx(np.std(own, ddof=1))
    sides = [
        np.array([queries(out, cell, "reduced", seed)["scores"]["average_precision"] for seed in (0, 1)])
        for cell in ("staged", "off")
    ]
    test = paired_test(*sides, np.array(queries(out, "off", "reduced", 0)["person_ids"]))
    assert (float(mine["p"]), float(mine["difference"])) == pytest.approx((test.p, test.difference))
    assert rows["stripes, embedding reduced", "mAP"]["p"] == ""
    assert [table.title for table in done.tables] == [
        "Table 3: parts (P) and their refinement",
        "Axis: embedding",
        "The whole grid",
    ]
    assert [len(table.rows) for table in done.tables] == [2, 2, 4]
    assert "| stripes, embedding full |" in (out / "tables.md").read_text()
    assert (out / "tables.tex").read_text().count(r"\begin{table}") == 3


def test_the_kind_of_embedding_is_another_evaluation_of_the_same_model(finished):
    out, _, done = finished
    reduced, full = (queries(out, "off", kind, 0)["scores"]["average_precision"] for kind in ("reduced", "full"))
    assert reduced != full
    rows = {row.name: row for row in done.tables[-1].rows}
    assert rows["stripes, embedding full"].parameters == rows["stripes, embedding reduced"].parameters
    added = rows["refined in stages, embedding full"].parameters - rows["stripes, embedding full"].parameters
    assert added == 2 * 64  # the part classifier's C x P


def test_what_is_done_is_not_done_again(finished):
    """Oracle: every file as it was but for the tables, which are the same; no training is started."""
    out, _, _ = finished
    before = snapshot(out)
    with logged("passerby.experiments") as said:
        runs.ablate(RECIPE, [SIMPLE], out, axes=AXES, seeds=2, device="cpu")
    assert snapshot(out) == before
    assert all(line.endswith(", was done") for line in said)


def test_a_training_that_was_stopped_is_resumed(finished, tmp_path):
    """Oracle: the same bytes as the ablation that nobody stopped; figures that are missing are made again."""
    out = tmp_path / "copy"
    shutil.copytree(finished[0], out)
    (run,) = out.glob("runs/*/refine-staged/seed-1")
    for name in ("model.safetensors", "scores.json", "queries-reduced.json", "queries-full.json"):
        (run / name).unlink()
    states = [each.state for each in runs.plan(RECIPE, [SIMPLE], out, axes=AXES, seeds=2)]
    assert states == ["done", "done", "done", "begun"]
    runs.ablate(RECIPE, [SIMPLE], out, axes=AXES, seeds=2, device="cpu")
    for name in ("model.safetensors", "queries-reduced.json", "queries-full.json"):
        assert (run / name).read_bytes() == (finished[0] / run.relative_to(out) / name).read_bytes()
    assert (out / "tables.csv").read_bytes() == (finished[0] / "tables.csv").read_bytes()


def test_a_training_that_fails_is_named_and_the_others_go_on(finished, tmp_path, monkeypatch):
    out = tmp_path / "copy"
    shutil.copytree(finished[0], out)
    (run,) = out.glob("runs/*/refine-off/seed-1")
    shutil.rmtree(run)

    def fail(*_args, **_settings):
        raise TrainingError("non-finite loss at step 1")

    monkeypatch.setattr(runs, "train", fail)
    with logged("passerby.experiments") as said:
        done = runs.ablate(RECIPE, [SIMPLE], out, axes=AXES, seeds=2, device="cpu")
    (name,) = done.failed
    assert name.startswith("stripes, embedding reduced, synth")
    assert name.endswith("seed 1")
    assert said[2].endswith("seed 1: failed: non-finite loss at step 1")
    assert said[3].endswith("was done")
    staged = done.tables[0].rows[1].measured
    assert [len(each.figures["mAP"]) for each in staged.values()] == [2]
    assert [each.tests["mAP"].seeds for each in staged.values()] == [1]


def test_two_data_sets_are_trained_on_apart(tmp_path):
    found = runs.plan(RECIPE, [SIMPLE, OTHER], tmp_path, axes=AXES, seeds=2)
    assert len(found) == 8
    assert len({each.folder.root for each in found}) == 8
    assert [each.seed for each in found] == [0] * 4 + [1] * 4
    tables = runs.make_tables(found, AXES, {})
    assert len(tables[0].data) == 2
    assert tables[0].rows[0].measured == {}
    assert list(tmp_path.iterdir()) == []


def test_the_papers_tables_are_the_papers_rows(tmp_path):
    """Oracle: Tables 2, 3 and 4, with the refinement in more than one way."""
    axes = parse_axes("attention,parts,refine")
    found = runs.make_tables(runs.plan(RECIPE, [SIMPLE], tmp_path, axes=axes, seeds=1), axes, {})
    assert {table.title.split(":")[0]: [row.name for row in table.rows] for table in found} == {
        "Table 2": ["Baseline", "A"],
        "Table 3": ["Baseline", "P, stripes", "P, refined jointly", "P, refined in stages"],
        "Table 4": [
            "Baseline",
            *("P, stripes", "P, refined jointly", "P, refined in stages"),
            *("A", "AP, stripes", "AP, refined jointly", "AP, refined in stages"),
        ],
    }


@pytest.mark.parametrize(
    ("data", "seeds", "message"),
    [
        ([f"{SIMPLE}+{OTHER}"], 1, "2 data sets joined; an ablation takes one with each --data"),
        ([], 1, "data: got none, expected at least one"),
        ([SIMPLE, SIMPLE], 1, "the same data set twice; give each once"),
        ([SIMPLE], 0, "seeds: got 0, expected 1 or more"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(tmp_path, data, seeds, message):
    with pytest.raises((DataError, RecipeError), match=message):
        runs.plan(RECIPE, data, tmp_path, axes=AXES, seeds=seeds)


def test_a_folder_of_another_recipe_is_not_mixed_in(finished):
    changed = tiny_recipe("schedule.epochs=4", "schedule.warmup_epochs=0")
    with pytest.raises(
        TrainingError, match=r"seed-0: holds a run of another recipe; give another --out, or the settings"
    ):
        runs.plan(changed, [SIMPLE], finished[0], axes=AXES, seeds=1)


def test_torchrun_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="started by torchrun; start it alone"):
        runs.ablate(RECIPE, [SIMPLE], tmp_path, axes=AXES, device="cpu")


def test_figures_that_cannot_be_read_are_named(finished, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(finished[0], out)
    (path,) = out.glob("runs/*/refine-off/seed-0/queries-full.json")
    path.write_text("{}")
    trainings = runs.plan(RECIPE, [SIMPLE], out, axes=AXES, seeds=1)
    with pytest.raises(DataError, match=r"queries-full\.json: cannot be read .*; delete it, and it will be made again"):
        runs.make_tables(trainings, AXES, {})
