"""`passerby gallery`: what is in a gallery, and taking it out; and the options that all verbs on galleries share."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from passerby.cli.common import Json, print_json
from passerby.errors import GalleryError, NoGalleryError

if TYPE_CHECKING:
    from passerby.gallery.sightings import Filter
    from passerby.gallery.stores.protocol import GalleryStore

app = typer.Typer(name="gallery", help="Look into a gallery, take out of it, move it.", no_args_is_help=True)

Where = Annotated[str, typer.Argument(metavar="GALLERY", help="A folder, or milvus://host:port/name.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Cameras = Annotated[list[str] | None, typer.Option("--camera", help="Only this camera; may be repeated.")]
NotCameras = Annotated[list[str] | None, typer.Option("--not-camera", help="Not this camera; may be repeated.")]
Since = Annotated[str | None, typer.Option(help="Seen at this time or later: ISO 8601 (UTC) or seconds since 1970.")]
Until = Annotated[str | None, typer.Option(help="Seen before this time.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="Only this label; may be repeated.")]
Ids = Annotated[list[str] | None, typer.Option("--id", help="Only this sighting; may be repeated.")]
Images = Annotated[list[Path] | None, typer.Option("--image", help="Only what came from this file; may be repeated.")]


@app.callback()
def gallery() -> None:
    """Look into a gallery, take out of it, move it."""


def filter_of(
    *,
    cameras: list[str] | None = None,
    not_cameras: list[str] | None = None,
    since: str | None = None,
    until: str | None = None,
    labels: list[str] | None = None,
    ids: list[str] | None = None,
    images: list[Path] | None = None,
) -> Filter:
    """The options as a filter."""
    from passerby.gallery.sightings import Filter

    return Filter(
        cameras=cameras or None,
        not_cameras=not_cameras or (),
        since=moment(since, "--since"),
        until=moment(until, "--until"),
        labels=labels or None,
        ids=ids or None,
        sources=[str(each.resolve()) for each in images] if images else None,
    )


def moment(text: str | None, option: str) -> float | None:
    """Seconds since 1970 from what a user wrote."""
    from passerby.data.records import seconds

    try:
        return None if text is None else seconds(text)
    except ValueError as error:
        raise GalleryError(f"{option}: {error}") from None


def written_time(when: float | None) -> str:
    """ISO 8601 to the second in UTC; empty when nobody knows."""
    return "" if when is None else datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M:%S")


def opened(where: str) -> GalleryStore:
    """A gallery that is there; no model is loaded."""
    from passerby.gallery.stores.opening import open_gallery

    return open_gallery(where)


@app.command("stats")
def stats_command(where: Where, as_json: Json = False) -> None:
    """Count sightings, labels and cameras; say whose vectors these are and what is kept."""
    store = opened(where)
    found = store.describe()
    if as_json:
        print_json(asdict(found))
        return
    card = found.card
    table = Table(show_header=False, title=escape(found.address), title_justify="left")
    for name, value in (
        ("sightings", f"{found.sightings:,}"),
        ("labels", f"{found.labels:,}"),
        *((f"camera {name}", f"{count:,}") for name, count in found.cameras.items()),
        (
            "seen",
            f"{written_time(found.first)} to {written_time(found.last)}" if found.first is not None else "unknown",
        ),
        ("kept", card.pictures),
        ("retention", "for ever" if card.retention is None else f"{card.retention:g} days"),
        ("model", str(card.model)),
        ("store", f"{found.backend}, {found.index}"),
        ("on disk", "on the server" if found.bytes is None else f"{found.bytes / 1e6:.1f} MB"),
    ):
        table.add_row(name, escape(value))
    Console(highlight=False).print(table)


@app.command("audit")
def audit_command(where: Where, as_json: Json = False) -> None:
    """Who did what here, when, to how many; oldest first."""
    entries = opened(where).audit()
    if as_json:
        print_json([asdict(each) for each in entries])
        return
    for each in entries:
        counts = ", ".join(f"{count:,} {name}" for name, count in each.counts.items())
        typer.echo(f"{written_time(each.time)}  {each.who:12}  {each.what:8}  {counts}".rstrip())


@app.command("label")
def label_command(
    where: Where,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Who it is; left out, nobody knows.")] = None,
    labels: Labels = None,
    ids: Ids = None,
    images: Images = None,
    yes: Yes = False,
) -> None:
    """Say who is on sightings that are here already; cluster --json and search --json tell their ids."""
    store = opened(where)
    chosen = filter_of(labels=labels, ids=ids, images=images)
    if _agreed(store, chosen, "unlabel" if name is None else f"label as {name!r}", yes=yes):
        typer.echo(f"{store.relabel(chosen, name):,} sightings labeled" + ("" if name else " as nobody's"))


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
    """Take sightings out; their bytes stay in the files until something else is written there (see forget)."""
    store = opened(where)
    chosen = filter_of(cameras=cameras, since=since, until=until, labels=labels, ids=ids, images=images)
    if _agreed(store, chosen, "remove", yes=yes):
        typer.echo(f"{store.remove(chosen):,} sightings removed")


@app.command("forget")
def forget_command(
    where: Where,
    label: Annotated[str | None, typer.Option(help="Who.")] = None,
    ids: Ids = None,
    images: Images = None,
    yes: Yes = False,
) -> None:
    """Erase one person, or single images: rows, vectors and pictures, out of the files too."""
    from passerby.gallery.forget import forget

    store = opened(where)
    sources = [str(each.resolve()) for each in images] if images else None
    chosen = filter_of(labels=[label] if label is not None else None, ids=ids, images=images)
    if _agreed(store, chosen, "erase for good", yes=yes):
        typer.echo(f"{forget(store, label=label, ids=ids or None, sources=sources):,} sightings forgotten")


@app.command("expire")
def expire_command(
    where: Where,
    days: Annotated[float | None, typer.Option(help="Days since enrollment; default: the gallery's retention.")] = None,
    yes: Yes = False,
) -> None:
    """Erase what was enrolled long ago. A gallery with a retention does so whenever it is opened."""
    from passerby.gallery.forget import DAY, expire
    from passerby.gallery.sightings import Filter

    store = opened(where)
    kept = store.card.retention if days is None else days
    if kept is None:
        raise GalleryError(f"{where}: keeps everything; give --days")
    if days is None or _agreed(store, Filter(enrolled_before=time.time() - kept * DAY), "erase for good", yes=yes):
        typer.echo(f"{expire(store, days=kept):,} sightings erased")


@app.command("export")
def export_command(
    where: Where,
    out: Annotated[Path, typer.Option(help="Parquet file to write; it holds vectors and pictures of people.")],
    cameras: Cameras = None,
    since: Since = None,
    until: Until = None,
    labels: Labels = None,
) -> None:
    """Write sightings into a Parquet file, with vectors and what is kept of pictures."""
    from passerby.gallery.parquet import export_gallery

    chosen = filter_of(cameras=cameras, since=since, until=until, labels=labels)
    count = export_gallery(opened(where), out, where=chosen, progress=True)
    typer.echo(f"{out}: {count:,} sightings")


@app.command("import")
def import_command(
    where: Where, path: Annotated[Path, typer.Argument(metavar="FILE", help="What `gallery export` wrote.")]
) -> None:
    """Take in an exported file; a gallery that is not there is made with the file's model and settings."""
    from passerby.gallery.parquet import import_gallery, read_card
    from passerby.gallery.stores.opening import open_gallery

    card = read_card(path)
    try:
        store = open_gallery(where)
    except NoGalleryError:
        store = open_gallery(where, model=card.model, pictures=card.pictures, retention=card.retention)
    new, known = import_gallery(store, path, progress=True)
    typer.echo(f"{where}: {new:,} sightings taken in, {known:,} were there")


def _agreed(store: GalleryStore, chosen: Filter, what: str, *, yes: bool) -> bool:
    """Whether to go on: there is something, and the user says so."""
    if chosen.everything:
        raise GalleryError(f"{what}: nothing named; give --label, --id or --image, so that not all are taken")
    count = store.count(chosen)
    if not count:
        typer.echo("no such sighting")
        return False
    return yes or typer.confirm(f"{what} {count:,} of {store.count():,} sightings?", err=True)
