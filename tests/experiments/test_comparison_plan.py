"""Plan of a comparison. Oracles: arithmetic by hand on a speed that is given, and the runs that `compare` lists."""

import pytest

from conftest import SIMPLE, tiny_recipe
from passerby.errors import PasserbyError
from passerby.experiments import comparison_plan
from passerby.experiments.compare import compare
from passerby.experiments.comparison_grid import Budgets
from passerby.experiments.comparison_plan import plan_comparison


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    for name, change in (("net", "model.parts=2"), ("metric", "metric.method=xqda")):
        (tmp_path / f"{name}.yaml").write_text(tiny_recipe(change, "evaluation.calibration=null").to_yaml())
    monkeypatch.setattr(comparison_plan, "measure_training_speed", lambda *_args, **_more: (8.0, 48))
    monkeypatch.setattr(comparison_plan, "measure_metric_speed", lambda *_args, **_more: 16.0)
    return [str(tmp_path / "net.yaml"), str(tmp_path / "metric.yaml")]


def test_minutes_add_up(recipes):
    """48 training images, 24 queries and 28 gallery images; 8 images/s, an epoch of 48 images: 0.1 minutes."""
    budgets = Budgets(epochs=10, minutes=2, seeds=1, best=1, best_seeds=3, tune_epochs=4)
    plan = plan_comparison(recipes, SIMPLE, budgets=budgets, tune=["lr=0.1,0.2"], device="cpu")
    net, metric = plan.rows
    assert net.training_minutes == pytest.approx(1.0)
    assert net.evaluation_minutes == pytest.approx(2 * 52 / 24 / 60)
    assert net.tuning_minutes == pytest.approx(2 * 4 * 0.1 * 0.75)
    assert net.total_minutes == pytest.approx(net.tuning_minutes + 1 + 2 + 2 * net.evaluation_minutes)
    assert (metric.tuning_minutes, metric.training_minutes) == (0, pytest.approx(48 / 16 / 60))
    assert metric.total_minutes == pytest.approx(2 * (48 / 16 / 60 + metric.evaluation_minutes))
    one = metric.total_minutes  # of one seed; the best row and the reference are both rows
    assert plan.best_minutes == pytest.approx(2 * (1 + 2 + 2 * net.evaluation_minutes + one))
    assert plan.total_minutes == pytest.approx(net.total_minutes + metric.total_minutes + plan.best_minutes)
    assert "Total: at most" in plan.to_markdown()


def test_a_row_that_cannot_be_trained_is_named_and_the_others_are_planned(recipes, monkeypatch):
    def fail(*_args, **_more):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(comparison_plan, "measure_training_speed", fail)
    plan = plan_comparison(recipes, SIMPLE, budgets=Budgets(epochs=1), device="cpu")
    assert [row.error for row in plan.rows] == ["out of memory", ""]
    assert "not possible: out of memory" in plan.to_markdown()
    assert "(if they are the slowest ones). Without 1 row that cannot be trained." in plan.to_markdown()
    assert plan.is_possible
    assert not plan_comparison(recipes[:1], SIMPLE, budgets=Budgets(epochs=1), device="cpu").is_possible


@pytest.mark.parametrize(
    ("data", "budgets", "message"),
    [
        (f"{SIMPLE}+{SIMPLE}", {"epochs": 1}, "2 data sets joined; expected one"),
        (SIMPLE, {"epochs": 0}, "epochs: got 0, expected 1 or more"),
        (SIMPLE, {"minutes": float("nan")}, "minutes: got nan, expected a number above 0"),
    ],
)
def test_a_plan_refuses_what_a_comparison_refuses(recipes, data, budgets, message):
    with pytest.raises(PasserbyError, match=message):
        plan_comparison(recipes, data, budgets=Budgets(**budgets), device="cpu")


@pytest.mark.parametrize("stages", [0, 3])
def test_the_plan_counts_the_trainings_that_compare_lists(recipes, tmp_path, monkeypatch, stages):
    """An epoch takes 0.1 minutes, and an evaluation none; a tuning trains on 9 of the 12 people."""
    if stages:
        staged = tiny_recipe("model.parts=2", "evaluation.calibration=null").with_changes(
            stages=[{"name": f"stage-{number}", "epochs": 1} for number in range(stages)],
            schedule={"epochs": stages, "warmup_epochs": 0},
        )
        (tmp_path / "staged.yaml").write_text(staged.to_yaml())
        recipes[0] = str(tmp_path / "staged.yaml")
    monkeypatch.setattr(comparison_plan, "EMBEDDED_PER_TRAINED", float("inf"))
    budgets = Budgets(epochs=4, minutes=2, seeds=2, tune_epochs=1)
    tune = ["lr=0.1,0.2,0.3"]
    plan = plan_comparison(recipes[:1], SIMPLE, budgets=budgets, tune=tune, device="cpu")
    listed = compare(
        recipes[:1], SIMPLE, out=tmp_path / "out", epochs=4, minutes=2, seeds=2, tune=tune, tune_epochs=1, dry_run=True
    )
    minutes = [
        run.minutes or run.recipe.schedule.epochs * 0.1 * (0.75 if "holdout" in run.data.spec else 1)
        for run in listed.runs
    ]
    assert len(minutes) == 3 + 2 + 2
    assert plan.total_minutes == pytest.approx(sum(minutes))
