"""Output that the verbs share. Oracle: a clock that the test turns."""

import rich.progress

from passerby.cli import common
from passerby.cli.common import slow_progress


def test_the_bar_appears_only_when_it_takes_long(monkeypatch):
    clock, started = iter([0.0, 0.5, 1.9, 2.1]), []
    monkeypatch.setattr(common.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(rich.progress.Progress, "start", lambda bar: started.append(done))
    with slow_progress("looking") as advance:
        for done in (1, 2, 3):
            advance(done, 3)
    assert started == [3]
