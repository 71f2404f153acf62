"""Sources of `passerby enroll`: the options that each takes, and what it does with the open gallery."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from time import time as clock
from typing import TYPE_CHECKING, Any

from passerby.cli.gallery_options import parse_time
from passerby.errors import GalleryError

if TYPE_CHECKING:
    from passerby.gallery.gallery import Gallery
    from passerby.gallery.results import EnrollResult
    from passerby.video.boxes import Detector
    from passerby.video.enroll_live import LiveSighting

    Job = Callable[[Gallery], EnrollResult]


def prepare_job(sources: Mapping[str, Any], options: Mapping[str, Any]) -> Job:
    """Check the options, read the list of images, and return what remains to be done with the open gallery."""
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        raise GalleryError(
            "enroll: expected one of --images, --data, --embeddings and --video; --live goes with --video"
        )
    (source,) = given
    prepare = _SOURCES[source]
    accepted = [*inspect.signature(prepare).parameters][1:]
    used = {name: value for name, value in options.items() if value is not None}
    wrong = [_to_option(name) for name in used if name not in accepted]
    if wrong:
        names = ", ".join(_to_option(name) for name in accepted if name != "on_sighting")
        raise GalleryError(f"enroll: {', '.join(wrong)} cannot be used with --{source}, which takes {names}")
    return prepare(sources[source], **used)


def _to_option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _prepare_images(
    images: Path, *, camera: str | None = None, time: str | None = None, label: str | None = None, folders: Any = None
) -> Job:
    from passerby.gallery.crops import list_crops, require_readable

    crops = list_crops(images, camera=camera, time=parse_time(time, "--time"), label=label, folders=folders)
    require_readable(crops)  # so that no empty gallery is made
    return lambda gallery: gallery.enroll(crops, progress=True)


def _prepare_data(data: str, *, split: Any = "gallery") -> Job:
    from passerby.gallery.crops import list_data_crops, require_readable

    crops = list_data_crops(data, split=split)
    require_readable(crops)
    return lambda gallery: gallery.enroll(crops, progress=True)


def _prepare_embeddings(embeddings: Path, *, bulk: str | None = None, bulk_path: str | None = None) -> Job:
    from passerby.gallery.enroll_shards import add_shards

    return lambda gallery: add_shards(gallery.store, embeddings, bulk=bulk, bulk_path=bulk_path, progress=True)


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
    from passerby.video.boxes import read_boxes
    from passerby.video.enroll_video import enroll_video
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
    if boxes is not None:
        people: Any = read_boxes(boxes, **({} if min_score is None else {"min_score": min_score}))
    else:
        people = load_detector(detector, min_score)
    return lambda gallery: enroll_video(gallery, video, boxes=people, progress=True, **options)


def _prepare_live(
    videos: list[str],
    *,
    on_sighting: Callable[[LiveSighting], object],
    camera: list[str] | None = None,
    time: str | None = None,
    detector: Path | None = None,
    min_score: float | None = None,
    every: int = 1,
    gap: float = 3.0,
) -> Job:
    from passerby.video.enroll_live import enroll_live
    from passerby.video.live_sources import parse_source

    cameras = camera or []
    if not videos:
        raise GalleryError("enroll: --live needs --video: rtsp://..., the index of a camera such as 0, or a folder")
    if len(cameras) != len(videos) or len({*cameras}) != len(cameras):
        raise GalleryError(
            f"enroll: {len(videos)} --video and {len({*cameras})} different --camera; expected a camera for each video"
        )
    sources = {name: parse_source(text) for name, text in zip(cameras, videos, strict=True)}
    since = clock() if time is None else parse_time(time, "--time")  # before a model is loaded, which takes a while
    people = load_detector(detector, min_score)
    return lambda gallery: enroll_live(
        gallery, sources, boxes=people, since=since, every=every, gap=gap, on_sighting=on_sighting
    )


def load_detector(path: Path | None, min_score: float | None = None) -> Detector:
    """Load a detector from a file; None is OpenCV's HOG detector."""
    from passerby.video.boxes import hog_detector
    from passerby.video.file_detector import file_detector

    score: dict[str, Any] = {} if min_score is None else {"min_score": min_score}
    return hog_detector(**score) if path is None else file_detector(path, **score)


_SOURCES: dict[str, Callable[..., Job]] = {
    "images": _prepare_images,
    "data": _prepare_data,
    "embeddings": _prepare_embeddings,
    "video": _prepare_video,
    "video --live": _prepare_live,
}
