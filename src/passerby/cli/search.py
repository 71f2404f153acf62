"""`passerby search`, `identify` and `cluster`: ask a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from passerby.cli.common import Device, Json, print_json, require_image_name
from passerby.cli.gallery import Cameras, Labels, NotCameras, Since, Until, Where, filter_of, written_time

if TYPE_CHECKING:
    from passerby.gallery.gallery import Gallery
    from passerby.gallery.identify import Identity
    from passerby.gallery.sightings import Facts, Hit
    from passerby.plots.crop_rows import CaptionedCrop

Queries = Annotated[list[Path], typer.Option("--image", help="A crop of one person; may be repeated.")]
Model = Annotated[str | None, typer.Option(help="Where the gallery's model lies, if it was moved; or default.")]
SeenBy = Annotated[
    str | None,
    typer.Option(
        help="Camera that saw the images: what each camera does to all of its images is then taken out "
        "(camera-wise normalization, by the gallery's own sightings)."
    ),
]
Picture = Annotated[Path | None, typer.Option("--open", help="Draw the answer into this picture and show it.")]

_MOST = 20
"""People that are listed and drawn; --json has all."""


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
    picture: Picture = None,
    model: Model = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Who looks like this: the nearest sightings. --json tells their ids and whole paths too.

    [bold]passerby search people --image a.jpg --not-camera north --open rank.png[/]

    [bold]passerby search people --image a.jpg --seen-by north[/]
    """
    from passerby.gallery.gallery import Gallery

    _require_picture(picture)
    chosen = filter_of(cameras=cameras, not_cameras=not_cameras, since=since, until=until, labels=labels)
    with Gallery(where, model=model, device=device) as gallery:
        found = gallery.search(images, top=top, where=chosen, seen_by=seen_by)
        if picture is not None:
            rows = [(image, f"{image.name}", hits) for image, hits in zip(images, found, strict=True)]
            _draw_hits(gallery, rows, picture, title=f"The nearest in {where}")
    if as_json:
        answers = zip(images, found, strict=True)
        print_json([{"image": str(i), "hits": [asdict(h) for h in hits]} for i, hits in answers])
    else:
        for image, hits in zip(images, found, strict=True):
            Console(highlight=False).print(_table(str(image), hits))
    _show(picture, quiet=as_json)


def identify(
    where: Where,
    images: Queries,
    unknown: Annotated[float, typer.Option(help="Share of images that show nobody with a label, 0 to 1.")] = 0.5,
    at_least: Annotated[float, typer.Option(help="Probability from which on a name is given.")] = 0.5,
    cameras: Cameras = None,
    not_cameras: NotCameras = None,
    since: Since = None,
    until: Until = None,
    seen_by: SeenBy = None,
    picture: Picture = None,
    model: Model = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Who is this: a name, or unknown, with a calibrated probability."""
    from passerby.gallery.gallery import Gallery

    _require_picture(picture)
    chosen = filter_of(cameras=cameras, not_cameras=not_cameras, since=since, until=until)
    with Gallery(where, model=model, device=device) as gallery:
        found = gallery.identify(images, where=chosen, unknown=unknown, at_least=at_least, seen_by=seen_by)
        if picture is not None:
            rows = [
                (image, f"{image.name}: {_said(each)}", [candidate.hit for candidate in each.candidates[:9]])
                for image, each in zip(images, found, strict=True)
            ]
            _draw_hits(gallery, rows, picture, title=f"Who is it? Nearest sighting of each label in {where}")
    if as_json:
        answers = [{"image": str(image), **asdict(each)} for image, each in zip(images, found, strict=True)]
        print_json(answers)
    else:
        for image, each in zip(images, found, strict=True):
            others = ", ".join(f"{other.label} {_percent(other.probability)}" for other in each.candidates[:3])
            typer.echo(f"{image}: {_said(each)}" + (f"   (nearest: {others})" if others else ""))
    _show(picture, quiet=as_json)


def cluster(
    where: Where,
    cameras: Cameras = None,
    not_cameras: NotCameras = None,
    since: Since = None,
    until: Until = None,
    threshold: Annotated[
        float | None, typer.Option(help="Largest mean distance within a person; default: from the calibration.")
    ] = None,
    prior: Annotated[float, typer.Option(help="Share of pairs of sightings that show one person, 0 to 1.")] = 0.01,
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Who is who, without labels: people across cameras, the most often seen first."""
    from passerby.gallery.gallery import Gallery

    _require_picture(picture)
    chosen = filter_of(cameras=cameras, not_cameras=not_cameras, since=since, until=until)
    with Gallery(where) as gallery:
        groups = gallery.cluster(where=chosen, threshold=threshold, prior=prior)
        if picture is not None and groups:
            _draw_groups(gallery, groups, picture, title=f"Who is who in {where}")
    seen = sum(map(len, groups))
    agreement = _agreement(groups)
    if as_json:
        print_json({"people": [[asdict(each) for each in group] for group in groups], **agreement})
    else:
        typer.echo(f"{len(groups):,} people in {seen:,} sightings")
        for number, group in enumerate(groups[:_MOST], start=1):
            typer.echo(f"{number:5}  {_heading(group)}")
        if len(groups) > _MOST:
            typer.echo(f"       and {len(groups) - _MOST:,} more; --json lists them")
        if agreement:
            typer.echo("beside the labels: " + ", ".join(f"{name} {value:.1%}" for name, value in agreement.items()))
    _show(picture if groups else None, quiet=as_json)


def _agreement(groups: Sequence[Sequence[Facts]]) -> dict[str, float]:
    """B-cubed precision and recall where there are labels."""
    from passerby.gallery.cluster import b_cubed

    labels = [each.label for group in groups for each in group]
    if not any(label is not None for label in labels):
        return {}
    import numpy as np

    numbers = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    precision, recall = b_cubed(numbers, labels)
    return {"b_cubed_precision": precision, "b_cubed_recall": recall}


def _said(identity: Identity) -> str:
    if identity.label is None:
        return f"unknown (nobody with a label: {_percent(identity.probability)})"
    return f"{identity.label} ({_percent(identity.probability)})"


def _percent(probability: float) -> str:
    """Nothing is certain, and no rounding makes it so."""
    return "over 99.9%" if probability > 0.999 else f"{probability:.1%}"


def _heading(group: Sequence[Facts]) -> str:
    """How often, where, when, and who it is said to be."""
    cameras = sorted({each.camera for each in group})
    labels = sorted({each.label for each in group if each.label is not None})
    times = [each.time for each in group if each.time is not None]
    parts = [f"{len(group):,} sighting{'s' * (len(group) > 1)}", _few(cameras)]
    starts, ends = ([float(each.attributes[k]) for each in group if k in each.attributes] for k in ("start", "end"))
    if not times and starts and ends:
        parts.append(f"{min(starts):.0f} s to {max(ends):.0f} s")
    if times:
        parts.append(f"{written_time(min(times))} to {written_time(max(times))}")
    if labels:
        parts.append(f"labeled {_few(labels)}")
    return ", ".join(parts)


def _few(names: Sequence[str], most: int = 4) -> str:
    return " ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _table(title: str, hits: Sequence[Hit]) -> Table:
    table = Table(title=escape(title), title_justify="left")
    columns = {
        "": [str(place) for place in range(1, len(hits) + 1)],
        "distance": [f"{hit.distance:.3f}" for hit in hits],
        "label": [hit.label or "" for hit in hits],
        "camera": [hit.camera for hit in hits],
        "time": [written_time(hit.time) for hit in hits],
        "file": [Path(hit.source).name for hit in hits],
    }
    told = {name: values for name, values in columns.items() if any(values) or name == "distance"}
    for name in told:
        table.add_column(name, justify="right" if name in ("", "distance") else "left", overflow="fold")
    for row in zip(*told.values(), strict=True):
        table.add_row(*map(escape, row))
    return table


def _require_picture(path: Path | None) -> None:
    if path is not None:
        require_image_name(path, option="--open")


def _draw_hits(gallery: Gallery, rows: Sequence[tuple[Path, str, Sequence[Hit]]], picture: Path, *, title: str) -> None:
    from passerby.data.images import read_image
    from passerby.plots.crop_rows import CaptionedCrop, plot_crop_rows

    drawn: list[tuple[str, list[CaptionedCrop]]] = []
    for image, heading, hits in rows:
        whole = gallery.store.get([hit.id for hit in hits])
        shown = [CaptionedCrop(read_image(image), ("query", "", ""))]
        for place, (hit, sighting) in enumerate(zip(hits, whole, strict=True), start=1):
            lines = (f"{place}: {hit.distance:.3f}", _short(hit.label or hit.camera), hit.camera if hit.label else "")
            shown.append(CaptionedCrop(sighting.picture, lines))
        drawn.append((heading, shown))
    plot_crop_rows(drawn, picture, title=title, across=11, note="rank: distance; below it label and camera")


def _draw_groups(gallery: Gallery, groups: Sequence[Sequence[Facts]], picture: Path, *, title: str) -> None:
    from passerby.plots.crop_rows import CaptionedCrop, plot_crop_rows

    drawn = []
    for number, group in enumerate(groups[:_MOST], start=1):
        chosen = _spread(group, 10)
        whole = gallery.store.get([each.id for each in chosen])
        crops = [
            CaptionedCrop(each.picture, (_short(each.camera), written_time(each.time)[11:], _short(each.label or "")))
            for each in whole
        ]
        drawn.append((f"{number}: {_heading(group)}", crops))
    hidden = len(groups) - len(drawn)
    plot_crop_rows(drawn, picture, title=title, note=f"and {hidden:,} more people" if hidden else "")


def _spread(group: Sequence[Any], most: int) -> list[Any]:
    """At most so many, evenly from first to last."""
    if len(group) <= most:
        return list(group)
    return [group[round(i * (len(group) - 1) / (most - 1))] for i in range(most)]


def _short(text: str, most: int = 13) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _show(picture: Path | None, *, quiet: bool) -> None:
    """Name the picture; open it where somebody sits before a screen."""
    if picture is None:
        return
    if not quiet:
        typer.echo(f"{picture}")
    if Console().is_terminal:
        typer.launch(str(picture))
