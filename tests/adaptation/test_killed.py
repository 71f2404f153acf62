"""Adaptations that end by kill -9. Oracle: the files of an adaptation that was not interrupted."""

import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from adaptation import killed
from adaptation.drawn_site import adapt, draw_site
from launch import started


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return draw_site(tmp_path_factory.mktemp("site"), people=34)


@pytest.mark.parametrize(
    ("rung", "task", "count"),
    [("links", "embed", 3), ("finetune", "finetune", 6)],
)
def test_the_same_call_gives_the_same_weights_after_a_kill(site, tiny_run, tmp_path, monkeypatch, rung, task, count):
    """The maps are in memory when the process dies; the fine-tuning is in its second pass."""
    with started(Path(killed.__file__), site, tiny_run, tmp_path / "run", rung, task, count) as process:
        process.wait(timeout=120)
        assert process.returncode == -signal.SIGKILL, process.stderr.read()
    assert not [path for path in (tmp_path / "run").glob("*") if not path.name.startswith(".")]
    assert (tmp_path / "run" / ".adapting" / "last.safetensors").is_file() == (rung == "finetune")
    monkeypatch.setattr("passerby.adaptation.adapt.choose", lambda _: rung)
    steps = []
    passes = 2 * (rung == "finetune")
    adapt(tmp_path / "run", site, tiny_run, passes=passes, progress=lambda *state: steps.append(state))
    adapt(tmp_path / "whole", site, tiny_run, passes=passes)
    assert {state[3].split("  ")[0] for state in steps if state[0] == "finetune"} <= {"pass 2"}
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("run", "whole"))
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert not list((tmp_path / "run").glob(".adapting*"))
