"""Options of the commands that read or change a gallery, and their conversion to a filter, times and a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from passerby.errors import GalleryError

if TYPE_CHECKING:
    from passerby.gallery.filters import Filter
    from passerby.gallery.stores.protocol import GalleryStore


def _refuse_memory(where: str) -> str:
    """Refuse the address of a gallery that would not outlive the command."""
    if where == "memory":
        raise GalleryError("memory: such a gallery is lost at the end of a command; name a folder, such as ./memory")
    return where


Where = Annotated[
    str,
    typer.Argument(metavar="GALLERY", help="A folder, or milvus://host:port/name.", callback=_refuse_memory),
]
Folder = Annotated[str, typer.Argument(metavar="GALLERY", help="Folder of a gallery.", callback=_refuse_memory)]
"""Of commands that a gallery on a server refuses."""
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Cameras = Annotated[list[str] | None, typer.Option("--camera", help="Only this camera. Repeatable.")]
NotCameras = Annotated[list[str] | None, typer.Option("--not-camera", help="Not this camera. Repeatable.")]
Since = Annotated[str | None, typer.Option(help="Seen at this time or later: ISO 8601 (UTC) or seconds since 1970.")]
Until = Annotated[str | None, typer.Option(help="Seen before this time.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="Only this label. Repeatable.")]
Ids = Annotated[list[str] | None, typer.Option("--id", help="Only this sighting. Repeatable.")]
Sources = Annotated[list[Path] | None, typer.Option("--image", help="Only sightings from this file. Repeatable.")]


def make_filter(
    *,
    cameras: list[str] | None = None,
    not_cameras: list[str] | None = None,
    since: str | None = None,
    until: str | None = None,
    labels: list[str] | None = None,
    ids: list[str] | None = None,
    sources: list[Path] | None = None,
) -> Filter:
    """Convert options to a filter."""
    from passerby.gallery.filters import Filter

    return Filter(
        cameras=cameras or None,
        not_cameras=not_cameras or (),
        since=parse_time(since, "--since"),
        until=parse_time(until, "--until"),
        labels=labels or None,
        ids=ids or None,
        sources=resolve_sources(sources),
    )


def parse_time(text: str | None, option: str) -> float | None:
    """Convert the text of an option to seconds since 1970 UTC."""
    from passerby.data.records import parse_timestamp
    from passerby.gallery.sightings import require_time

    try:
        seconds = None if text is None else parse_timestamp(text)
    except (ValueError, OverflowError) as error:
        raise GalleryError(f"{option}: {error}") from None
    require_time(option, "time", seconds)
    return seconds


def open_existing(where: str, *, expire: bool = True) -> GalleryStore:
    """Open an existing gallery without loading its model."""
    from passerby.gallery.stores.opening import open_gallery

    return open_gallery(where, expire=expire)


def resolve_sources(paths: list[Path] | None) -> list[str] | None:
    """Return the sources of files as sightings name them; None without files."""
    from passerby.gallery.sightings import to_source

    return [to_source(path) for path in paths] if paths else None
