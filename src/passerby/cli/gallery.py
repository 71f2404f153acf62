"""`passerby gallery`: contents, labels, erasure and transfer of a gallery; options that its commands share."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from passerby.cli.common import Json, cell, print_json
from passerby.errors import GalleryError
from passerby.text import escape_controls

if TYPE_CHECKING:
    from passerby.gallery.filters import Filter
    from passerby.gallery.stores.protocol import GalleryStore

app = typer.Typer(name="gallery", help="Inspect, label, erase, export and import a gallery.", no_args_is_help=True)


def _refuse_memory(where: str) -> str:
    """Refuse the address of a gallery that would not outlive the command."""
    if where == "memory":
        raise GalleryError("memory: such a gallery is lost at the end of a command; name a folder, such as ./memory")
    return where


Where = Annotated[
    str,
    typer.Argument(metavar="GALLERY", help="A folder, or milvus://host:port/name.", callback=_refuse_memory),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Cameras = Annotated[list[str] | None, typer.Option("--camera", help="Only this camera. Repeatable.")]
NotCameras = Annotated[list[str] | None, typer.Option("--not-camera", help="Not this camera. Repeatable.")]
Since = Annotated[str | None, typer.Option(help="Seen at this time or later: ISO 8601 (UTC) or seconds since 1970.")]
Until = Annotated[str | None, typer.Option(help="Seen before this time.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="Only this label. Repeatable.")]
Ids = Annotated[list[str] | None, typer.Option("--id", help="Only this sighting. Repeatable.")]
Images = Annotated[list[Path] | None, typer.Option("--image", help="Only sightings from this file. Repeatable.")]

_MAX_CAMERAS = 30  # in a message


@app.callback()
def gallery() -> None:
    """Inspect, label, erase, export and import a gallery."""


def make_filter(
    *,
    cameras: list[str] | None = None,
    not_cameras: list[str] | None = None,
    since: str | None = None,
    until: str | None = None,
    labels: list[str] | None = None,
    ids: list[str] | None = None,
    images: list[Path] | None = None,
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
        sources=_resolve(images),
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


def require_names(store: GalleryStore, selected: Filter) -> None:
    """Check that the cameras and labels of a filter exist, so that a typing error is not an empty result.

    Raises:
        GalleryError: If no sighting has one of them; the message lists the gallery's cameras.
    """
    from passerby.gallery.filters import Filter

    require_cameras(store, selected)
    for label in selected.labels or ():
        if not store.count(Filter(labels=[label])):
            raise GalleryError(f"label {label!r}: no sighting has it")


def require_cameras(store: GalleryStore, selected: Filter) -> None:
    """Check that the cameras of a filter exist; see `require_names`."""
    from passerby.gallery.filters import Filter

    for camera in (*(selected.cameras or ()), *selected.not_cameras):
        if not store.count(Filter(cameras=[camera])):
            names = [*store.stats().cameras]
            known = ", ".join(names[:_MAX_CAMERAS]) + (
                f" and {len(names) - _MAX_CAMERAS:,} more" * (len(names) > _MAX_CAMERAS)
            )
            raise GalleryError(f"camera {camera!r}: no sighting has it; cameras of the gallery: {known or 'none'}")


def format_time(seconds: float | None) -> str:
    """Format a time as ISO 8601 to the second in UTC; empty if unknown, a number outside the years 1 to 9999."""
    if seconds is None:
        return ""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # stored by an earlier version
        return f"{seconds:g} s"


def open_existing(where: str, *, confirm_erase: bool = False) -> GalleryStore:
    """Open an existing gallery without loading its model."""
    from passerby.gallery.stores.opening import open_gallery

    return open_gallery(where, confirm_erase=confirm_erase)


@app.command("stats")
def stats_command(where: Where, as_json: Json = False) -> None:
    """Print the numbers of sightings, labels and cameras, the model and the settings."""
    stats = open_existing(where).stats()
    if as_json:
        print_json(stats.to_dict())
        return
    card = stats.card
    seen = f"{format_time(stats.first)} to {format_time(stats.last)}" if stats.first is not None else "unknown"
    table = Table(show_header=False, title=cell(stats.address), title_justify="left")
    for name, value in (
        ("sightings", f"{stats.sightings:,}"),
        ("labels", f"{stats.labels:,}"),
        *((f"camera {camera}", f"{count:,}") for camera, count in stats.cameras.items()),
        ("seen", seen),
        ("keep", card.keep),
        ("retention", "unlimited" if card.retention is None else f"{card.retention:g} days"),
        ("model", str(card.model)),
        ("store", f"{stats.store}, search {stats.index}"),
        ("on disk", "on the server" if stats.bytes is None else f"{stats.bytes / 1e6:.1f} MB"),
    ):
        table.add_row(cell(name), cell(value))
    Console(highlight=False).print(table)


@app.command("audit")
def audit_command(where: Where, as_json: Json = False) -> None:
    """Print the audit log: time, user, action and counts, oldest first."""
    entries = open_existing(where).audit()
    if as_json:
        print_json([entry.to_dict() for entry in entries])
        return
    for entry in entries:
        counts = ", ".join(f"{count:,} {name}" for name, count in entry.counts.items())
        line = f"{format_time(entry.time)}  {entry.user:12}  {entry.action:8}  {counts}".rstrip()
        typer.echo(escape_controls(line))


@app.command("label")
def label_command(
    where: Where,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="New label; left out, removes it.")] = None,
    labels: Labels = None,
    ids: Ids = None,
    images: Images = None,
    yes: Yes = False,
) -> None:
    """Set or remove the label of sightings. `cluster --json` and `search --json` print their ids."""
    store = open_existing(where)
    selected = make_filter(labels=labels, ids=ids, images=images)
    if _confirm(store, selected, "unlabel" if name is None else f"label as {name!r}", yes=yes):
        count = store.relabel(selected, name)
        typer.echo(f"{count:,} sightings {'unlabeled' if name is None else 'labeled'}")


@app.command("remove")
def remove_command(
    where: Where,
    labels: Labels = None,
    ids: Ids = None,
    images: Images = None,
    cameras: Cameras = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
) -> None:
    """Remove sightings from searches. Their bytes stay in the files until they are overwritten; see forget."""
    store = open_existing(where)
    selected = make_filter(cameras=cameras, since=since, until=until, labels=labels, ids=ids, images=images)
    if _confirm(store, selected, "remove", yes=yes):
        typer.echo(f"{store.remove(selected):,} sightings removed")


@app.command("forget")
def forget_command(
    where: Where,
    label: Annotated[str | None, typer.Option(help="Label of the sightings.")] = None,
    ids: Ids = None,
    images: Images = None,
    yes: Yes = False,
) -> None:
    """Erase a label, sightings or files: rows, vectors and crops, in the gallery's files too."""
    from passerby.gallery.forget import forget

    store = open_existing(where)
    selected = make_filter(labels=[label] if label is not None else None, ids=ids, images=images)
    if _confirm(store, selected, "erase", yes=yes):
        typer.echo(f"{forget(store, label=label, ids=ids or None, sources=_resolve(images)):,} sightings erased")


@app.command("expire")
def expire_command(
    where: Where,
    days: Annotated[float | None, typer.Option(help="Days since enrollment; default: the gallery's retention.")] = None,
    confirm_erase: Annotated[
        bool, typer.Option("--confirm-erase", help="Erase even most of the gallery by its retention.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Erase sightings by age. A gallery with a retention does so whenever it is opened, unless it is most of them."""
    from passerby.gallery.filters import Filter
    from passerby.gallery.forget import DAY, expire

    store = open_existing(where, confirm_erase=confirm_erase)
    limit = store.card.retention if days is None else days
    if limit is None:
        raise GalleryError(f"{where}: the gallery has no retention; give --days")
    if days is None or _confirm(store, Filter(enrolled_before=time.time() - limit * DAY), "erase", yes=yes):
        typer.echo(f"{expire(store, days=limit):,} sightings erased")


@app.command("export")
def export_command(
    where: Where,
    out: Annotated[Path, typer.Option(help="Parquet file to write; it contains vectors and crops of people.")],
    cameras: Cameras = None,
    since: Since = None,
    until: Until = None,
    labels: Labels = None,
) -> None:
    """Write sightings to a Parquet file, with vectors and stored crops."""
    from passerby.gallery.parquet import export_gallery

    selected = make_filter(cameras=cameras, since=since, until=until, labels=labels)
    store = open_existing(where)
    require_names(store, selected)
    count = export_gallery(store, out, where=selected, progress=True)
    typer.echo(f"{out}: {count:,} sightings")


@app.command("import")
def import_command(
    where: Where, path: Annotated[Path, typer.Argument(metavar="FILE", help="File that `gallery export` wrote.")]
) -> None:
    """Add the sightings of an exported file. A missing gallery is made with the file's model and settings."""
    from passerby.gallery.parquet import import_gallery

    result = import_gallery(where, path, progress=True)
    typer.echo(f"{where}: {result.new:,} new, {result.known:,} known")


@app.command("upgrade")
def upgrade_command(
    path: Annotated[Path, typer.Argument(metavar="GALLERY", help="Folder of a gallery, or an exported file.")],
    model: Annotated[
        str | None, typer.Option(help="Folder of the gallery's model if it was moved, or default.")
    ] = None,
) -> None:
    """Convert a gallery or an exported file of an earlier version."""
    from passerby.gallery.upgrade import upgrade_gallery

    typer.echo(f"{path}: {'converted' if upgrade_gallery(path, model=model) else 'up to date'}")


def _resolve(images: list[Path] | None) -> list[str] | None:
    from passerby.gallery.sightings import to_source

    return [to_source(image) for image in images] if images else None


def _confirm(store: GalleryStore, selected: Filter, action: str, *, yes: bool) -> bool:
    """Return whether there are sightings and the user confirms."""
    if selected.selects_all:
        raise GalleryError(f"{action}: no condition; give --label, --id or --image, so that not all are selected")
    require_cameras(store, selected)
    count = store.count(selected)
    if not count:
        typer.echo("no such sighting")
        return False
    return yes or typer.confirm(f"{action} {count:,} of {store.count():,} sightings?", err=True)
