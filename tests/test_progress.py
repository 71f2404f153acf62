"""Progress and log lines. Oracles: the calls of a callback, a clock that the test turns, the text on stderr."""

import io
import logging

import pytest
import rich.progress
from rich.console import Console

from passerby import progress
from passerby.progress import open_progress, part_of, show_log

logger = logging.getLogger("passerby.test")


@pytest.fixture
def unconfigured(monkeypatch):
    """`logging` as an application leaves it that has not configured it: pytest's own handlers are taken out."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])


@pytest.fixture
def terminal(monkeypatch):
    """Stderr as a terminal; the text that it shows."""
    text = io.StringIO()
    monkeypatch.setattr(progress, "stderr_console", lambda: Console(file=text, force_terminal=True, width=100))
    return text


def test_a_callback_receives_every_state_and_is_passed_on():
    states = []
    with open_progress(lambda *state: states.append(state)) as outer, open_progress(outer) as inner:
        inner("embed", 1, 2)
        part_of(inner, 1, 2)("embed", 1, 1, "note")
    assert states == [("embed", 1, 2), ("embed", 2, 2, "note")]


def test_without_progress_nothing_is_shown(capfd, unconfigured):
    with open_progress(False) as report:
        report("embed", 1, 2)
        logger.info("a line")
    assert capfd.readouterr() == ("", "")


def test_the_bar_appears_only_when_the_job_takes_long(monkeypatch, terminal):
    clock, started = iter([0.0, 0.5, 1.9, 2.1]), []
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(rich.progress.Progress, "start", lambda _bar: started.append(done))
    with open_progress(True) as report:
        for done in (1, 2, 3):
            report("embed", done, 4)
    assert started == [3]


def test_a_bar_shows_task_count_and_note(monkeypatch, terminal):
    monkeypatch.setattr(progress, "BAR_AFTER", -1)
    with open_progress(True) as report:
        report("train", 7, 12, "epoch 1  loss [0.5]")
        report("train", 2, 9, "epoch 1  loss [0.4]")
    shown = terminal.getvalue()
    assert "train" in shown
    assert "2/9" in shown
    assert "loss [0.4]" in shown


def test_progress_shows_log_lines_and_restores_the_logger(capfd, unconfigured):
    before = logging.getLogger("passerby").level
    with open_progress(True):
        logger.info("epoch %d [x]", 1)
        logger.warning("not calibrated")
        logger.debug("detail")
    logger.info("after")
    assert capfd.readouterr() == ("", "epoch 1 [x]\nwarning not calibrated\n")
    assert (logging.getLogger("passerby").handlers, logging.getLogger("passerby").level) == ([], before)


def test_nested_calls_print_a_line_once(capfd, unconfigured):
    with show_log(), open_progress(True):
        logger.info("once")
    assert capfd.readouterr().err == "once\n"


def test_the_handlers_of_an_application_are_kept(capfd, unconfigured, monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(text)])
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.INFO)
    with open_progress(True):
        logger.info("to the application")
    logging.getLogger().setLevel(level)
    assert (text.getvalue(), capfd.readouterr().err) == ("to the application\n", "")
