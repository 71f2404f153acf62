"""Sightings as rows of SQLite: how they are written, read and chosen. `database.py` has the tables."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from passerby.gallery.sightings import Filter, Sighting
from passerby.types import FloatArray, IntArray

_COLUMNS = ("id", "camera", "time", "label", "source", "quality", "attributes", "enrolled")
FACTS = ", ".join(_COLUMNS)
AMONG = "IN (SELECT value FROM json_each(?))"
"""For as many values as there are, given as one JSON list."""


def insert(run: sqlite3.Connection, sighting: Sighting, picture: bytes | None, *, now: float) -> bool:
    """Write a sighting, inside `write`; False when its id is there already."""
    enrolled = now if sighting.enrolled is None else sighting.enrolled
    attributes = json.dumps(dict(sighting.attributes), sort_keys=True)
    done = run.execute(
        f"INSERT INTO sightings ({FACTS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        (
            sighting.id,
            sighting.camera,
            sighting.time,
            sighting.label,
            sighting.source,
            sighting.quality,
            attributes,
            enrolled,
        ),
    )
    if not done.rowcount:
        return False
    run.execute("INSERT INTO vectors VALUES (?, ?)", (done.lastrowid, sighting.vector.astype("<f4").tobytes()))
    if picture is not None:
        run.execute("INSERT INTO pictures VALUES (?, ?)", (done.lastrowid, picture))
    return True


def read_sightings(run: sqlite3.Connection, condition: str, values: Sequence[Any]) -> list[Sighting]:
    """Whole sightings under a SQL condition."""
    select = (
        f"SELECT vector, picture, {FACTS} FROM sightings JOIN vectors USING (row) LEFT JOIN pictures USING (row) "
        f"WHERE {condition}"
    )
    return [
        Sighting(vector=stack([vector], len(vector) // 4)[0], picture=picture, **facts_of(facts))
        for vector, picture, *facts in run.execute(select, values)
    ]


def condition_of(where: Filter) -> tuple[str, list[Any]]:
    """A filter as a SQL condition and its values."""
    parts: list[tuple[str, Any]] = []
    for column, chosen in (("camera", where.cameras), ("label", where.labels), ("id", where.ids)):
        if chosen is not None:
            parts.append((f"{column} {AMONG}", json.dumps(list(chosen))))
    if where.sources is not None:  # the file, or a place in it: what begins with FILE::
        inside = "source >= value || '::' AND source < value || ':;'"
        found = f"EXISTS (SELECT 1 FROM json_each(?) WHERE source = value OR ({inside}))"
        parts.append((found, json.dumps(list(where.sources))))
    if where.not_cameras:
        parts.append((f"camera NOT {AMONG}", json.dumps(list(where.not_cameras))))
    if where.labeled:
        parts.append(("label IS NOT ?", None))
    bounds = (("time >= ?", where.since), ("time < ?", where.until), ("enrolled < ?", where.enrolled_before))
    parts += [(text, bound) for text, bound in bounds if bound is not None]  # NULL passes no comparison
    return " AND ".join(text for text, _ in parts) or "1", [value for _, value in parts]


def rows_of(run: sqlite3.Connection, where: Filter) -> IntArray:
    """Row numbers of the sightings that pass."""
    condition, values = condition_of(where)
    return integers(run.execute(f"SELECT row FROM sightings WHERE {condition}", values))


def integers(cursor: Iterable[tuple[int]]) -> IntArray:
    """The only column of a query."""
    return np.fromiter((row for (row,) in cursor), np.int64)


def stack(blobs: Sequence[bytes], width: int) -> FloatArray:
    """Stored vectors as (N, D) float32."""
    vectors: FloatArray = np.frombuffer(b"".join(blobs), "<f4").astype(np.float32, copy=False).reshape(-1, width)
    return vectors


def facts_of(values: Sequence[Any]) -> dict[str, Any]:
    """What the columns of `FACTS` say, by name."""
    read = dict(zip(_COLUMNS, values, strict=True))
    return {**read, "attributes": json.loads(read["attributes"])}
