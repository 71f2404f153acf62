"""`passerby data`: check, count and show data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from passerby.cli.common import App, Json, print_json, require_image_name, save_image
from passerby.errors import DataError
from passerby.text import plural

app = App(name="data", help="Check, count and show data sets.", no_args_is_help=True)

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="name:path?option=value. Join several with +.")]

_COLORS = {"error": "red", "warning": "yellow", "note": "dim"}


@app.command("check")
def check_command(
    spec: Spec,
    decode: Annotated[bool, typer.Option("--decode/--no-decode", help="Decode every image.")] = True,
    as_json: Json = False,
) -> None:
    """Check a data set for errors. Exit code 1 if training on it would be wrong."""
    from passerby.data.doctor import check

    findings = check(spec, decode=decode, progress=True)
    has_error = any(finding.severity == "error" for finding in findings)
    if as_json:
        print_json([finding.to_dict() for finding in findings])
    else:
        console = Console(highlight=False)
        for finding in findings:
            such_as = "such as " if finding.count > 1 else ""
            head = f"[{_COLORS[finding.severity]}]{finding.severity:7}[/] {finding.count:7,}  {escape(finding.message)}"
            console.print(f"{head}\n{'':17}[dim]{such_as}[/]{escape(finding.example)}", soft_wrap=True)
        console.print("Not fit for training." if has_error else "Fit for training.")
    if has_error:
        raise typer.Exit(1)


@app.command("stats")
def stats_command(spec: Spec, as_json: Json = False) -> None:
    """Count identities, images and cameras."""
    from passerby.data.statistics import stats

    rows = [row.to_dict() for row in stats(spec)]
    if as_json:
        print_json(rows)
        return
    table = Table("data set", *(escape(row["data"]) for row in rows))
    for column in table.columns[1:]:
        column.justify, column.overflow = "right", "fold"
    for field in list(rows[0])[1:]:
        table.add_row(field.replace("_", " "), *(f"{row[field]:,}" for row in rows))
    Console().print(table)


@app.command("show")
def show_command(
    spec: Spec,
    out: Annotated[Path, typer.Option(help="Image to write, .png or .jpg.")],
    split: Annotated[Literal["train", "query", "gallery"], typer.Option(help="Split to show.")] = "train",
    identities: Annotated[int, typer.Option(min=1, max=200, help="Number of identities, one row each.")] = 8,
    images: Annotated[int, typer.Option(min=1, max=20, help="Images of each identity in each camera.")] = 2,
) -> None:
    """Draw a contact sheet: identities in rows, cameras in columns."""
    from passerby.data.contact_sheet import draw_contact_sheet
    from passerby.data.datasets import load_data

    sets = load_data(spec)
    if len(sets) > 1:
        raise DataError(f"data show: {plural(len(sets), 'data set')} given; expected one")
    require_image_name(out, option="--out")
    save_image(draw_contact_sheet(sets[0], split=split, identities=identities, images=images), out)
