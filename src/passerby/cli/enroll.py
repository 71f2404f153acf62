"""`passerby enroll`: take people into a gallery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.markup import escape

from passerby.cli.common import Device, Json, print_json
from passerby.cli.gallery import Where, moment
from passerby.errors import GalleryError, NoGalleryError
from passerby.types import DEFAULT


def enroll(
    where: Where,
    images: Annotated[
        Path | None,
        typer.Option(help="An image, a folder, or a .csv or .parquet table: path, camera, time, label, ..."),
    ] = None,
    video: Annotated[Path | None, typer.Option(help="A video instead; each track of a person is one sighting.")] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="Boxes of the video, MOT or CSV; default: OpenCV's HOG detector looks.")
    ] = None,
    every: Annotated[
        int | None, typer.Option(min=1, help="Look at every so many frames of the video; default 1.")
    ] = None,
    gap: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds within which a lost track is found again by its looks; default 3."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="A data set instead, such as synth:identities=40,cameras=4.")] = None,
    split: Annotated[str | None, typer.Option(help="Of the data set: train, query, gallery; default gallery.")] = None,
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

    [bold]passerby enroll people --images crops/ --camera north[/]

    [bold]passerby enroll staff --images photos/ --camera badge --folders label[/]

    [bold]passerby enroll people --video door.avi --camera door --time 2026-11-01T08:00[/]
    """
    from passerby.gallery.crops import Crop, crops_of, crops_of_data
    from passerby.gallery.gallery import Gallery

    _check(
        {"images": images, "video": video, "data": data},
        {"boxes": boxes, "every": every, "gap": gap, "split": split}
        | {"camera": camera, "label": label, "time": at, "folders": folders},
    )
    crops: list[Crop] = []
    if data is not None:
        crops = crops_of_data(data, split=cast("Any", split or "gallery"))
    elif images is not None:
        time = moment(at, "--time")
        crops = crops_of(images, camera=camera, label=label, time=time, folders=cast("Any", folders))
    settings: dict[str, Any] = {"pictures": pictures, "retention": retention, "device": device}
    try:
        gallery = Gallery(where, model=model, **settings)
    except NoGalleryError:
        gallery = Gallery(where, model=DEFAULT, **settings)
    with gallery:
        if video is None:
            done = gallery.enroll(crops, progress=True)
        else:
            from passerby.video.boxes import hog_detector, read_boxes
            from passerby.video.enroll_video import enroll_video

            following: dict[str, Any] = {"every": every, "gap": gap}
            following = {name: value for name, value in following.items() if value is not None}
            done = enroll_video(
                gallery,
                video,
                camera=camera or "",
                boxes=hog_detector() if boxes is None else read_boxes(boxes),
                started=moment(at, "--time"),
                progress=True,
                **following,
            )
        total = gallery.store.count()
    if as_json:
        print_json({**asdict(done), "sightings": total})
    else:
        console = Console(highlight=False, soft_wrap=True)
        console.print(f"{escape(where)}: {done.new:,} new, {done.known:,} were there; {total:,} sightings in all")
        for source, why in done.unreadable[:3]:
            console.print(f"[yellow]not enrolled[/] {escape(source)}: {escape(why)}")
        if len(done.unreadable) > 3:
            console.print(f"[yellow]not enrolled[/] and {len(done.unreadable) - 3:,} more; --json lists them")
    if done.unreadable:
        raise typer.Exit(1)


_GOES = {
    "images": {"camera", "label", "time", "folders"},
    "video": {"boxes", "every", "gap", "camera", "time"},
    "data": {"split"},
}
"""Which options go with which source."""


def _check(sources: Mapping[str, object], options: Mapping[str, object]) -> None:
    """One source, and the options that go with it."""
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        raise GalleryError("enroll: expected one of --images, --data and --video")
    (source,) = given
    wrong = [f"--{name}" for name, value in options.items() if value is not None and name not in _GOES[source]]
    if wrong:
        fitting = ", ".join(f"--{name}" for name in sorted(_GOES[source]))
        raise GalleryError(f"enroll: {', '.join(wrong)} does not go with --{source}, which takes {fitting}")
    if source == "video" and options["camera"] is None:
        raise GalleryError("enroll: a --video needs --camera")
