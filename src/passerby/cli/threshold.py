"""`passerby threshold`: the distance at which a model may call somebody known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from passerby.cli.common import Device, Json, Run, print_json

if TYPE_CHECKING:
    from passerby.runs.threshold import MeasuredThreshold


def threshold(
    run: Run,
    far: Annotated[float, typer.Option(help="Chance that an unknown person is taken for somebody, 0 to 1.")],
    gallery_size: Annotated[
        int | None, typer.Option(help="People who will be enrolled; default: as many as the data show.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Measure on these queries and galleries, not on the training people.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """The distance below which somebody is recognized, for a gallery of a stated size.

    [bold]passerby threshold runs/m --far 0.01 --gallery-size 500 --data folder:/data/ours[/]
    """
    from passerby.runs.threshold import find_threshold

    results = find_threshold(run, data, far=far, gallery_size=gallery_size, device=device, progress=True)
    if as_json:
        print_json({"run": str(run), "thresholds": [each.to_dict() for each in results]})
        return
    console = Console()
    for each in results:
        console.print(_table(each))
    if any(each.trained_on for each in results):
        console.print(
            "[bold]Too optimistic:[/] the network was trained on these people and tells them apart better than "
            "others. Measure on people that it has not seen, from where it will be used: --data"
        )


def _table(result: MeasuredThreshold) -> Table:
    """What was found, and under what conditions it holds."""
    found = result.threshold
    low, high = found.interval
    low_rate, high_rate = found.rate_interval
    others = f"{found.other_identities:,} other people, {found.images:.1f} images each"
    whose = "training people, which the network has learned" if result.trained_on else f"people of {result.split}"
    rows = {
        "threshold": f"{found.threshold:.4f}  [{low:.4f}-{high:.4f}]  cosine distance",
        "recognized": "whoever is nearer than that, and nearest of all",
        "false alarms": f"{100 * found.far:g} % of unknown people are taken for somebody",
        "known people": f"{100 * found.rate:.1f} %  [{100 * low_rate:.1f}-{100 * high_rate:.1f}]  are recognized (DIR)",
        "gallery": f"{found.gallery_size:,} people{', extrapolated' if found.extrapolated else ''}",
        "measured on": f"{whose}: {found.queries:,} images of {result.identities:,} people against {others}",
    }
    caption = "in brackets: 95 % interval, bootstrap over identities"
    if found.extrapolated:
        caption += (
            f"\nextrapolated: the data show {found.other_identities:,} people; nobody has measured so large a gallery"
        )
    table = Table(
        title=Text(result.data.title, style="bold"),
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.HORIZONTALS,
        show_header=False,
    )
    table.add_column(no_wrap=True)
    table.add_column()
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table
