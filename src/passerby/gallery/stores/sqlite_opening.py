"""Opening of the database of a gallery, which is made if it is missing and a card is given."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Protocol

from passerby.errors import GalleryError, explain
from passerby.gallery.card import GalleryCard
from passerby.gallery.carried_lists import take_lists
from passerby.gallery.stores.sqlite_card import read_stored_card, write_card
from passerby.gallery.stores.sqlite_database import COPY, FILE, Database, empty_database_error, no_gallery_error


class Log(Protocol):
    """Writes a line of the audit log inside a transaction."""

    def __call__(self, run: sqlite3.Connection, action: str, **counts: int) -> None:
        """Write the line."""


def open_database(
    folder: Path | None, card: GalleryCard | None, *, address: str, log: Log
) -> tuple[Database, GalleryCard]:
    """Open the database in a folder, or a new one in memory; return it with the gallery's card.

    Args:
        folder: Folder of the gallery; None is memory.
        card: Model and settings of a new gallery; None opens an existing one.
        address: Address of the gallery, for messages.
        log: Called when the gallery is made.

    Raises:
        NoGalleryError: If the gallery is missing or its file is empty, and no card is given.
        GalleryError: If it cannot be opened.
    """
    if card is None and (folder is None or not (folder / FILE).is_file()):
        raise no_gallery_error(address)
    if card is not None and folder is not None:
        _make_folder(folder)
    database = Database(folder)
    try:
        if not database.has_tables():
            if card is None:
                raise empty_database_error(address)
            _make_tables(database, card, log)
        with database.read() as run:
            stored = read_stored_card(run, address)
        if folder is not None:
            take_lists(database, folder)
            (folder / COPY).unlink(missing_ok=True)  # of a conversion that was killed after its completion
        return database, stored
    except BaseException:
        database.close()
        raise


def _make_folder(folder: Path) -> None:
    """Make the folder of a gallery.

    Raises:
        GalleryError: If it cannot be made, or holds other files and no gallery.
    """
    if folder.is_file():
        raise no_gallery_error(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        others = sorted(path.name for path in folder.iterdir() if not path.name.startswith(FILE))
        if others and not (folder / FILE).is_file():
            raise GalleryError(
                f"{folder}: holds other files, such as {', '.join(others[:3])}; a new gallery needs a new or empty "
                "folder"
            )
    except OSError as error:
        raise GalleryError(f"{folder}: cannot be made ({explain(error)}); name another folder") from None


def _make_tables(database: Database, card: GalleryCard, log: Log) -> None:
    """Make the tables and the card, unless another process was faster."""
    with database.write() as run:
        if not database.has_tables():
            database.make_tables()
            write_card(run, card)
            log(run, "create")
