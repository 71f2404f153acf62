"""Galleries that a command makes: one without a sighting is not kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from passerby.errors import GalleryError
from passerby.gallery import adapted_runs, enrolled_shards
from passerby.gallery.stores.sqlite_database import FILE, Database

logger = logging.getLogger(__name__)


@contextmanager
def keep_if_filled(where: str | Path) -> Iterator[None]:
    """Delete a gallery that is made inside and has no sighting at the end, also after an error.

    A warning tells that it was deleted. A gallery on a server, one that was there before, and one that another process
    has open stay.

    Args:
        where: Address of the gallery.

    Example:
        >>> with keep_if_filled("new"):
        ...     passerby.Gallery("new", model="runs/m").close()
        >>> Path("new").exists()
        False
    """
    folder = Path(where)
    if "://" in str(where) or (folder / FILE).exists():
        yield
        return
    made = not folder.exists()
    try:
        yield
    except BaseException:
        _delete_empty(folder, made=made)
        raise
    if _delete_empty(folder, made=made):
        logger.warning("%s: no sighting was added, so that the new gallery was deleted", where)


def _delete_empty(folder: Path, *, made: bool) -> bool:
    """Delete the files of a gallery, and a folder that was made for it, unless it has a sighting or is in use."""
    if not (folder / FILE).is_file():
        return False
    try:
        database = Database(folder, exclusive=True)
    except GalleryError:  # another process has it open
        return False
    try:
        with database.write() as run:
            if run.execute("SELECT EXISTS (SELECT 1 FROM sightings)").fetchone()[0]:
                return False
        files = [path for path in folder.glob(f"{FILE}*") if path.is_file()]
        for path in (*files, folder / enrolled_shards.FILE, folder / adapted_runs.FILE):
            path.unlink(missing_ok=True)
    except (GalleryError, OSError):
        return False
    finally:
        database.close()
    if made and not any(folder.iterdir()):
        folder.rmdir()
    return True
