"""`passerby model runtimes`: measured times of a model's runtimes on this machine, and the choice."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from passerby.cli.common import Json, cell, print_json


def runtimes_command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Folder of a run, an .onnx or .xml file, or default.")
    ] = "default",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Number of threads; default: OMP_NUM_THREADS, or all processors.")
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure again, although times are stored.")] = False,
    as_json: Json = False,
) -> None:
    """Print the times of a model's runtimes on this machine, and the choice.

    The times are measured once and stored in the user's cache folder.
    """
    from passerby.model.runtimes import model_runtimes

    table = model_runtimes(model, threads=threads, measure=measure)
    precisions = dict.fromkeys(row.precision for row in table.rows)
    choices = {name: choice for name in precisions if (choice := table.choose(name)) is not None}
    if as_json:
        print_json({**table.to_dict(), "choice": {name: choice.to_dict() for name, choice in choices.items()}})
        return
    threads_text = f"{table.threads} thread{'s' if table.threads > 1 else ''}"
    printed = Table(title="milliseconds of an image, by batch size", title_justify="left")
    sizes = sorted({size for row in table.rows for size in row.milliseconds})
    for name in ("runtime", "precision", "version"):
        printed.add_column(name)
    for size in sizes:
        printed.add_column(str(size), justify="right")
    for row in table.rows:
        times = [f"{row.milliseconds[size]:.2f}" if size in row.milliseconds else "" for size in sizes]
        printed.add_row(row.runtime, row.precision, cell(row.version or "not installed"), *times)
    console = Console(highlight=False, soft_wrap=True)
    console.print(cell(f"{table.model}: {table.processor}, {threads_text}"))
    console.print(printed)
    for row in table.rows:
        if row.note and row.version:
            console.print(cell(f"{row.runtime} {row.precision}: {row.note}"))
    for name, choice in choices.items():
        console.print(cell(f"{name}: {choice}"))
