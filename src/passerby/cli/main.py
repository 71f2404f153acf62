"""`passerby`: the verbs, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import sys

import typer

from passerby import __version__
from passerby.cli import (
    ablate,
    calibrate,
    compare,
    data,
    enroll,
    evaluate,
    gallery,
    model,
    report,
    search,
    synth,
    threshold,
    train,
)
from passerby.progress import show_log, stderr_console

app = typer.Typer(
    help="Person re-identification with ConvNeXt-AP: train it, trust its numbers, search with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"passerby {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    pass


app.command("synth")(synth.synth)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("report")(report.report)
app.command("ablate")(ablate.ablate)
app.command("compare")(compare.compare)
app.command("calibrate")(calibrate.calibrate)
app.command("threshold")(threshold.threshold)
app.command("enroll")(enroll.enroll)
app.command("search")(search.search)
app.command("identify")(search.identify)
app.command("cluster")(search.cluster)
app.add_typer(gallery.app, name="gallery")
app.add_typer(data.app, name="data")
app.add_typer(model.app, name="model")


def main() -> None:
    """Run one verb. A user's error is one message and exit code 1; Ctrl-C is 130; a bug keeps its traceback."""
    try:
        with show_log():
            app()
    except (ValueError, OSError) as error:
        if isinstance(error, ValueError) and not _is_users(error):
            raise
        stderr_console().print(f"[bold red]error[/] {_plain(error)}", soft_wrap=True)
        sys.exit(1)


def _is_users(error: ValueError) -> bool:
    """Errors of this package are about inputs; a ValueError from elsewhere is a bug and must be seen whole."""
    from passerby.errors import PasserbyError

    return isinstance(error, PasserbyError)


def _plain(error: Exception) -> str:
    """The message, with rich's brackets made harmless."""
    from rich.markup import escape

    return escape(str(error))
