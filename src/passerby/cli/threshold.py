"""`passerby threshold`: the distance threshold of a false alarm rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from passerby.cli.common import Device, Json, Run, print_json
from passerby.text import plural

if TYPE_CHECKING:
    from rich.table import Table

    from passerby.runs.threshold import MeasuredThreshold


def threshold(
    run: Run,
    far: Annotated[
        float, typer.Option(help="False alarm rate: probability that an unknown person is identified, 0 to 1.")
    ],
    gallery_size: Annotated[
        int | None, typer.Option(help="Number of identities to be enrolled; default: as many as the data have.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Data sets whose queries and galleries are used; default: the training images. Required for default.",
        ),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find the distance threshold of a false alarm rate, for a gallery of a given size.

    [bold]passerby threshold runs/m --far 0.01 --gallery-size 500 --data folder:/data/ours[/]
    """
    from passerby.runs.threshold import find_threshold

    results = find_threshold(run, data, far=far, gallery_size=gallery_size, device=device, progress=True)
    if as_json:
        print_json({"run": str(run), "thresholds": [result.to_dict() for result in results]})
        return
    from rich.console import Console

    console = Console()
    for result in results:
        console.print(_build_table(result))
    if any(result.trained_on for result in results):
        console.print(
            "[bold]Too optimistic:[/] the network was trained on these identities and separates them better than "
            "others. Measure on others, from the cameras where it is used: --data"
        )


def _build_table(result: MeasuredThreshold) -> Table:
    """Build the table of a threshold and the conditions of its measurement."""
    from passerby.cli.tables import build_value_table

    measured = result.threshold
    low, high = measured.interval
    low_rate, high_rate = measured.rate_interval
    others = f"{plural(measured.other_identities, 'other identity')}, {measured.images:.1f} images each"
    source = "training identities" if result.trained_on else f"identities of {result.split}"
    rows = {
        "threshold": f"{measured.threshold:.4f}  [{low:.4f}-{high:.4f}]  cosine distance",
        "recognized": "Rank-1 match closer than the threshold",
        "false alarms": f"{100 * measured.far:g} % of unknown people are recognized as an enrolled one (FAR)",
        "detections": f"{100 * measured.rate:.1f} %  [{100 * low_rate:.1f}-{100 * high_rate:.1f}]  of enrolled people "
        "are recognized (DIR)",
        "gallery": f"{plural(measured.gallery_size, 'identity')}{', extrapolated' if measured.extrapolated else ''}",
        "measured on": f"{source}: {plural(measured.queries, 'image')} of {result.identities:,} against {others}",
    }
    caption = "in brackets: 95 % interval, bootstrap over identities"
    if measured.extrapolated:
        have = plural(measured.other_identities, "identity")
        caption += f"\nextrapolated: the data have {have}; larger galleries are not measured"
    return build_value_table(result.data.title, rows, caption=caption)
