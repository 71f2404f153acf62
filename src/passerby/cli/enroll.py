"""`passerby enroll`: add sightings to a gallery."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from passerby.cli.common import AcceptDrift, Device, Json, cell, describe_failure, print_json
from passerby.cli.enroll_sources import prepare_job
from passerby.cli.gallery_options import Where
from passerby.errors import GalleryError, NoGalleryError
from passerby.text import format_time, plural

if TYPE_CHECKING:
    from passerby.gallery.gallery import Gallery
    from passerby.gallery.results import EnrollResult
    from passerby.video.enroll_live import LiveSighting


_VIDEOS, _NEW, _SERVERS = "Videos", "New galleries", "Galleries on a server"
"""Headings of options in the help."""


def enroll(
    where: Where,
    images: Annotated[
        Path | None,
        typer.Option(help="An image, a folder, or a .csv or .parquet table: path, camera, time, label, ..."),
    ] = None,
    video: Annotated[
        list[str] | None,
        typer.Option(
            help="A video; each track of a person becomes one sighting. Repeatable with --live: rtsp://, 0, a folder.",
            rich_help_panel=_VIDEOS,
        ),
    ] = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Enroll from the --video while it runs, until Ctrl-C or SIGTERM.", rich_help_panel=_VIDEOS
        ),
    ] = False,
    data: Annotated[str | None, typer.Option(help="A data set, such as synth:identities=40,cameras=4.")] = None,
    embeddings: Annotated[Path | None, typer.Option(help="Folder of shards that `passerby embed` wrote.")] = None,
    bulk: Annotated[
        str | None,
        typer.Option(
            help="Storage that a Milvus server reads files from, a folder or s3://bucket: --embeddings are sent by its "
            "bulk insertion.",
            rich_help_panel=_SERVERS,
        ),
    ] = None,
    bulk_path: Annotated[
        str | None,
        typer.Option(help="Path of --bulk as the server names it, if it has another.", rich_help_panel=_SERVERS),
    ] = None,
    camera: Annotated[
        list[str] | None, typer.Option(help="Camera of all images, or of the video; with --live one for each --video.")
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(help="Time of all images or of the video's first frame: ISO 8601 (UTC) or seconds since 1970."),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Label of all images.")] = None,
    folders: Annotated[
        str | None, typer.Option(help="Meaning of the folders inside: camera, label, camera/label, label/camera.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of the data set: train, query or gallery (default).")] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(help="Boxes of the video, MOT or CSV, in place of a detector.", rich_help_panel=_VIDEOS),
    ] = None,
    detector: Annotated[
        Path | None,
        typer.Option(
            help="Detector, .onnx or .xml, with SSD or YOLOX outputs; default: OpenCV's HOG detector.",
            rich_help_panel=_VIDEOS,
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            help="Least score of a box, 0 to 1; default 0.5 with --detector, 0.3 with HOG (not limited to 1), 0 with "
            "--boxes.",
            rich_help_panel=_VIDEOS,
        ),
    ] = None,
    tracks: Annotated[
        Path | None, typer.Option(help="MOT file to write with the tracks of the video.", rich_help_panel=_VIDEOS)
    ] = None,
    draw: Annotated[
        Path | None, typer.Option(help="Video to write with the tracks drawn, .mp4 or .avi.", rich_help_panel=_VIDEOS)
    ] = None,
    every: Annotated[
        int | None, typer.Option(min=1, help="Use every n-th frame of the video; default 1.", rich_help_panel=_VIDEOS)
    ] = None,
    gap: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Longest gap in seconds over which tracks are joined by appearance; default 3.",
            rich_help_panel=_VIDEOS,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Folder of a run, or default. An existing gallery has its own model.", rich_help_panel=_NEW),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            help="What a new gallery stores of crops: vectors, thumbnails (default), crops.", rich_help_panel=_NEW
        ),
    ] = None,
    retention: Annotated[
        float | None, typer.Option(help="Days that a new gallery keeps a sighting.", rich_help_panel=_NEW)
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Average each vector of a new gallery with that of the mirrored image (default), at twice the time.",
            rich_help_panel=_NEW,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Precision of a new gallery's vectors: fp32 (default), or bf16 by OpenVINO.", rich_help_panel=_NEW
        ),
    ] = None,
    dims: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Width of a new gallery's vectors, projected from the model's: 256. See `passerby calibrate --dims`.",
            rich_help_panel=_NEW,
        ),
    ] = None,
    accept_drift: AcceptDrift = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Add sightings to a gallery. A missing gallery is made; images that are in it are skipped.

    [bold]passerby enroll people --images crops/ --camera north[/]

    [bold]passerby enroll staff --images photos/ --camera badge --folders label[/]

    [bold]passerby enroll people --video door.avi --camera door --time 2026-11-01T08:00[/]

    [bold]passerby enroll people --live --video rtsp://10.0.0.7/1 --camera door --video 0 --camera hall[/]
    """
    options: dict[str, object] = {
        "camera": camera if live else _take_one("--camera", camera),
        "time": time,
        "label": label,
        "folders": folders,
        "split": split,
    }
    options |= {"boxes": boxes, "detector": detector, "min_score": min_score, "every": every, "gap": gap}
    options |= {"tracks": tracks, "draw": draw, "bulk": bulk, "bulk_path": bulk_path}
    sources: dict[str, object] = {"images": images, "data": data, "embeddings": embeddings}
    if live:
        sources["video --live"] = video or []
        options["on_sighting"] = _print_json_line if as_json else _print_sighting
    else:
        sources["video"] = _take_one("--video", video)
    from passerby.gallery.new_gallery import keep_if_filled

    job = prepare_job(sources, options)
    if embeddings is not None:
        _require_no_settings({"--model": model, "--keep": keep, "--flip": flip, "--precision": precision})
    with keep_if_filled(where):
        if embeddings is not None:  # the shards name the model of a new gallery
            from passerby.gallery.enroll_shards import open_for_shards

            open_for_shards(
                where,
                embeddings,
                retention=retention,
                accept_drift=accept_drift,
                dims=dims,
                bulk=bulk,
                bulk_path=bulk_path,
            ).close()
        with _open(
            where,
            model=model,
            keep=keep,
            retention=retention,
            flip=flip,
            precision=precision,
            accept_drift=accept_drift,
            dims=dims,
            device=device,
        ) as gallery:
            result = job(gallery)
            total = gallery.store.count()
    if as_json and live:
        _print_json_line({**result.to_dict(), "sightings": total})
    elif as_json:
        print_json({**result.to_dict(), "sightings": total})
    else:
        console = Console(highlight=False, soft_wrap=True)
        console.print(cell(f"{where}: {result.new:,} new, {result.known:,} known; {plural(total, 'sighting')} in all"))
        _print_counts(console, result)
        unreadable = [describe_failure(source, reason) for source, reason in result.unreadable]
        conflicts = [
            f"{item.source}: labeled {item.stored or 'nothing'}, given {item.given}" for item in result.conflicts
        ]
        _print_first(console, "not enrolled", unreadable, hint="--json lists them")
        _print_first(console, "label not changed", conflicts, hint="--json lists them")
        if conflicts:
            console.print(cell(f"`passerby gallery label {where} NAME --image FILE` changes a label"))
    if result.unreadable:
        raise typer.Exit(1)


def _require_no_settings(settings: Mapping[str, object]) -> None:
    """Refuse settings of a new gallery that shards have themselves."""
    if given := [name for name, value in settings.items() if value is not None]:
        raise GalleryError(
            f"enroll: {', '.join(given)} cannot be used with --embeddings: the shards have the model and the settings "
            "of their vectors, and no crops"
        )


def _print_counts(console: Console, result: EnrollResult) -> None:
    """Print the frames and boxes of a video: all of them, and those that made no sighting."""
    counts = getattr(result, "counts", None)
    if counts is None:
        return
    if counts.damaged:
        console.print(
            f"[yellow]damaged[/] {plural(counts.damaged, 'frame')} could not be decoded; all others were used"
        )
    console.print(
        f"{plural(counts.frames, 'frame')}, {plural(counts.boxes, 'box')}: {counts.left_out:,} below the least score, "
        f"{counts.flat:,} without an area, {counts.untracked:,} in no track; {plural(counts.short, 'track')} had too "
        "few boxes"
    )
    if counts.dropped or counts.losses:
        console.print(
            f"{plural(counts.dropped, 'frame')} of streams dropped, {plural(counts.losses, 'connection')} lost"
        )


def _print_json_line(value: Any) -> None:
    """Print one line of JSON, at once."""
    print(json.dumps(value if isinstance(value, dict) else value.to_dict()), flush=True)


def _print_sighting(sighting: LiveSighting) -> None:
    """Print one line for a sighting of a live camera."""
    how = "new" if sighting.first else "again"
    if sighting.probability is not None:
        how = f"probability {sighting.probability:.2f}"
    elif sighting.distance is not None:
        how = f"again, distance {sighting.distance:.3f}"
    seconds = f"{sighting.end - sighting.start:.1f} s, {plural(sighting.boxes, 'box')}"
    line = f"{format_time(sighting.start)} {sighting.camera}: {sighting.identity} ({how}; {seconds})"
    Console(highlight=False, soft_wrap=True).print(cell(line))


def _take_one(option: str, values: list[str] | None) -> str | None:
    """Return the value of an option that only live sources may repeat."""
    if values and len(values) > 1:
        raise GalleryError(f"enroll: {option} is given {plural(len(values), 'time')}; only --live takes several")
    return values[0] if values else None


def _print_first(console: Console, what: str, lines: Sequence[str], *, hint: str) -> None:
    """Print the first three lines, and how many more there are."""
    more = [f"and {len(lines) - 3:,} more; {hint}"] if len(lines) > 3 else []
    for line in (*lines[:3], *more):
        console.print(Text.assemble((what, "yellow"), " ", cell(line)))


def _open(where: str, *, model: str | None, **settings: Any) -> Gallery:
    """Open a gallery; make one with the default model if it is missing and no model is given."""
    from passerby.gallery.gallery import Gallery
    from passerby.types import DEFAULT

    try:
        return Gallery(where, model=model, **settings)
    except NoGalleryError:
        return Gallery(where, model=DEFAULT, **settings)
