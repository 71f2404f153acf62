"""`passerby enroll`: add people to a gallery."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from passerby.cli.common import Device, Json, cell, print_json
from passerby.cli.gallery import Where, parse_time
from passerby.errors import GalleryError, NoGalleryError

if TYPE_CHECKING:
    from passerby.gallery.gallery import Gallery
    from passerby.gallery.results import EnrollResult

    Job = Callable[[Gallery], EnrollResult]


def enroll(
    where: Where,
    images: Annotated[
        Path | None,
        typer.Option(help="An image, a folder, or a .csv or .parquet table: path, camera, time, label, ..."),
    ] = None,
    video: Annotated[str | None, typer.Option(help="A video; each track of a person becomes one sighting.")] = None,
    data: Annotated[str | None, typer.Option(help="A data set, such as synth:identities=40,cameras=4.")] = None,
    camera: Annotated[str | None, typer.Option(help="Camera of all images, or of the video.")] = None,
    time: Annotated[str | None, typer.Option(help="Time of all images: ISO 8601 (UTC) or seconds since 1970.")] = None,
    label: Annotated[str | None, typer.Option(help="Label of all images.")] = None,
    folders: Annotated[
        str | None, typer.Option(help="Meaning of the folders inside: camera, label, camera/label, label/camera.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of the data set: train, query or gallery (default).")] = None,
    boxes: Annotated[Path | None, typer.Option(help="Boxes of the video, MOT or CSV, in place of a detector.")] = None,
    detector: Annotated[
        Path | None,
        typer.Option(help="Detector, .onnx or .xml, with SSD or YOLOX outputs; default: OpenCV's HOG detector."),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(min=0, help="Least score of a box; default 0.5 with --detector, 0.3 with HOG, 0 with --boxes."),
    ] = None,
    tracks: Annotated[Path | None, typer.Option(help="MOT file to write with the tracks of the video.")] = None,
    draw: Annotated[Path | None, typer.Option(help="Video to write with the tracks drawn, .mp4 or .avi.")] = None,
    every: Annotated[int | None, typer.Option(min=1, help="Use every n-th frame of the video; default 1.")] = None,
    gap: Annotated[
        float | None,
        typer.Option(min=0, help="Longest gap in seconds over which tracks are joined by appearance; default 3."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder of a run, or default. An existing gallery has its own model.")
    ] = None,
    keep: Annotated[
        str | None, typer.Option(help="What a new gallery stores of crops: vectors, thumbnails (default), crops.")
    ] = None,
    retention: Annotated[float | None, typer.Option(help="Days that a new gallery keeps a sighting.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Add people to a gallery, which is made if it is missing. Images that are enrolled already are skipped.

    [bold]passerby enroll people --images crops/ --camera north[/]

    [bold]passerby enroll staff --images photos/ --camera badge --folders label[/]

    [bold]passerby enroll people --video door.avi --camera door --time 2026-11-01T08:00[/]
    """
    options: dict[str, object] = {"camera": camera, "time": time, "label": label, "folders": folders, "split": split}
    options |= {"boxes": boxes, "detector": detector, "min_score": min_score, "every": every, "gap": gap}
    options |= {"tracks": tracks, "draw": draw}
    job = _prepare({"images": images, "video": video, "data": data}, options)
    with _open(where, model=model, keep=keep, retention=retention, device=device) as gallery:
        result = job(gallery)
        total = gallery.store.count()
    if as_json:
        print_json({**result.to_dict(), "sightings": total})
    else:
        console = Console(highlight=False, soft_wrap=True)
        console.print(cell(f"{where}: {result.new:,} new, {result.known:,} known; {total:,} sightings in all"))
        _print_counts(console, result)
        unreadable = [f"{source}: {reason}" for source, reason in result.unreadable]
        conflicts = [
            f"{item.source}: labeled {item.stored or 'nothing'}, given {item.given}" for item in result.conflicts
        ]
        _print_first(console, "not enrolled", unreadable, hint="--json lists them")
        _print_first(console, "label not changed", conflicts, hint="--json lists them")
        if conflicts:
            console.print(cell(f"`passerby gallery label {where} NAME --image FILE` changes a label"))
    if result.unreadable:
        raise typer.Exit(1)


def _print_counts(console: Console, result: EnrollResult) -> None:
    """Print the frames and boxes of a video: all of them, and those that made no sighting."""
    counts = getattr(result, "counts", None)
    if counts is None:
        return
    if counts.damaged:
        console.print(f"[yellow]damaged[/] {counts.damaged:,} frames could not be decoded; all others were used")
    console.print(
        f"{counts.frames:,} frames, {counts.boxes:,} boxes: {counts.left_out:,} below the least score, "
        f"{counts.flat:,} without an area, {counts.untracked:,} in no track; "
        f"{counts.short:,} tracks had too few boxes"
    )


def _print_first(console: Console, what: str, lines: Sequence[str], *, hint: str) -> None:
    """Print the first three lines, and how many more there are."""
    more = [f"and {len(lines) - 3:,} more; {hint}"] if len(lines) > 3 else []
    for line in (*lines[:3], *more):
        console.print(Text.assemble((what, "yellow"), " ", cell(line)))


def _prepare(sources: Mapping[str, Any], options: Mapping[str, Any]) -> Job:
    """Check the options, read the list of images, and return what remains to be done with the open gallery."""
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        raise GalleryError("enroll: expected one of --images, --data and --video")
    (source,) = given
    prepare = _SOURCES[source]
    accepted = [*inspect.signature(prepare).parameters][1:]
    used = {name: value for name, value in options.items() if value is not None}
    wrong = [f"--{name}" for name in used if name not in accepted]
    if wrong:
        names = ", ".join(f"--{name}" for name in accepted)
        raise GalleryError(f"enroll: {', '.join(wrong)} cannot be used with --{source}, which takes {names}")
    return prepare(sources[source], **used)


def _prepare_images(
    images: Path, *, camera: str | None = None, time: str | None = None, label: str | None = None, folders: Any = None
) -> Job:
    from passerby.gallery.crops import list_crops

    crops = list_crops(images, camera=camera, time=parse_time(time, "--time"), label=label, folders=folders)
    return lambda gallery: gallery.enroll(crops, progress=True)


def _prepare_data(data: str, *, split: Any = "gallery") -> Job:
    from passerby.gallery.crops import list_data_crops

    crops = list_data_crops(data, split=split)
    return lambda gallery: gallery.enroll(crops, progress=True)


def _prepare_video(
    video: str,
    *,
    camera: str | None = None,
    time: str | None = None,
    boxes: Path | None = None,
    detector: Path | None = None,
    min_score: float | None = None,
    tracks: Path | None = None,
    draw: Path | None = None,
    every: int = 1,
    gap: float = 3.0,
) -> Job:
    from passerby.video.boxes import hog_detector, read_boxes
    from passerby.video.enroll_video import enroll_video
    from passerby.video.file_detector import file_detector
    from passerby.video.frames import read_video_info
    from passerby.video.outputs import check_drawing

    if camera is None:
        raise GalleryError("enroll: --video needs --camera")
    if boxes is not None and detector is not None:
        raise GalleryError("enroll: expected one of --boxes and --detector")
    for option, output in (("--tracks", tracks), ("--draw", draw)):
        if output is not None and output.resolve() in [path.resolve() for path in (boxes, detector) if path]:
            raise GalleryError(f"enroll: {option} {output} would overwrite an input; choose another name")
    if draw is not None:
        check_drawing(draw)
    read_video_info(video)  # a video that cannot be read makes no gallery
    options: dict[str, Any] = {"camera": camera, "started": parse_time(time, "--time"), "every": every, "gap": gap}
    options |= {"tracks": tracks, "draw": draw}
    score: dict[str, Any] = {} if min_score is None else {"min_score": min_score}
    people: Any
    if boxes is not None:
        people = read_boxes(boxes, **score)
    elif detector is not None:
        people = file_detector(detector, **score)
    else:
        people = hog_detector(**score)
    return lambda gallery: enroll_video(gallery, video, boxes=people, progress=True, **options)


_SOURCES: dict[str, Callable[..., Job]] = {
    "images": _prepare_images,
    "data": _prepare_data,
    "video": _prepare_video,
}


def _open(where: str, *, model: str | None, **settings: Any) -> Gallery:
    """Open a gallery; make one with the default model if it is missing and no model is given."""
    from passerby.gallery.gallery import Gallery
    from passerby.types import DEFAULT

    try:
        return Gallery(where, model=model, **settings)
    except NoGalleryError:
        return Gallery(where, model=DEFAULT, **settings)
