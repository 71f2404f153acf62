"""Card of a gallery in its SQLite database, with the components of the model's projection."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np

from passerby.errors import GalleryError
from passerby.gallery.card import GalleryCard
from passerby.types import FloatArray

_PROJECTION = "CREATE TABLE IF NOT EXISTS projection (row INTEGER PRIMARY KEY, component BLOB NOT NULL)"
"""A gallery of the network's own vectors has no such table. Components are little-endian float32."""


def read_card_text(connection: sqlite3.Connection, source: str | Path) -> str:
    """Read the text of a gallery's card.

    Raises:
        GalleryError: If its row is missing.
    """
    row = connection.execute("SELECT json FROM card").fetchone()
    if row is None:
        raise GalleryError(f"{source}: the gallery's card is missing; restore a backup")
    return str(row[0])


def read_stored_card(connection: sqlite3.Connection, source: str | Path) -> GalleryCard:
    """Read a gallery's card.

    Raises:
        GalleryError: If it is missing or cannot be read.
    """
    text = read_card_text(connection, source)
    return GalleryCard.from_json(text, str(source), components=_read_components(connection))


def write_card(connection: sqlite3.Connection, card: GalleryCard) -> None:
    """Write a gallery's card in place of an earlier one, inside a transaction."""
    connection.execute("INSERT OR REPLACE INTO card VALUES (1, ?)", (card.to_json(),))
    projection = card.model.projection
    if projection is None:
        connection.execute("DROP TABLE IF EXISTS projection")
        return
    connection.execute(_PROJECTION)
    connection.execute("DELETE FROM projection")
    rows = [(row, component.astype("<f4").tobytes()) for row, component in enumerate(projection.components)]
    connection.executemany("INSERT INTO projection VALUES (?, ?)", rows)


def _read_components(connection: sqlite3.Connection) -> FloatArray | None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'projection'").fetchone():
        return None
    rows = connection.execute("SELECT component FROM projection ORDER BY row").fetchall()
    try:
        return np.stack([np.frombuffer(blob, "<f4") for (blob,) in rows])
    except (TypeError, ValueError):  # no row, or one that is damaged: the card then lacks its projection
        return None
