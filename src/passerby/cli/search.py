"""`passerby search`, `identify` and `cluster`: queries to a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from passerby.cli.common import AcceptDrift, Device, Json, cell, print_json
from passerby.cli.gallery_options import (
    Cameras,
    Labels,
    NotCameras,
    Since,
    Until,
    Where,
    make_filter,
)
from passerby.cli.gallery_plots import MAX_CLUSTERS, Plot, check_plot, plot_clusters, plot_hits, show_plot
from passerby.reviewing.defaults import PAIR_PRIOR
from passerby.text import escape_controls, format_time, plural

if TYPE_CHECKING:
    from passerby.gallery.results import IdentifyResult
    from passerby.gallery.sightings import Hit, SightingInfo

Queries = Annotated[list[Path], typer.Option("--image", help="A crop of one person. Repeatable.")]
Model = Annotated[
    str | None, typer.Option(help="Path of the gallery's model if it was moved, a file of it, or default.")
]
SeenBy = Annotated[
    str | None,
    typer.Option(
        help="Camera of the images. Distances are then normalized per camera, by statistics of the gallery's sightings."
    ),
]


def search(
    where: Where,
    images: Queries,
    top: Annotated[int, typer.Option(min=1, help="Sightings for each image.")] = 10,
    cameras: Cameras = None,
    not_cameras: NotCameras = None,
    since: Since = None,
    until: Until = None,
    labels: Labels = None,
    seen_by: SeenBy = None,
    plot: Plot = None,
    model: Model = None,
    accept_drift: AcceptDrift = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Search for the nearest sightings. --json also prints their ids and full paths.

    [bold]passerby search people --image a.jpg --not-camera north --open rank.png[/]

    [bold]passerby search people --image a.jpg --seen-by north[/]
    """
    from passerby.gallery.gallery import Gallery
    from passerby.gallery.known_names import require_names

    check_plot(plot, images)
    selected = make_filter(cameras=cameras, not_cameras=not_cameras, since=since, until=until, labels=labels)
    with Gallery(where, model=model, accept_drift=accept_drift, device=device) as gallery:
        require_names(gallery.store, selected)
        results = gallery.search(images, top=top, where=selected, seen_by=seen_by)
        if plot is not None:
            rows = [(image, image.name, hits) for image, hits in zip(images, results, strict=True)]
            plot_hits(gallery, rows, plot, title=f"Nearest sightings in {where}")
    answers = zip(images, results, strict=True)
    if as_json:
        print_json([{"image": str(image), "hits": [hit.to_dict() for hit in hits]} for image, hits in answers])
    else:
        for image, hits in answers:
            Console(highlight=False).print(_make_table(str(image), hits))
    show_plot(plot, quiet=as_json)


def identify(
    where: Where,
    images: Queries,
    unknown: Annotated[
        float, typer.Option(help="Prior probability that an image shows none of the labels, 0 to 1.")
    ] = 0.5,
    at_least: Annotated[float, typer.Option(help="Least probability for an answer: a label, or unknown.")] = 0.5,
    cameras: Cameras = None,
    not_cameras: NotCameras = None,
    since: Since = None,
    until: Until = None,
    seen_by: SeenBy = None,
    plot: Plot = None,
    model: Model = None,
    accept_drift: AcceptDrift = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Identify the person on each image: a label, unknown or not sure, with a calibrated probability."""
    from passerby.gallery.gallery import Gallery
    from passerby.gallery.known_names import require_names

    check_plot(plot, images)
    selected = make_filter(cameras=cameras, not_cameras=not_cameras, since=since, until=until)
    with Gallery(where, model=model, accept_drift=accept_drift, device=device) as gallery:
        require_names(gallery.store, selected)
        results = gallery.identify(images, where=selected, unknown=unknown, at_least=at_least, seen_by=seen_by)
        if plot is not None:
            rows = [
                (image, f"{image.name}: {_format_result(result)}", [best.hit for best in result.candidates[:9]])
                for image, result in zip(images, results, strict=True)
            ]
            plot_hits(gallery, rows, plot, title=f"Identification in {where}: nearest sighting of each label")
    answers = zip(images, results, strict=True)
    if as_json:
        print_json([{"image": str(image), **result.to_dict()} for image, result in answers])
    else:
        for image, result in answers:
            nearest = [f"{best.label} {_format_probability(best.probability)}" for best in result.candidates[:3]]
            suffix = f"   (nearest: {', '.join(nearest)})" if nearest else ""
            typer.echo(escape_controls(f"{image}: {_format_result(result)}{suffix}"))
    show_plot(plot, quiet=as_json)


def cluster(
    where: Where,
    cameras: Cameras = None,
    not_cameras: NotCameras = None,
    since: Since = None,
    until: Until = None,
    threshold: Annotated[
        float | None, typer.Option(help="Largest mean distance within a cluster; default: from the calibration.")
    ] = None,
    prior: Annotated[
        float, typer.Option(help="Prior probability that a pair of sightings shows one identity, 0 to 1.")
    ] = PAIR_PRIOR,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Group sightings by identity across cameras, without labels, the largest cluster first."""
    from passerby.gallery.gallery import Gallery
    from passerby.gallery.known_names import require_names

    check_plot(plot)
    selected = make_filter(cameras=cameras, not_cameras=not_cameras, since=since, until=until)
    with Gallery(where) as gallery:
        require_names(gallery.store, selected)
        result = gallery.cluster(where=selected, threshold=threshold, prior=prior)
        count = len(result.clusters)
        lines = [_describe(sightings) for sightings in result.clusters]
        if plot is not None and count:
            headings = [f"{number}: {line}" for number, line in enumerate(lines, start=1)]
            plot_clusters(gallery, result.clusters, headings, plot, title=f"Clusters in {where}")
    if as_json:
        print_json(result.to_dict())
    else:
        typer.echo(f"{plural(count, 'cluster')} in {plural(sum(map(len, result.clusters)), 'sighting')}")
        for number, line in enumerate(lines[:MAX_CLUSTERS], start=1):
            typer.echo(f"{number:5}  {escape_controls(line)}")
        if count > MAX_CLUSTERS:
            typer.echo(f"       and {count - MAX_CLUSTERS:,} more; --json prints all")
        if result.b_cubed_precision is not None:
            precision, recall = f"{result.b_cubed_precision:.1%}", f"{result.b_cubed_recall:.1%}"
            typer.echo(f"against the labels: B-cubed precision {precision}, recall {recall}")
    show_plot(plot if count else None, quiet=as_json)


def _format_result(result: IdentifyResult) -> str:
    probability = _format_probability(result.probability)
    if result.answer == "not sure":
        return f"not sure (unknown {probability})"
    return f"unknown ({probability})" if result.label is None else f"{result.label} ({probability})"


def _format_probability(probability: float) -> str:
    """Format in percent; never as 100 %, since no probability is 1."""
    return "over 99.9%" if probability > 0.999 else f"{probability:.1%}"


def _describe(sightings: Sequence[SightingInfo]) -> str:
    """Describe a cluster: number of sightings, cameras, time span, labels."""
    cameras = sorted({sighting.camera for sighting in sightings})
    labels = sorted({sighting.label for sighting in sightings if sighting.label is not None})
    times = [sighting.time for sighting in sightings if sighting.time is not None]
    parts = [f"{len(sightings):,} sighting{'s' * (len(sightings) > 1)}", _join_few(cameras)]
    spans = [sighting.span for sighting in sightings if sighting.span is not None]
    if times:
        parts.append(f"{format_time(min(times))} to {format_time(max(times))}")
    elif spans:
        parts.append(f"{min(start for start, _ in spans):.0f} s to {max(end for _, end in spans):.0f} s")
    if labels:
        parts.append(f"labeled {_join_few(labels)}")
    return ", ".join(parts)


def _join_few(names: Sequence[str], count: int = 4) -> str:
    return " ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def _make_table(title: str, hits: Sequence[Hit]) -> Table:
    table = Table(title=cell(title), title_justify="left")
    columns = {
        "": [str(rank) for rank in range(1, len(hits) + 1)],
        "distance": [f"{hit.distance:.3f}" for hit in hits],
        "label": [hit.label or "" for hit in hits],
        "camera": [hit.camera for hit in hits],
        "time": [format_time(hit.time) for hit in hits],
        "file": [Path(hit.source).name for hit in hits],
    }
    filled = {name: values for name, values in columns.items() if any(values) or name == "distance"}
    for name in filled:
        table.add_column(name, justify="right" if name in ("", "distance") else "left", overflow="fold")
    for row in zip(*filled.values(), strict=True):
        table.add_row(*map(cell, row))
    return table
