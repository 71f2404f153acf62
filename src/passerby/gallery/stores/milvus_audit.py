"""Audit log of a gallery on a Milvus server: the collection `name_audit`, which an administrator can change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from passerby.gallery.results import AuditEntry
from passerby.gallery.stores.milvus_rows import make_audit_schema, make_index

_PAGE = 8192  # entries read at a time


class MilvusAudit:
    """Audit log of one gallery.

    Args:
        call: Calls a method of the server's client; see `MilvusConnection.call`.
        gallery: Name of the gallery's collection.
        user: Name in the entries.
        clock: Returns seconds since 1970 UTC.
    """

    def __init__(self, call: Callable[..., Any], gallery: str, *, user: str, clock: Callable[[], float]) -> None:
        self._call, self._name, self._user, self._clock = call, f"{gallery}_audit", user, clock

    def make(self) -> None:
        """Make the collection. It needs an index of its vector field, which is constant."""
        flat = make_index("nothing", index_type="FLAT", metric_type="L2", params={})
        options = {"index_params": flat, "consistency_level": "Strong"}
        self._call("create_collection", self._name, schema=make_audit_schema(), **options)

    def load(self) -> None:
        """Load the collection into the server's memory."""
        self._call("load_collection", self._name)

    def read(self) -> list[AuditEntry]:
        """Return all entries, oldest first."""
        fields = ["number", "time", "user", "action", "counts"]
        rows: list[dict[str, Any]] = []
        while True:
            after = max((row["number"] for row in rows), default=-1)
            options = {"filter": f"number > {after}", "output_fields": fields, "limit": _PAGE}
            page = list(self._call("query", self._name, consistency_level="Strong", **options))
            if not page:
                break
            rows += page
        rows.sort(key=lambda row: row["number"])
        return [AuditEntry(row["time"], row["user"], row["action"], row["counts"]) for row in rows]

    def write(self, action: str, counts: dict[str, int]) -> None:
        """Add an entry."""
        row = {"time": self._clock(), "user": self._user, "action": action, "counts": counts, "nothing": [0.0, 0.0]}
        self._call("insert", self._name, [row])
