"""`passerby enrol`: take people into a gallery."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.markup import escape

from passerby.cli.data import slow_progress
from passerby.cli.gallery import Json, Where, moment
from passerby.cli.train import Device
from passerby.errors import GalleryError, NoGalleryError


def enrol(
    where: Where,
    images: Annotated[
        Path | None,
        typer.Option(help="An image, a folder, or a .csv or .parquet table: path, camera, time, label, ..."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="A data set instead, such as synth:identities=40,cameras=4.")] = None,
    split: Annotated[str, typer.Option(help="Of the data set: train, query, gallery.")] = "gallery",
    camera: Annotated[str | None, typer.Option(help="Which camera took all of them.")] = None,
    label: Annotated[str | None, typer.Option(help="Who is on all of them.")] = None,
    at: Annotated[str | None, typer.Option("--time", help="When: ISO 8601 (UTC) or seconds since 1970.")] = None,
    folders: Annotated[
        str | None, typer.Option(help="What the folders inside say: camera, label, camera/label, label/camera.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder of a run, or default; an existing gallery knows its own.")
    ] = None,
    pictures: Annotated[
        str | None, typer.Option(help="Kept of crops in a new gallery: vectors, thumbnails (default), crops.")
    ] = None,
    retention: Annotated[float | None, typer.Option(help="Days that a new gallery keeps a sighting.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Take people into a gallery; it is made when it is not there. What is in it already is not taken twice.

    [bold]passerby enrol people --images crops/ --camera north[/]

    [bold]passerby enrol staff --images photos/ --camera badge --folders label[/]
    """
    from passerby.gallery.crops import crops_of, crops_of_data
    from passerby.gallery.gallery import DEFAULT, Gallery

    if (images is None) == (data is None):
        raise GalleryError("enrol: expected either --images or --data")
    if data is not None:
        if any(each is not None for each in (camera, label, at, folders)):
            raise GalleryError("enrol: --camera, --label, --time and --folders are for --images; a data set says them")
        crops = crops_of_data(data, split=cast("Any", split))
    else:
        assert images is not None
        time = moment(at, "--time")
        crops = crops_of(images, camera=camera, label=label, time=time, folders=cast("Any", folders))
    settings: dict[str, Any] = {"pictures": pictures, "retention": retention, "device": device}
    try:
        gallery = Gallery(where, model=model, **settings)
    except NoGalleryError:
        gallery = Gallery(where, model=DEFAULT, **settings)
    with gallery, slow_progress("enrolling") as progress:
        done = gallery.enrol(crops, progress=progress)
        total = gallery.store.count()
    if as_json:
        typer.echo(json.dumps({**asdict(done), "sightings": total}, indent=2))
    else:
        console = Console(highlight=False, soft_wrap=True)
        console.print(f"{escape(where)}: {done.new:,} new, {done.known:,} were there; {total:,} sightings in all")
        for source, why in done.unreadable[:3]:
            console.print(f"[yellow]not enrolled[/] {escape(source)}: {escape(why)}")
        if len(done.unreadable) > 3:
            console.print(f"[yellow]not enrolled[/] and {len(done.unreadable) - 3:,} more; --json lists them")
    if done.unreadable:
        raise typer.Exit(1)
