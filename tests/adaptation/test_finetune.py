"""Fine-tuning with pseudo-labels. Oracles: the weights of an uninterrupted call, and forced failures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import passerby
from adaptation.drawn_site import adapt, draw_site
from conftest import SIMPLE, tiny_recipe
from launch import launch
from passerby.adaptation import finetune as module
from passerby.adaptation.adapt_result import Rung
from passerby.adaptation.ladder import choose
from passerby.errors import WeightsError


class StopError(Exception):
    """Stands in for kill -9."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return draw_site(tmp_path_factory.mktemp("site"), people=34)


def test_passes_are_described_and_an_interrupted_call_continues_to_the_bit(site, tiny_run, tmp_path, monkeypatch):
    saved = {}

    def keep(job):
        network = load_best(job)
        saved[job.work] = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        return network

    load_best = module.FineTuning.load_best
    monkeypatch.setattr(module.FineTuning, "load_best", keep)
    whole = adapt(tmp_path / "whole", site, tiny_run, passes=3)
    details = whole.rungs[-1].details
    assert whole.rungs[-1].name == "finetune"
    assert [entry["links"] > 0 for entry in details["passes"]] == [False, True, True]
    assert not list((tmp_path / "whole").glob(".*")) if whole.folder else not (tmp_path / "whole").exists()

    steps = []

    def stop(task, _done, _total, note=""):
        if task == "finetune":
            steps.append(note)
            if note.startswith("pass 3"):
                raise StopError

    with pytest.raises(StopError):
        adapt(tmp_path / "stopped", site, tiny_run, passes=3, progress=stop)
    assert (tmp_path / "stopped" / ".adapting" / "last.safetensors").is_file()
    stopped_at = len(steps)
    with pytest.raises(WeightsError, match="other crops, another model or seed; delete the folder"):
        adapt(tmp_path / "stopped", site, tiny_run, passes=3, seed=1)

    def watch(task, _done, _total, note=""):
        if task == "finetune":
            steps.append(note)

    continued = adapt(tmp_path / "stopped", site, tiny_run, passes=3, progress=watch)
    assert all(note.startswith("pass 3") for note in steps[stopped_at:])
    assert continued.rungs[-1].details == details
    first, second = (saved[tmp_path / name / ".adapting"] for name in ("whole", "stopped"))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.timeout(600)
def test_two_processes_have_the_losses_of_one_and_the_first_writes(site, tmp_path):
    """The network has no dropped paths, which differ between processes; sums run in another order.

    Losses of both passes within 1e-3; AdamW divides by gradients, which enlarges the rounding of small ones.
    """
    passerby.train(tiny_recipe("model.drop_path=0"), SIMPLE, tmp_path / "model", device="cpu")
    one = adapt(tmp_path / "one", site, tmp_path / "model", passes=2).rungs[-1].details["passes"]
    launch(Path(__file__).parent / "adapt_processes.py", tmp_path / "two", site, tmp_path / "model", processes=2)
    two = [json.loads((tmp_path / f"two.{rank}.json").read_text()) for rank in range(2)]
    assert two[0] == two[1]
    assert [entry["loss"] for entry in two[0]["passes"]] == pytest.approx([entry["loss"] for entry in one], rel=1e-3)
    assert [entry["links"] for entry in two[0]["passes"]] == [entry["links"] for entry in one]
    assert two[0]["chosen"] != "nothing"
    assert passerby.load(tmp_path / "two", device="cpu").manifest["adaptation"]["chosen"] == two[0]["chosen"]
    assert list((tmp_path / "two").glob(".*")) == []


def test_a_loss_that_is_not_finite_refuses_the_rung(site, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "passerby.training.proxy_pass.supcon_loss", lambda *_, **__: torch.tensor(float("nan"), requires_grad=True)
    )
    result = adapt(tmp_path / "run", site, tiny_run, passes=1)
    assert result.rungs[-1].note == "pass 1, step 1: the loss is nan"
    assert result.chosen != "finetune"


def test_a_network_that_has_collapsed_is_refused(site, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ALIKE", -1.0)
    result = adapt(tmp_path / "run", site, tiny_run, passes=1)
    assert "the network has collapsed: mean similarity of two crops" in result.rungs[-1].note


def test_a_fine_tuned_network_is_written_if_it_is_best(site, tiny_run, tmp_path, monkeypatch):
    """The gains of the maps are taken away, so that the fine-tuning is the only rung left."""
    monkeypatch.setattr("passerby.adaptation.adapt.find_obstacle", lambda _: "it is a test")
    monkeypatch.setattr("passerby.adaptation.ladder.ERRORS", -1e9)
    result = adapt(tmp_path / "run", site, tiny_run, passes=1)
    assert result.chosen == "finetune"
    assert [rung.note for rung in result.rungs[1:-1]] == ["the model: it is a test; maps cannot be folded into it"] * 5
    described = json.loads((tmp_path / "run" / "manifest.json").read_text())["adaptation"]
    assert described["rungs"][-1]["details"]["best"] == 1
    vectors = passerby.load(tmp_path / "run", device="cpu").embed(sorted(site.rglob("*.png"))[:2])
    assert np.isfinite(vectors).all()
    assert not (tmp_path / "run" / ".adapting").exists()


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [([0.03], 1), ([0.024, 0.029, 0.027, 0.025], 4), ([0.05, 0.06, 0.01], 2), ([0.01, 0.06, 0.05], 3)],
)
def test_the_last_pass_within_the_error_of_the_best_is_chosen(gains, chosen):
    assert module.choose_pass([{"gain": gain, "error": 0.006} for gain in gains]) == chosen


def test_a_pass_that_would_be_refused_is_not_chosen_after_one_that_would_be_accepted():
    gains, errors = (0.013, 0.019, 0.021, 0.018), (0.006, 0.009, 0.009, 0.010)
    entries = [{"gain": gain, "error": error} for gain, error in zip(gains, errors, strict=True)]
    assert module.choose_pass(entries) == 3
    assert module.choose_pass([{**entry, "error": 0.02} for entry in entries]) == 4  # all would be refused


def test_without_tracks_crops_are_grouped_anew_in_each_pass(tiny_run, tmp_path, monkeypatch):
    """Oracle: identities of the crops; groups that may show one person are of one camera. The passes train nothing."""
    monkeypatch.setattr("passerby.training.proxy_pass.run_pass", lambda *_, **__: iter([1.0]))
    site = draw_site(tmp_path / "site", people=140, tracks=False, noise=False)
    seen = []
    find_tracks = module.FineTuning.find_tracks

    def watch(job, vectors):
        tracks = find_tracks(job, vectors)
        held_out = job.groups.judge.held_out
        assert not held_out[tracks.rows].any()
        people = np.array([int(Path(name).stem.partition("_")[0]) for name in job.site.names])[tracks.rows]
        seen.append(np.mean([len(set(people[tracks.labels == label])) == 1 for label in np.unique(tracks.labels)]))
        unsure = job._find_unsure(tracks, vectors)
        assert (unsure == unsure.T).all()
        assert not unsure.diagonal().any()
        assert (tracks.camera_ids[np.nonzero(unsure)[0]] == tracks.camera_ids[np.nonzero(unsure)[1]]).all()
        return tracks

    monkeypatch.setattr(module.FineTuning, "find_tracks", watch)
    result = adapt(tmp_path / "run", site, tiny_run, passes=2)
    assert result.evidence == "similar", result.rungs
    assert len(result.rungs[-1].details["passes"]) == 2
    assert len(seen) == 3  # of the start, and of each pass
    assert min(seen) > 0.9


def test_six_passes_are_the_default_of_a_network_that_can_be_fine_tuned(site, tiny_run, tmp_path, monkeypatch):
    passes = []
    monkeypatch.setattr(
        "passerby.adaptation.adapt.finetune",
        lambda job, _: (passes.append(job.passes) or Rung("finetune", note="-"), None),
    )
    adapt(tmp_path / "run", site, tiny_run, passes=None)
    assert passes == [6]


def rung(name, gain, error=0.01, note=""):
    return Rung(name, gain, error, 1.0, note)


@pytest.mark.parametrize(
    ("rungs", "chosen"),
    [
        ([rung("wccn", 0.05), rung("kissme", 0.06)], "kissme"),
        ([rung("kissme", 0.06), rung("links", 0.045)], "links"),
        ([rung("kissme", 0.06), rung("links", 0.03)], "kissme"),
        ([rung("kissme", 0.06), rung("links", 0.05), rung("finetune", 0.045)], "finetune"),
        ([rung("kissme", 0.06), rung("links", 0.07), rung("finetune", 0.3, note="collapsed")], "links"),
        ([rung("wccn", 0.05, note="refused")], None),
        ([], None),
    ],
)
def test_rungs_that_learn_between_cameras_go_first_within_the_error(rungs, chosen):
    assert choose(rungs) == chosen
