"""Consistency level of the searches of one client of a Milvus server."""

from __future__ import annotations

import math
import time
from typing import Literal

STALENESS = 5.0
"""Seconds that a bounded read may be behind; the server's default (`common.gracefulTime`)."""


class SearchConsistency:
    """Times of the latest changes by a client, from which the level of its next search follows."""

    def __init__(self) -> None:
        self._searched, self._added, self._removed = False, -math.inf, -math.inf

    def note_search(self) -> None:
        """Record a search."""
        self._searched = True

    def note_addition(self) -> None:
        """Record that this client added sightings."""
        self._added = time.monotonic()

    def note_removal(self) -> None:
        """Record that this client removed or replaced sightings."""
        self._removed = time.monotonic()

    def choose(self) -> Literal["Strong", "Session", "Bounded"]:
        """Return the level of a search.

        `Session` includes the additions of this client, but not its removals; `Bounded` includes all changes that are
        older than `STALENESS`.
        """
        now = time.monotonic()
        if not self._searched or now - self._removed < 2 * STALENESS:
            return "Strong"
        return "Session" if now - self._added < 2 * STALENESS else "Bounded"
