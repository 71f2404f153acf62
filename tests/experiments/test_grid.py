"""Runs of a grid. Oracles: the documented folders and states, and a stand-in for training that writes a run's files."""

import json

import pytest

from conftest import SIMPLE, logged, tiny_recipe
from passerby.claims import hold_claim
from passerby.data.datasets import load_data
from passerby.data.fingerprint import fingerprint
from passerby.errors import TrainingError
from passerby.evaluation.score import score
from passerby.experiments import grid
from passerby.experiments.axes import GridCell
from passerby.experiments.grid_tables import Ablation
from passerby.types import Embeddings

RECIPE = tiny_recipe()
CELLS = [
    GridCell("a, reduced", "a", RECIPE, "queries-reduced.json", "reduced"),
    GridCell("a, full", "a", RECIPE, "queries-full.json", "full"),
    GridCell("b", "b", tiny_recipe("training.seed=5"), "queries-reduced.json", "reduced"),
]
SCORES = score(
    Embeddings([[1.0, 0.0], [0.0, 1.0]], [1, 2], [0, 0]), Embeddings([[1.0, 0.0], [0.0, 1.0]], [1, 2], [1, 1])
)


@pytest.fixture
def plan(tmp_path):
    return grid.plan_grid(CELLS, SIMPLE, out=tmp_path, seeds=2)


def write_run(recipe, _data, root, **_settings):
    """Write the files of a finished run."""
    root.mkdir(parents=True)
    for name in ("manifest.json", "model.safetensors", "scores.json"):
        (root / name).write_text("{}")
    (root / "recipe.yaml").write_text(recipe.to_yaml())


def run_grid(plan, out, *, fail=(), dry_run=False):
    """Run a grid whose results are empty files; return its result, the runs that were finished, and the log."""
    finished = []

    def finish(run):
        finished.append(run.folder.root)
        if run.cells[0].name in fail:
            raise RuntimeError("out of memory")
        for cell in run.cells:
            run.result_path(cell).touch()
        return SCORES

    with logged("passerby.experiments") as lines:
        result = grid.run_grid(
            plan,
            out,
            finish=finish,
            collect=lambda failed: Ablation([], plan, failed),
            dry_run=dry_run,
            device="cpu",
            progress=False,
        )
    return result, finished, lines


def test_runs_are_listed_by_seed_in_folders_of_data_cell_and_seed(plan, tmp_path):
    (data,) = load_data(SIMPLE)
    root = tmp_path / "runs" / f"synth-{fingerprint([data])[:8]}"
    assert [run.folder.root for run in plan] == [
        root / "a" / "seed-0",
        root / "b" / "seed-5",
        root / "a" / "seed-1",
        root / "b" / "seed-6",
    ]
    assert [len(run.cells) for run in plan] == [2, 1, 2, 1]
    assert [run.recipe.training.seed for run in plan] == [run.seed for run in plan] == [0, 5, 1, 6]


def test_state_follows_from_the_files(plan):
    run = plan[0]
    assert run.state == "new"
    write_run(run.recipe, SIMPLE, run.folder.root)
    assert run.state == "begun"
    for cell in run.cells:
        assert run.state == "begun"
        run.result_path(cell).touch()
    assert run.state == "done"
    assert repr(run) == f"GridRun(a, reduced and a, full, {run.data.title}, seed 0: done)"
    assert json.loads(json.dumps(run.to_dict()))["cells"] == ["a, reduced", "a, full"]


def test_grid_trains_new_runs_resumes_begun_ones_and_keeps_done_ones(plan, tmp_path, monkeypatch):
    trained, resumed = [], []
    monkeypatch.setattr(grid, "train", lambda *run, **more: (trained.append(run[2]), write_run(*run, **more)))
    monkeypatch.setattr(grid, "resume", lambda root, **_: resumed.append(root))
    new, begun, done, evaluated = plan
    for run in (begun, done, evaluated):
        write_run(run.recipe, SIMPLE, run.folder.root)
    (begun.folder.root / "model.safetensors").unlink()
    for cell in done.cells:
        done.result_path(cell).touch()
    result, finished, lines = run_grid(plan, tmp_path)
    assert trained == [new.folder.root]
    assert resumed == [begun.folder.root]
    assert finished == [run.folder.root for run in plan]
    assert [run.state for run in result.runs] == ["done"] * 4
    assert [line.endswith("was done") for line in lines] == [False, False, True, False]
    assert lines[0].startswith(f"[1/4] {new.title}: Rank-1 100.0%, mAP 100.0%, ")
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "tables.md", "tables.csv", "tables.tex"}


def test_runs_of_another_process_are_left_to_it_and_waited_for(plan, tmp_path, monkeypatch):
    """A stand-in for the other process ends one run, and ends before another; that one is trained here."""
    trained, waits = [], []
    monkeypatch.setattr(grid, "train", lambda *run, **more: (trained.append(run[2]), write_run(*run, **more)))
    first, second, *_ = plan
    claims = [hold_claim(run.claim) for run in (first, second)]
    for run, claim in zip((first, second), claims, strict=True):
        run.claim.parent.mkdir(parents=True, exist_ok=True)
        assert claim.__enter__()

    def wait(_seconds):
        waits.append(trained.copy())
        if len(waits) == 2:
            write_run(first.recipe, SIMPLE, first.folder.root)
            for cell in first.cells:
                first.result_path(cell).touch()
            claims[0].__exit__(None, None, None)
        if len(waits) == 3:
            claims[1].__exit__(None, None, None)

    monkeypatch.setattr(grid.time, "sleep", wait)
    result, finished, lines = run_grid(plan, tmp_path)
    assert waits[0] == [plan[2].folder.root, plan[3].folder.root]
    assert trained == [plan[2].folder.root, plan[3].folder.root, second.folder.root]
    assert {*finished} == {run.folder.root for run in plan}
    assert lines[2] == f"waiting for 2 runs of other processes; {first.claim} names one"
    assert lines[3].startswith(f"[1/4] {first.title}: ")
    assert lines[3].endswith(", was done")
    assert lines[4].startswith(f"[2/4] {second.title}: ")
    assert [run.state for run in result.runs] == ["done"] * 4
    assert list(tmp_path.rglob(".*")) == []


def test_failed_run_is_in_the_result_and_the_others_go_on(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(grid, "train", write_run)
    result, finished, lines = run_grid(plan, tmp_path, fail=["b"])
    assert result.failed == {plan[1].title: "out of memory", plan[3].title: "out of memory"}
    assert len(finished) == 4
    assert lines[1].endswith("failed: out of memory")


def test_dry_run_trains_and_writes_nothing(plan, tmp_path):
    result, finished, lines = run_grid(plan, tmp_path, dry_run=True)
    assert (result.failed, finished, lines, list(tmp_path.iterdir())) == ({}, [], [], [])


def test_run_of_another_recipe_is_refused_unless_only_its_budget_differs(plan, tmp_path):
    longer = grid.set_epochs(plan[0].recipe, 6)
    write_run(longer, SIMPLE, plan[0].folder.root)
    with pytest.raises(TrainingError, match="seed-0: holds a run of another recipe"):
        grid.plan_grid(CELLS, SIMPLE, out=tmp_path, seeds=1)
    assert len(grid.plan_grid(CELLS, SIMPLE, out=tmp_path, seeds=1, minutes=5)) == 2


def test_cost_is_counted_without_weights_and_without_unused_classifiers():
    """Oracle: a recipe without an identity loss has no classifiers."""
    (data,) = load_data(SIMPLE)
    cost = grid.count_cost(CELLS[0], data)
    assert cost.parameters["classifiers"] > 0
    metric = tiny_recipe("loss.identity=null", "loss.triplet={}")
    without = grid.count_cost(GridCell("c", "c", metric, "queries-reduced.json", "reduced"), data)
    assert without.parameters["classifiers"] == 0
    assert without.parameters["total"] == cost.parameters["total"] - cost.parameters["classifiers"]
