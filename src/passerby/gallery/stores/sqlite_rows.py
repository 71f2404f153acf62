"""Conversion of sightings and filters to rows and conditions of SQLite; `sqlite_database.py` has the schema."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import numpy as np

from passerby.gallery.filters import EVERYTHING, Filter
from passerby.gallery.sightings import Hit, Sighting
from passerby.gallery.stores.proposals import Candidates
from passerby.types import FloatArray, IntArray

_COLUMNS = ("id", "camera", "time", "label", "source", "quality", "attributes", "enrolled")
INFO = ", ".join(_COLUMNS)
AMONG = "IN (SELECT value FROM json_each(?))"
"""Condition for any number of values, given as one JSON list."""


def insert(run: sqlite3.Connection, sighting: Sighting, crop: bytes | None, *, now: float) -> bool:
    """Insert a sighting, inside `Database.write`; return False if its id is present."""
    info = {
        **sighting.info,
        "attributes": json.dumps(dict(sighting.attributes), sort_keys=True),
        "enrolled": now if sighting.enrolled is None else sighting.enrolled,
    }
    cursor = run.execute(
        f"INSERT INTO sightings ({INFO}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        [info[name] for name in _COLUMNS],
    )
    if not cursor.rowcount:
        return False
    run.execute("INSERT INTO vectors VALUES (?, ?)", (cursor.lastrowid, sighting.vector.astype("<f4").tobytes()))
    if crop is not None:
        run.execute("INSERT INTO crops VALUES (?, ?)", (cursor.lastrowid, crop))
    return True


def read_sightings(
    run: sqlite3.Connection, condition: str, values: Sequence[Any], *, crops: bool = True
) -> list[Sighting]:
    """Read the sightings that meet an SQL condition; without `crops` their crop is None."""
    crop, join = ("crop", "LEFT JOIN crops USING (row)") if crops else ("NULL", "")
    select = f"SELECT vector, {crop}, {INFO} FROM sightings JOIN vectors USING (row) {join} WHERE {condition}"
    return [
        Sighting.restore(vector=stack([vector], len(vector) // 4)[0], crop=data, **to_info(columns))
        for vector, data, *columns in run.execute(select, values)
    ]


def read_candidates(run: sqlite3.Connection, rows: Sequence[int], dimension: int) -> Candidates:
    """Read the vectors and the metadata of rows that are still stored."""
    select = f"SELECT row, vector, {INFO} FROM sightings JOIN vectors USING (row) WHERE row {AMONG}"
    stored = run.execute(select, [json.dumps(list(rows))]).fetchall()
    return Candidates(
        keys=[row for row, *_ in stored],
        ids=[name for _, _, name, *_ in stored],
        cameras=[camera for _, _, _, camera, *_ in stored],
        vectors=stack([vector for _, vector, *_ in stored], dimension),
        records=[columns for _, _, *columns in stored],
        to_info=to_info,
    )


def read_hits(run: sqlite3.Connection, rows: IntArray, distances: FloatArray) -> list[Hit]:
    """Read the metadata of rows as hits at distances, in the order of the rows."""
    cursor = run.execute(f"SELECT row, {INFO} FROM sightings WHERE row {AMONG}", [json.dumps(rows.tolist())])
    infos = {row: to_info(columns) for row, *columns in cursor}
    return [Hit(**infos[row], distance=float(x)) for row, x in zip(rows.tolist(), distances, strict=True)]


def to_condition(where: Filter) -> tuple[str, list[Any]]:
    """Convert a filter to an SQL condition and its values."""
    parts: list[tuple[str, Any]] = []
    for column, chosen in (("camera", where.cameras), ("label", where.labels), ("id", where.ids)):
        if chosen is not None:
            parts.append((f"{column} {AMONG}", json.dumps(list(chosen))))
    if where.sources is not None:  # the file, or an item in it: a text that begins with FILE::
        inside = "source >= value || '::' AND source < value || ':;'"
        matches = f"EXISTS (SELECT 1 FROM json_each(?) WHERE source = value OR ({inside}))"
        parts.append((matches, json.dumps(list(where.sources))))
    if where.not_cameras:
        parts.append((f"camera NOT {AMONG}", json.dumps(list(where.not_cameras))))
    if where.labeled:
        parts.append(("label IS NOT ?", None))
    bounds = (("time >= ?", where.since), ("time < ?", where.until), ("enrolled < ?", where.enrolled_before))
    parts += [(text, bound) for text, bound in bounds if bound is not None]  # NULL meets no comparison
    return " AND ".join(text for text, _ in parts) or "1", [value for _, value in parts]


def select_rows(run: sqlite3.Connection, where: Filter = EVERYTHING) -> IntArray:
    """Return the row numbers of the sightings that pass a filter. One JSON list is read faster than many rows."""
    condition, values = to_condition(where)
    ((rows,),) = run.execute(f"SELECT json_group_array(row) FROM sightings WHERE {condition}", values)
    return np.array(json.loads(rows), np.int64)


def rank_by_camera(run: sqlite3.Connection) -> IntArray:
    """Return the rank of each row in the order of cameras, by row number; 0 for numbers without a row."""
    ((text,),) = run.execute("SELECT json_group_array(row) FROM (SELECT row FROM sightings ORDER BY camera, row)")
    rows = np.array(json.loads(text), np.int64)
    ranks = np.zeros(int(rows.max(initial=0)) + 1, np.int64)
    ranks[rows] = np.arange(1, len(rows) + 1)
    return ranks


def stack(blobs: Sequence[bytes], width: int) -> FloatArray:
    """Convert stored vectors to (N, D) float32."""
    vectors: FloatArray = np.frombuffer(b"".join(blobs), "<f4").astype(np.float32, copy=False).reshape(-1, width)
    return vectors


def to_info(columns: Sequence[Any]) -> dict[str, Any]:
    """Convert the columns of `INFO` to the arguments of `SightingInfo`."""
    info = dict(zip(_COLUMNS, columns, strict=True))
    return {**info, "attributes": json.loads(info["attributes"])}
