"""Progress and log lines of long jobs.

Every public function that may take longer than two seconds has the parameter `progress: ProgressOption = False`: True
shows a bar and the package's log lines on stderr, a callback is called, and False shows nothing. Internal functions
take a `ProgressCallback`. Messages go through `logging` (logger `passerby` and its children, INFO and WARNING).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Protocol

from passerby.text import escape_lines

if TYPE_CHECKING:
    from rich.console import Console

BAR_AFTER = 2.0
"""Seconds that a job runs before its bar appears."""


class ProgressCallback(Protocol):
    """Callable that receives the state of a job."""

    def __call__(self, task: str, done: int, total: int, note: str = "", /) -> None:
        """Receive one state.

        Args:
            task: Name of the job, such as `train`, `embed` or `decode`.
            done: Items finished, 0 to `total`.
            total: Items of the whole job.
            note: Text for the end of the line, such as the loss; may be empty.
        """


ProgressOption = bool | ProgressCallback
"""What public functions take as `progress`."""


def no_progress(_task: str, _done: int, _total: int, _note: str = "", /) -> None:
    """Discard the state of a job."""


@cache
def stderr_console() -> Console:
    """Return the console on stderr that progress bars and log lines share, so that they do not overwrite each other."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


class _ConsoleHandler(logging.Handler):
    """Print log records on `stderr_console`, above a live bar."""

    def emit(self, record: logging.LogRecord) -> None:
        from rich.text import Text

        try:
            head = [("warning ", "bold yellow")] if record.levelno >= logging.WARNING else []
            stderr_console().print(Text.assemble(*head, escape_lines(self.format(record))), soft_wrap=True)
        except Exception:
            self.handleError(record)


@contextmanager
def show_log() -> Iterator[None]:
    """Print the package's log lines, INFO and above, on stderr.

    Without effect where the application has configured `logging` to handle them already.
    """
    logger = logging.getLogger("passerby")
    if logger.hasHandlers() and logger.isEnabledFor(logging.INFO):
        yield
        return
    handler, level = _ConsoleHandler(), logger.level
    logger.propagate = bool(logging.getLogger().handlers)  # a library may add a handler later, which would print twice
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = True


@contextmanager
def open_progress(progress: ProgressOption) -> Iterator[ProgressCallback]:
    """Turn a public function's `progress` argument into a callback.

    Args:
        progress: True for log lines on stderr and, where stderr is a terminal and the job takes longer than
            `BAR_AFTER` seconds, a bar; a callback; or False.

    Yields:
        The callback to report to. It may be passed on as the `progress` of another public function.

    Example:
        >>> with open_progress(lambda task, done, total, note="": print(task, done, total)) as report:
        ...     report("embed", 3, 12)
        embed 3 12
    """
    if callable(progress):
        yield progress
        return
    if not progress:
        yield no_progress
        return
    with show_log(), _open_bar() as show:
        yield show


@contextmanager
def _open_bar() -> Iterator[ProgressCallback]:
    """Yield a callback that draws one line for each task."""
    if not stderr_console().is_terminal:
        yield no_progress
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("[bold]{task.description}[/]"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bar = Progress(*columns, TextColumn("{task.fields[note]}", markup=False), console=stderr_console(), transient=True)
    tasks = {}
    started = time.monotonic()

    def show(task: str, done: int, total: int, note: str = "", /) -> None:
        if task not in tasks:
            tasks[task] = bar.add_task(task, total=total, note=note)
        elif done < bar.tasks[tasks[task]].completed:
            bar.reset(tasks[task])  # the same task on other data
        bar.update(tasks[task], completed=done, total=total, note=note, visible=done < total)
        if not bar.live.is_started and time.monotonic() - started > BAR_AFTER:
            bar.start()

    try:
        yield show
    finally:
        bar.stop()


def part_of(report: ProgressCallback, before: int, total: int) -> ProgressCallback:
    """Return a callback for one part of a job of `total` items, of which `before` are finished.

    Example:
        >>> part = part_of(lambda task, done, total, note="": print(task, done, total), 100, 150)
        >>> part("embed", 20, 50)
        embed 120 150
    """

    def shifted(task: str, done: int, _total: int, note: str = "", /) -> None:
        report(task, before + done, total, note)

    return shifted
