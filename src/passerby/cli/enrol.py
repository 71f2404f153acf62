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
    video: Annotated[Path | None, typer.Option(help="A video instead; each track of a person is one sighting.")] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="Boxes of the video, MOT or CSV; default: OpenCV's HOG detector looks.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Look at every so many frames of the video.")] = 1,
    gap: Annotated[
        float, typer.Option(min=0, help="Seconds within which a lost track is found again by its looks.")
    ] = 3.0,
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

    [bold]passerby enrol people --video door.avi --camera door --time 2026-11-01T08:00[/]
    """
    from passerby.gallery.crops import Crop, crops_of, crops_of_data
    from passerby.gallery.gallery import DEFAULT, Gallery

    _check(images, data, video, boxes)
    crops: list[Crop] = []
    if video is not None:
        _refuse("--video", label=label, folders=folders)
        if camera is None:
            raise GalleryError("enrol: a --video needs --camera")
    elif data is not None:
        _refuse("--data", camera=camera, label=label, time=at, folders=folders)
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
        if video is None:
            done = gallery.enrol(crops, progress=progress)
        else:
            from passerby.video.boxes import hog_detector, read_boxes
            from passerby.video.enrol import enrol_video

            done = enrol_video(
                gallery,
                video,
                camera=camera or "",
                boxes=hog_detector() if boxes is None else read_boxes(boxes),
                started=moment(at, "--time"),
                every=every,
                gap=gap,
                progress=progress,
            )
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


def _check(images: Path | None, data: str | None, video: Path | None, boxes: Path | None) -> None:
    """One source, and boxes for a video only."""
    if sum(each is not None for each in (images, data, video)) != 1:
        raise GalleryError("enrol: expected one of --images, --data and --video")
    if boxes is not None and video is None:
        raise GalleryError("enrol: --boxes are a video's; give --video")


def _refuse(source: str, **settings: str | None) -> None:
    """Options that do not go with a source."""
    given = [f"--{name}" for name, value in settings.items() if value is not None]
    if given:
        raise GalleryError(f"enrol: {', '.join(given)} does not go with {source}")
