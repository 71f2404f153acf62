"""A whole ablation on synthetic people. Oracles: the runs' own metrics, and the files that existed before."""

import csv
import json
import re
import shutil

import numpy as np
import pytest

from conftest import SIMPLE, logged, tiny_recipe
from passerby.data.datasets import load_data
from passerby.errors import DataError, RecipeError, TrainingError
from passerby.evaluation.paired import paired_test
from passerby.experiments import grid
from passerby.experiments.ablate import ablate

AXES = "refine=off/staged,embedding"
RECIPE = tiny_recipe("evaluation.calibration=null", "evaluation.bootstrap=0", "schedule.warmup_epochs=0", "name=tiny")
OTHER = "synth:identities=12,cameras=2,images=2,seed=3"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder, progress lines and result of two trainings under two seeds, each evaluated with two embeddings."""
    out = tmp_path_factory.mktemp("ablation")
    with logged("passerby.experiments") as lines:
        result = ablate(RECIPE, SIMPLE, out=out, axes=AXES, seeds=2, device="cpu")
    return out, lines, result


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def queries(out, cell, kind, seed):
    (path,) = out.glob(f"runs/*/refine-{cell}/seed-{seed}/queries-{kind}.json")
    return json.loads(path.read_text())


def test_each_cell_is_trained_once_for_each_seed_and_reported_on_a_line(finished):
    out, lines, result = finished
    assert len(list(out.rglob("model.safetensors"))) == 4
    assert [line.split(", synth")[0] for line in lines] == [
        "[1/4] stripes, embedding reduced",
        "[2/4] refined in stages, embedding reduced",
        "[3/4] stripes, embedding reduced",
        "[4/4] refined in stages, embedding reduced",
    ]
    assert all("Rank-1" in line and "mAP" in line for line in lines)
    assert result.failed == {}
    scores = [json.loads(path.read_text()) for path in sorted(out.rglob("scores.json"))]
    assert ["stages" in tree for tree in scores] == [False, False, True, True]


def test_tables_hold_the_metrics_of_the_runs_and_their_test(finished):
    """Oracle: mean, deviation and test, from each run's `scores.json` and its per-query scores."""
    out, _, result = finished
    rows = {
        (row["row"], row["metric"]): row
        for row in csv.DictReader((out / "tables.csv").read_text().splitlines())
        if row["table"] == "The whole grid"
    }
    row = rows["refined in stages, embedding reduced", "mAP"]
    own = [
        json.loads(path.read_text())["evaluations"][0]["mAP"]
        for path in sorted(out.glob("runs/*/refine-staged/*/scores.json"))
    ]
    assert float(row["mean"]) == pytest.approx(np.mean(own))
    assert float(row["sd"]) == pytest.approx(np.std(own, ddof=1))
    sides = [
        np.array([queries(out, cell, "reduced", seed)["scores"]["average_precision"] for seed in (0, 1)])
        for cell in ("staged", "off")
    ]
    test = paired_test(*sides, np.array(queries(out, "off", "reduced", 0)["person_ids"]))
    assert (float(row["p"]), float(row["difference"])) == pytest.approx((test.p, test.difference))
    assert rows["stripes, embedding reduced", "mAP"]["p"] == ""
    assert [table.title for table in result.tables] == [
        "Table 3: parts (P) and their refinement",
        "Axis: embedding",
        "The whole grid",
    ]
    assert [len(table.rows) for table in result.tables] == [2, 2, 4]
    assert "| stripes, embedding full |" in (out / "tables.md").read_text()
    assert (out / "tables.tex").read_text().count(r"\begin{table}") == 3


def test_kinds_of_embedding_are_evaluations_of_one_model(finished):
    out, _, result = finished
    reduced, full = (queries(out, "off", kind, 0)["scores"]["average_precision"] for kind in ("reduced", "full"))
    assert reduced != full
    rows = {row.name: row for row in result.tables[-1].rows}
    assert rows["stripes, embedding full"].parameters == rows["stripes, embedding reduced"].parameters
    added = rows["refined in stages, embedding full"].parameters - rows["stripes, embedding full"].parameters
    assert added == 2 * 64  # the part classifier's C x P


def test_finished_runs_are_not_repeated(finished):
    """Oracle: every file with the bytes of before; no training is started."""
    out, _, _ = finished
    before = snapshot(out)
    with logged("passerby.experiments") as lines:
        ablate(RECIPE, SIMPLE, out=out, axes=AXES, seeds=2, device="cpu")
    assert snapshot(out) == before
    assert all(line.endswith(", was done") for line in lines)


def test_interrupted_training_is_resumed(finished, tmp_path):
    """Oracle: the same bytes as the uninterrupted ablation."""
    out = tmp_path / "copy"
    shutil.copytree(finished[0], out)
    (run,) = out.glob("runs/*/refine-staged/seed-1")
    for name in ("model.safetensors", "scores.json", "queries-reduced.json", "queries-full.json"):
        (run / name).unlink()
    plan = ablate(RECIPE, SIMPLE, out=out, axes=AXES, seeds=2, dry_run=True)
    assert [run.state for run in plan.runs] == ["done", "done", "done", "begun"]
    ablate(RECIPE, SIMPLE, out=out, axes=AXES, seeds=2, device="cpu")
    for name in ("model.safetensors", "queries-reduced.json", "queries-full.json"):
        assert (run / name).read_bytes() == (finished[0] / run.relative_to(out) / name).read_bytes()
    assert (out / "tables.csv").read_bytes() == (finished[0] / "tables.csv").read_bytes()


def test_failed_training_is_reported_and_the_others_go_on(finished, tmp_path, monkeypatch):
    out = tmp_path / "copy"
    shutil.copytree(finished[0], out)
    (run,) = out.glob("runs/*/refine-off/seed-1")
    shutil.rmtree(run)

    def fail(*_args, **_settings):
        raise TrainingError("non-finite loss at step 1")

    monkeypatch.setattr(grid, "train", fail)
    with logged("passerby.experiments") as lines:
        result = ablate(RECIPE, SIMPLE, out=out, axes=AXES, seeds=2, device="cpu")
    (name,) = result.failed
    assert name.startswith("stripes, embedding reduced, synth")
    assert name.endswith("seed 1")
    assert lines[2].endswith("seed 1: failed: non-finite loss at step 1")
    assert lines[3].endswith("was done")
    staged = result.tables[0].rows[1].measured
    assert [len(measured.metrics["mAP"]) for measured in staged.values()] == [2]
    assert [measured.tests["mAP"].seeds for measured in staged.values()] == [1]


def test_data_sets_are_trained_on_apart(tmp_path):
    plan = ablate(RECIPE, [SIMPLE, OTHER], out=tmp_path, axes=AXES, seeds=2, dry_run=True)
    assert len(plan.runs) == 8
    assert len({run.folder.root for run in plan.runs}) == 8
    assert [run.seed for run in plan.runs] == [0] * 4 + [1] * 4
    assert len(plan.tables[0].data) == 2
    assert plan.tables[0].rows[0].measured == {}
    assert list(tmp_path.iterdir()) == []


def test_data_sets_of_one_title_are_named_by_their_specs(tmp_path):
    """Two folders in Market-1501's layout: same title, other images."""
    for name, spec in (("a", SIMPLE), ("b", OTHER)):
        (data,) = load_data(spec)
        shutil.copytree(data.root, tmp_path / name)
    specs = [f"market1501:{tmp_path / name}" for name in ("a", "b")]
    plan = ablate(RECIPE, specs, out=tmp_path / "out", axes=AXES, seeds=1, dry_run=True)
    assert plan.tables[0].data == ["market1501:a", "market1501:b"]  # without the folder of this machine
    assert len({run.title for run in plan.runs}) == 4


def test_paper_tables_have_the_papers_rows(tmp_path):
    """Oracle: Tables 2, 3 and 4, with the refinement in more than one way."""
    plan = ablate(RECIPE, SIMPLE, out=tmp_path, axes="attention,parts,refine", seeds=1, dry_run=True)
    assert {table.title.split(":")[0]: [row.name for row in table.rows] for table in plan.tables} == {
        "Table 2": ["Baseline", "A"],
        "Table 3": ["Baseline", "P, stripes", "P, refined jointly", "P, refined in stages"],
        "Table 4": [
            "Baseline",
            *("P, stripes", "P, refined jointly", "P, refined in stages"),
            *("A", "AP, stripes", "AP, refined jointly", "AP, refined in stages"),
        ],
    }


@pytest.mark.parametrize(
    ("axes", "titles"),
    [
        ("attention", ["Table 2"]),
        ("parts", ["Table 3"]),
        ("attention,parts", ["Table 2", "Table 3", "Table 4"]),
        ("erasing,loss=identity/supcon", ["Axis: loss", "Axis: erasing", "The whole grid"]),
        ("attention,position", ["Table 2", "Axis: position"]),
    ],
)
def test_tables_follow_from_the_axes(tmp_path, axes, titles):
    plan = ablate(RECIPE, SIMPLE, out=tmp_path, axes=axes, seeds=1, dry_run=True)
    assert [re.sub(r"(Table \d):.*", r"\1", table.title) for table in plan.tables] == titles


@pytest.mark.parametrize(
    ("data", "seeds", "message"),
    [
        ([f"{SIMPLE}+{OTHER}"], 1, "2 data sets joined; expected one"),
        ([], 1, "data: got none, expected at least one"),
        ([SIMPLE, SIMPLE], 1, "the same data set twice; give each once"),
        ([SIMPLE], 0, "seeds: got 0, expected 1 or more"),
    ],
)
def test_invalid_input_is_refused_before_any_training(tmp_path, data, seeds, message):
    with pytest.raises((DataError, RecipeError), match=message):
        ablate(RECIPE, data, out=tmp_path, axes=AXES, seeds=seeds)
    assert list(tmp_path.iterdir()) == []


def test_folder_of_another_recipe_is_refused(finished):
    changed = tiny_recipe("schedule.epochs=4", "schedule.warmup_epochs=0")
    with pytest.raises(TrainingError, match=r"seed-0: holds a run of another recipe; give another out, or"):
        ablate(changed, SIMPLE, out=finished[0], axes=AXES, seeds=1)


def test_torchrun_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="started by torchrun; start it without"):
        ablate(RECIPE, SIMPLE, out=tmp_path, axes=AXES, device="cpu")


def test_unreadable_result_is_named(finished, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(finished[0], out)
    (path,) = out.glob("runs/*/refine-off/seed-0/queries-full.json")
    path.write_text("{}")
    with pytest.raises(DataError, match=r"queries-full\.json: cannot be read .*; delete it and repeat the command"):
        ablate(RECIPE, SIMPLE, out=out, axes=AXES, seeds=1, dry_run=True)
