"""Backup of a gallery in a folder while other processes use it, and restoring it into a new folder."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from passerby.errors import GalleryError, explain
from passerby.files import make_private, remove_drafts, sync_file
from passerby.gallery.carried_lists import put_lists, read_lists
from passerby.gallery.stores.sqlite_card import read_stored_card
from passerby.gallery.stores.sqlite_database import FILE, empty_database_error, no_gallery_error


def backup_gallery(where: str | Path, out: str | Path) -> int:
    """Copy a gallery to a new folder, as it is at one moment; searches and additions go on meanwhile.

    The copy is one file, `gallery.sqlite`, with the lists of shards and adapted runs in it, and a folder with it is a
    gallery. Tokens of a service are not copied. `forget` does not reach copies: erase them as well.

    Args:
        where: Folder of the gallery.
        out: Folder to write.

    Returns:
        Number of sightings in the copy.

    Raises:
        NoGalleryError: If there is no gallery.
        GalleryError: If the gallery is damaged, the folder exists and is not empty, or the copy cannot be written;
            nothing is left then.

    Example:
        >>> passerby.Gallery("ours", model="runs/m").close()
        >>> backup_gallery("ours", "copy")
        0
    """
    if "://" in str(where):
        raise GalleryError(f"{where}: a gallery on a server is backed up with the server's own tools, or exported")
    source, target = Path(where), Path(out)
    if not (source / FILE).is_file():
        raise no_gallery_error(source)
    remove_drafts(target / FILE)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise GalleryError(f"{target}: exists and is not an empty folder; name a new one")
    made = not target.exists()
    draft = target / f".{FILE}.{os.getpid()}.part"
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(draft)
        # Read before and after the copy: a sighting in it is in one of them, whatever is erased meanwhile.
        lists = read_lists(source)
        _copy_database(source / FILE, draft)
        count = check_copy(draft, source)
        put_lists(draft, [lists, read_lists(source)])
        sync_file(draft)
        os.replace(draft, target / FILE)
    except (OSError, sqlite3.Error) as error:
        raise GalleryError(
            f"{target}: the copy could not be written ({explain(error)}); nothing is left of it"
        ) from None
    finally:
        for path in (draft, *target.glob(f"{draft.name}-*")):
            path.unlink(missing_ok=True)
        if made and target.is_dir() and not any(target.iterdir()):
            target.rmdir()
    return count


def restore_gallery(backup: str | Path, where: str | Path) -> int:
    """Make a gallery of a backup, in a new folder; a service of another folder can run meanwhile.

    Args:
        backup: Folder that `backup_gallery` wrote.
        where: Folder of the new gallery.

    Returns:
        Number of its sightings.

    Raises:
        GalleryError: As `backup_gallery`, or if the backup is damaged.

    Example:
        >>> passerby.Gallery("ours", model="runs/m").close()
        >>> _ = backup_gallery("ours", "copy")
        >>> restore_gallery("copy", "again")
        0
    """
    path = Path(backup)
    if path.is_file():
        raise GalleryError(f"{backup}: a file; put it into a folder as {FILE} and name the folder")
    if (path / FILE).is_file():
        _check_database(path / FILE)
    return backup_gallery(path, where)


def check_copy(copy: Path, source: str | Path) -> int:
    """Check that a copy of a database is a gallery whose card can be read, and count its sightings.

    The copy is not opened as a gallery, which would erase by its retention.

    Args:
        copy: File of the copy.
        source: Gallery that was copied, for messages.

    Raises:
        NoGalleryError: If the database is empty.
        GalleryError: If it is damaged, of another program, or of an earlier version.
    """
    connection = sqlite3.connect(f"{to_uri(copy)}&immutable=1", uri=True)
    try:
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise empty_database_error(source)
        read_stored_card(connection, source)
        return int(connection.execute("SELECT count(*) FROM sightings").fetchone()[0])
    except sqlite3.Error as error:
        raise GalleryError(f"{source}: damaged, or not a gallery ({explain(error)}); restore a backup") from None
    finally:
        connection.close()


def to_uri(path: Path) -> str:
    """Return the URI by which SQLite opens a file for reading, with `#`, `?`, `%` and spaces of its name escaped.

    Example:
        >>> to_uri(Path("/a b/50%#1"))
        'file:///a%20b/50%25%231?mode=ro'
    """
    return f"{path.resolve().as_uri()}?mode=ro"


def _copy_database(source: Path, draft: Path) -> None:
    """Copy by SQLite's backup, which includes the write-ahead log and does not stop writers."""
    reader = sqlite3.connect(to_uri(source), uri=True, timeout=30)
    writer = sqlite3.connect(draft)
    try:
        reader.backup(writer)
    finally:
        writer.close()
        reader.close()


def _check_database(path: Path) -> None:
    """Check every page of a database.

    Raises:
        GalleryError: If it is damaged, or no database.
    """
    connection = sqlite3.connect(to_uri(path), uri=True)
    try:
        (answer,) = connection.execute("PRAGMA quick_check").fetchone()
    except sqlite3.Error as error:
        answer = str(error)
    finally:
        connection.close()
    if answer != "ok":
        raise GalleryError(f"{path}: damaged ({answer}); restore another backup")
