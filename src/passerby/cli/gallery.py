"""`passerby gallery`: contents, labels, erasure and transfer of a gallery."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from passerby.cli.common import App, Device, Json, cell, print_json
from passerby.cli.gallery_options import (
    Cameras,
    Folder,
    Ids,
    Labels,
    Since,
    Sources,
    Until,
    Where,
    Yes,
    make_filter,
    open_existing,
    resolve_sources,
)
from passerby.errors import GalleryError, argument
from passerby.text import escape_controls, format_time, plural

if TYPE_CHECKING:
    from passerby.gallery.filters import Filter
    from passerby.gallery.stores.protocol import GalleryStore

app = App(name="gallery", help="Inspect, label, erase, export and import a gallery.", no_args_is_help=True)


@app.callback()
def gallery() -> None:
    """Inspect, label, erase, export and import a gallery."""


_ONE = {"queries": "query", "identities": "identity"}
"""Singular of the counted things in the audit log that do not end in s alone."""


@app.command("stats")
def stats_command(where: Where, as_json: Json = False) -> None:
    """Print the numbers of sightings, labels and cameras, the model and the settings."""
    from passerby.gallery.card import describe_flip

    stats = open_existing(where).stats()
    if as_json:
        print_json(stats.to_dict())
        return
    card = stats.card
    seen = f"{format_time(stats.first)} to {format_time(stats.last)}" if stats.first is not None else "not given"
    table = Table(show_header=False, title=cell(stats.address), title_justify="left")
    for name, value in (
        ("sightings", f"{stats.sightings:,}"),
        ("labels", f"{stats.labels:,}"),
        *((f"camera {camera}", f"{count:,}") for camera, count in stats.cameras.items()),
        ("time", seen),
        ("keep", card.keep),
        ("retention", "unlimited" if card.retention is None else plural(card.retention, "day")),
        ("model", str(card.model)),
        ("vectors", f"{card.precision}, {describe_flip(card.flip)}"),
        *(("accepted", str(item)) for item in card.accepted),
        ("store", f"{stats.store}, search: {stats.index}"),
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
        counts = ", ".join(
            f"{count:,} {_ONE.get(name, name.removesuffix('s')) if count == 1 else name}"
            for name, count in entry.counts.items()
        )
        line = f"{format_time(entry.time)}  {entry.user:12}  {entry.action:8}  {counts}".rstrip()
        typer.echo(escape_controls(line))


@app.command("label")
def label_command(
    where: Where,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="New label; without it, the label is removed.")
    ] = None,
    labels: Labels = None,
    ids: Ids = None,
    sources: Sources = None,
    yes: Yes = False,
) -> None:
    """Set or remove the label of sightings. `cluster --json` and `search --json` print their ids."""
    store = open_existing(where)
    selected = make_filter(labels=labels, ids=ids, sources=sources)
    if _confirm(store, selected, "unlabel" if name is None else f"label as {name!r}", yes=yes):
        count = store.relabel(selected, name)
        typer.echo(f"{plural(count, 'sighting')} {'unlabeled' if name is None else 'labeled'}")


@app.command("remove")
def remove_command(
    where: Where,
    labels: Labels = None,
    ids: Ids = None,
    sources: Sources = None,
    cameras: Cameras = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
) -> None:
    """Remove sightings from searches. Use forget to erase them from the files, too."""
    store = open_existing(where)
    selected = make_filter(cameras=cameras, since=since, until=until, labels=labels, ids=ids, sources=sources)
    if _confirm(store, selected, "remove", yes=yes):
        typer.echo(f"{plural(store.remove(selected), 'sighting')} removed")


@app.command("forget")
def forget_command(
    where: Where,
    label: Annotated[str | None, typer.Option(help="Label of the sightings.")] = None,
    ids: Ids = None,
    sources: Sources = None,
    rewrite_shards: Annotated[
        bool, typer.Option("--rewrite-shards", help="Write shards of `passerby embed` again without the vectors.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Erase a label, sightings or files: rows, vectors and crops, in the gallery's files too."""
    from passerby.gallery.forget import finish_erasure, forget

    store = open_existing(where)
    finish_erasure(store)  # of one that was interrupted, which nothing matches any more
    conditions = {"label": label, "ids": ids, "sources": sources}
    if sum(bool(condition) for condition in conditions.values()) > 1:
        raise GalleryError(f"forget: give one of {', '.join(map(argument, conditions))}, and repeat the command")
    selected = make_filter(labels=[label] if label is not None else None, ids=ids, sources=sources)
    if _confirm(store, selected, "erase", yes=yes):
        files = resolve_sources(sources)
        count = forget(store, label=label, ids=ids or None, sources=files, rewrite_shards=rewrite_shards)
        typer.echo(f"{plural(count, 'sighting')} erased")


@app.command("expire")
def expire_command(
    where: Where,
    days: Annotated[float | None, typer.Option(help="Days since enrollment; default: the gallery's retention.")] = None,
    confirm_erase: Annotated[
        bool, typer.Option("--confirm-erase", help="Erase even most of the gallery by its retention.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Erase sightings by age. Opening a gallery with a retention does so, up to 80 % of its sightings."""
    from passerby.gallery.filters import Filter
    from passerby.gallery.forget import DAY, count_erasable, expire, expire_by_retention

    store = open_existing(where, expire=False)
    limit = store.card.retention if days is None else days
    if limit is None:
        raise GalleryError(f"{where}: the gallery has no retention; give --days")
    old = Filter(enrolled_before=time.time() - limit * DAY)
    if days is None:
        erased = expire_by_retention(store, confirm_erase=confirm_erase)
        typer.echo(f"{plural(erased, 'sighting')} erased")
    elif not count_erasable(store, old) or _confirm(store, old, "erase", yes=yes):
        typer.echo(f"{plural(expire(store, days=limit), 'sighting')} erased")


@app.command("retention")
def retention_command(
    where: Folder,
    days: Annotated[
        float | None, typer.Option(help="Days that a sighting is kept after its enrollment; default: no limit.")
    ] = None,
    confirm_erase: Annotated[
        bool, typer.Option("--confirm-erase", help="Erase the sightings that are past the new retention.")
    ] = False,
) -> None:
    """Change the retention of a gallery. Without --days it has none."""
    from passerby.gallery.retention import set_retention

    erased = set_retention(open_existing(where), days, confirm_erase=confirm_erase)
    kept = "sightings are kept" if days is None else f"sightings are kept {days:g} days"
    typer.echo(f"{kept}; {erased:,} erased now")


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
    from passerby.gallery.known_names import require_names
    from passerby.gallery.parquet import export_gallery

    selected = make_filter(cameras=cameras, since=since, until=until, labels=labels)
    store = open_existing(where)
    require_names(store, selected)
    count = export_gallery(store, out, where=selected, progress=True)
    typer.echo(f"{out}: {plural(count, 'sighting')}")


@app.command("import")
def import_command(
    where: Where, path: Annotated[Path, typer.Argument(metavar="FILE", help="File that `gallery export` wrote.")]
) -> None:
    """Add the sightings of an exported file. A missing gallery is made with the file's model and settings."""
    from passerby.gallery.parquet import import_gallery

    result = import_gallery(where, path, progress=True)
    typer.echo(f"{where}: {result.new:,} new, {result.known:,} known")


@app.command("backup")
def backup_command(
    where: Folder,
    out: Annotated[Path, typer.Option(help="New folder to write; it contains vectors and crops of people.")],
) -> None:
    """Copy a gallery to a new folder; other processes may use it meanwhile."""
    from passerby.gallery.backup import backup_gallery

    typer.echo(f"{out}: {plural(backup_gallery(where, out), 'sighting')}")


@app.command("restore")
def restore_command(
    backup: Annotated[Path, typer.Argument(metavar="BACKUP", help="Folder that `gallery backup` wrote.")],
    where: Annotated[Path, typer.Argument(metavar="GALLERY", help="New folder of the gallery.")],
) -> None:
    """Copy a backup to a new gallery folder."""
    from passerby.gallery.backup import restore_gallery

    typer.echo(f"{where}: {plural(restore_gallery(backup, where), 'sighting')}")


@app.command("reembed")
def reembed_command(
    where: Folder,
    model: Annotated[str, typer.Option(help="Folder of the new model, or default.")],
    dims: Annotated[
        int | None, typer.Option(min=1, help="Width of the new vectors; default: as before, or the model's own.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Compute all vectors again by another model, from the stored crops; ids, labels and answers stay."""
    from passerby.gallery.reembed import reembed_gallery

    result = reembed_gallery(where, model=model, dims=dims, device=device, progress=True)
    if as_json:
        print_json(result.to_dict())
        return
    if not result.sightings:
        typer.echo(f"{where}: has vectors of this model already")
        return
    typer.echo(f"{where}: {plural(result.sightings, 'vector')} of {model}")
    if result.tracks:
        typer.echo(
            f"{plural(result.tracks, 'vector')} of tracks of videos: each is now that of the track's best crop alone"
        )
    if result.keep == "thumbnails":
        typer.echo("The crops are thumbnails of at most 64 x 128 pixels; vectors of the original images differ")


@app.command("upgrade")
def upgrade_command(
    path: Annotated[str, typer.Argument(metavar="GALLERY", help="Folder of a gallery, or an exported file.")],
    model: Annotated[
        str | None, typer.Option(help="Folder of the gallery's model, if it was moved; or default.")
    ] = None,
) -> None:
    """Convert a gallery or an exported file of an earlier version."""
    from passerby.gallery.upgrade import upgrade_gallery

    typer.echo(f"{path}: {'converted' if upgrade_gallery(path, model=model) else 'up to date'}")


def _confirm(store: GalleryStore, selected: Filter, action: str, *, yes: bool) -> bool:
    """Return whether the user confirms.

    Raises:
        GalleryError: If no sighting matches, so that a typing error is not taken for an erasure.
    """
    from passerby.gallery.forget import count_erasable
    from passerby.gallery.known_names import require_cameras

    if selected.selects_all:
        raise GalleryError(f"{action}: no condition; give --label, --id or --image, so that not all are selected")
    require_cameras(store, selected)
    count = count_erasable(store, selected) if action == "erase" else store.count(selected)
    if not count:
        raise GalleryError(f"nothing matched {_describe(selected)}; no sighting was changed")
    return yes or typer.confirm(f"{action} {count:,} of {plural(store.count(), 'sighting')}?", err=True)


def _describe(selected: Filter) -> str:
    """Write the conditions of a filter as options."""
    given = {
        "--label": selected.labels,
        "--id": selected.ids,
        "--image": selected.sources,
        "--camera": selected.cameras,
    }
    parts = [f"{name} {value}" for name, values in given.items() for value in values or ()]
    if selected.since is not None or selected.until is not None:
        parts.append("the time")
    return ", ".join(parts[:4]) + (f" and {len(parts) - 4:,} more" if len(parts) > 4 else "")
