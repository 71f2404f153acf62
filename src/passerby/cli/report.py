"""`passerby report`: one page about one or several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from passerby.cli.common import Device


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs, at most 8.")],
    out: Annotated[Path, typer.Option("--out", help="The HTML file; its pictures go into a folder beside it.")] = Path(
        "report.html"
    ),
    data: Annotated[
        str | None, typer.Option("--data", help="Data sets for all runs; without it, those of each training.")
    ] = None,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Show images; without them nobody is on the page.")
    ] = True,
    queries: Annotated[int, typer.Option(help="Rank lists of each kind: worst, random, best.")] = 6,
    device: Device = "auto",
) -> None:
    """One self-contained page: scores, CMC, rank lists, heatmaps, why two match, distances, training, manifest.

    [bold]passerby report runs/m --out m.html[/]

    [bold]passerby report runs/plain runs/ap --data market1501:/data/Market-1501 --out compare.html[/]
    """
    from passerby.reporting.report import report as make_report

    made = make_report(runs, out, data=data, images=images, queries=queries, device=device, progress=True)
    typer.echo(f"report: {made.page} ({len(made.pictures)} pictures in {made.page.stem}_files/)")
