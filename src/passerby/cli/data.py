"""`passerby data`: look at a data set before training on it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from passerby.errors import DataError
from passerby.files import write_atomic

if TYPE_CHECKING:
    from PIL import Image

app = typer.Typer(name="data", help="Check, count and look at data sets.", no_args_is_help=True)

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="name:path?option=value, several joined by +")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_COLORS = {"error": "red", "warning": "yellow", "note": "dim"}


@app.command("check")
def check_command(
    spec: Spec,
    decode: Annotated[bool, typer.Option("--decode/--no-decode", help="Decode every image.")] = True,
    as_json: Json = False,
) -> None:
    """Look for what is wrong with a data set. Exit code 1 when training on it would be wrong."""
    from passerby.data.doctor import check

    with slow_progress("looking at images") as progress:
        findings = check(spec, decode=decode, progress=progress)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
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
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
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
    require_picture_name(out, option="--out")
    save_picture(contact_sheet(sets[0], split=split, people=people, per_camera=images), out)


def require_picture_name(path: Path, *, option: str) -> None:
    """Refuse, before any work, a name that is no picture's."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise DataError(f"{option} {path}: expected a name that ends in .png or .jpg")


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture, whole or not at all, and say where."""
    content = BytesIO()
    picture.save(content, format="PNG" if path.suffix.lower() == ".png" else "JPEG")
    write_atomic(path, content.getvalue())
    typer.echo(f"{path}: {picture.width} x {picture.height} pixels")


@contextmanager
def slow_progress(label: str, *, after: float = 2.0) -> Iterator[Callable[[int, int], None]]:
    """A progress bar that appears only where the work takes longer than `after` seconds and stderr is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(label, total=None)
    begin = time.monotonic()

    def advance(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if not bar.live.is_started and time.monotonic() - begin > after:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()
