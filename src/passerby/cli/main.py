"""`passerby`: registers the commands, and converts errors to a message and an exit code."""

from __future__ import annotations

import io
import sys
import warnings

import typer
from rich.text import Text

from passerby import __version__
from passerby.cli import (
    ablate,
    adapt,
    calibrate,
    compare,
    data,
    embed_source,
    enroll,
    evaluate,
    gallery,
    model,
    report,
    review,
    search,
    selftest,
    serve,
    synth,
    threshold,
    train,
)
from passerby.cli.common import App
from passerby.progress import show_log, stderr_console
from passerby.text import escape_lines

app = App(
    help="Person re-identification: train, evaluate and search, with ConvNeXt-AP and other models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(requested: bool) -> None:
    if requested:
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
app.command("adapt")(adapt.adapt)
app.command("selftest")(selftest.selftest)
app.command("calibrate")(calibrate.calibrate)
app.command("threshold")(threshold.threshold)
app.command("embed")(embed_source.embed)
app.command("enroll")(enroll.enroll)
app.command("search")(search.search)
app.command("identify")(search.identify)
app.command("cluster")(search.cluster)
app.command("review")(review.review)
app.command("serve")(serve.serve)
app.add_typer(gallery.app, name="gallery")
app.add_typer(data.app, name="data")
app.add_typer(model.app, name="model")


def main() -> None:
    """Run one command.

    A user's error (`PasserbyError`, `OSError`, a missing extra) is one message and exit code 1. Ctrl-C is 130. Any
    other exception is a bug and keeps its traceback.
    """
    # The error of `decode_image` follows.
    warnings.filterwarnings("ignore", r"Image size \(.* could be decompression bomb", RuntimeWarning)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the terminal's encoding lacks is escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        with show_log():
            app()
    except (ValueError, OSError, ModuleNotFoundError) as error:
        message = _find_message(error)
        if message is None:
            raise
        stderr_console().print(Text.assemble(("error", "bold red"), " ", escape_lines(message)), soft_wrap=True)
        sys.exit(1)


def _find_message(error: Exception) -> str | None:
    """Return the message of a user's error; None for a bug."""
    from passerby.errors import PasserbyError
    from passerby.extras import find_missing_extra

    missing = find_missing_extra(error) if isinstance(error, ModuleNotFoundError) else None
    return str(missing or error) if missing or isinstance(error, PasserbyError | OSError) else None
