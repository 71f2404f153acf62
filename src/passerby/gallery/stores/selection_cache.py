"""Rows and counts of filters, kept while the gallery does not change.

A pass over the table of 100,000 sightings takes longer than a search.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import numpy as np

from passerby.gallery.filters import Filter
from passerby.gallery.stores.sqlite_rows import select_rows, to_condition
from passerby.types import IntArray

_SIZE, _ROWS = 256, 4_000_000
"""Selections that are kept, and row numbers in all of them; a search by camera selects the rows of each camera."""


class SelectionCache:
    """What recent filters selected, for one connection.

    The owner calls `clear` after each change of sightings by its own connection. Changes by other connections are
    noticed by SQLite's `data_version`, read in the same transaction. Lines of the audit log that this connection writes
    clear nothing.
    """

    def __init__(self) -> None:
        self._version: int | None = None
        self._kept: dict[tuple[str, str, str], Any] = {}

    def clear(self) -> None:
        """Forget all selections."""
        self._kept.clear()

    def find_rows(self, run: sqlite3.Connection, where: Filter) -> IntArray:
        """Return the row numbers of the sightings that pass a filter, inside `Database.read`."""
        key = self._find_key(run, "rows", where)
        if key not in self._kept:
            self._keep(key, select_rows(run, where))
        rows: IntArray = self._kept[key]
        return rows

    def count(self, run: sqlite3.Connection, what: str, where: Filter) -> int:
        """Count the sightings that pass a filter, or their different values; `what` is an SQL expression."""
        key = self._find_key(run, what, where)
        if key not in self._kept:
            condition, values = to_condition(where)
            query = f"SELECT count({what}) FROM sightings WHERE {condition}"
            self._keep(key, int(run.execute(query, values).fetchone()[0]))
        return int(self._kept[key])

    def _find_key(self, run: sqlite3.Connection, what: str, where: Filter) -> tuple[str, str, str]:
        (version,) = run.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._version = version
            self._kept.clear()
        condition, values = to_condition(where)
        return what, condition, repr(values)

    def _keep(self, key: tuple[str, str, str], value: Any) -> None:
        self._kept[key] = value
        while len(self._kept) > 1 and (len(self._kept) > _SIZE or sum(map(np.size, self._kept.values())) > _ROWS):
            del self._kept[next(iter(self._kept))]
