"""`passerby report`: write one HTML page about one or several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from passerby.cli.common import Device
from passerby.text import plural


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs, or default; at most 8.")],
    out: Annotated[Path, typer.Option("--out", help="HTML file; the plots are written beside it.")] = Path(
        "report.html"
    ),
    data: Annotated[
        str | None,
        typer.Option("--data", help="Data sets for all runs; default: those of each training. Required with default."),
    ] = None,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Show images of people.")] = True,
    queries: Annotated[int, typer.Option(help="Number of rank lists of each kind: worst, random, best.")] = 6,
    device: Device = "auto",
) -> None:
    """Write one HTML page about finished runs: metrics, CMC, rank lists, heatmaps, distances, training, settings.

    [bold]passerby report runs/m --out m.html[/]

    [bold]passerby report runs/plain runs/ap --data market1501:/data/Market-1501 --out compare.html[/]
    """
    from passerby.reporting.report import report as write_report

    result = write_report(runs, out, data=data, images=images, queries=queries, device=device, progress=True)
    typer.echo(f"report: {result.page} ({plural(len(result.plots), 'plot')} in {result.page.stem}_files/)")
