"""`passerby data`: look at a data set before training on it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from passerby.cli.common import Json, print_json, require_image_name, save_image
from passerby.errors import DataError

app = typer.Typer(name="data", help="Check, count and look at data sets.", no_args_is_help=True)

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="name:path?option=value, several joined by +")]

_COLORS = {"error": "red", "warning": "yellow", "note": "dim"}


@app.command("check")
def check_command(
    spec: Spec,
    decode: Annotated[bool, typer.Option("--decode/--no-decode", help="Decode every image.")] = True,
    as_json: Json = False,
) -> None:
    """Look for what is wrong with a data set. Exit code 1 when training on it would be wrong."""
    from passerby.data.doctor import check

    findings = check(spec, decode=decode, progress=True)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        console = Console(highlight=False)
        for finding in findings:
            such_as = "such as " if finding.count > 1 else ""
            head = f"[{_COLORS[finding.severity]}]{finding.severity:7}[/] {finding.count:7,}  {escape(finding.what)}"
            console.print(f"{head}\n{'':17}[dim]{such_as}[/]{escape(finding.example)}", soft_wrap=True)
        unfit = any(finding.severity == "error" for finding in findings)
        console.print("Not fit for training." if unfit else "Fit for training.")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


@app.command("stats")
def stats_command(spec: Spec, as_json: Json = False) -> None:
    """Count identities, images and cameras, as the paper's Table 1 does."""
    from passerby.data.statistics import statistics

    rows = statistics(spec)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    table = Table("data set")  # one column for each: their names are long, and there are twelve figures
    for row in rows:
        table.add_column(escape(row.data), justify="right", overflow="fold")
    for field in list(asdict(rows[0]))[1:]:
        table.add_row(field.replace("_", " "), *(f"{getattr(row, field):,}" for row in rows))
    Console().print(table)


@app.command("show")
def show_command(
    spec: Spec,
    out: Annotated[Path, typer.Option(help="Picture to write, .png or .jpg.")],
    split: Annotated[Literal["train", "query", "gallery"], typer.Option(help="Which images.")] = "train",
    people: Annotated[int, typer.Option(min=1, max=200, help="How many people, a row each.")] = 8,
    images: Annotated[int, typer.Option(min=1, max=20, help="Images of each person in each camera.")] = 2,
) -> None:
    """Draw a contact sheet: people down, cameras across."""
    from passerby.data.contact_sheet import contact_sheet
    from passerby.data.datasets import load_data

    sets = load_data(spec)
    if len(sets) > 1:
        raise DataError(f"data show: {len(sets)} data sets given; expected one, for a sheet shows one")
    require_image_name(out, option="--out")
    save_image(contact_sheet(sets[0], split=split, people=people, per_camera=images), out)
