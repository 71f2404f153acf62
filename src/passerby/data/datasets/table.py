"""Anybody's images in a table: CSV (UTF-8, comma) or Parquet, one row an image.

path        of the image, relative to the table's folder (or to the option `root`)
person_id   any text or number
camera_id   optional, any text or number; without it, no match is left out for being of the query's camera
split       optional: train, query or gallery; without it, half of the people train and the others are tested
timestamp   optional: seconds, or ISO 8601 (UTC where no zone is written)
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from passerby.data.datasets.labeled import OPTIONS, SPLITS, Row, assemble
from passerby.data.datasets.listing import contents
from passerby.data.datasets.source import Reader, Reading, Source, Unreadable
from passerby.data.records import read_records, seconds, text_of
from passerby.errors import DataError

REQUIRED = ("path", "person_id")
OPTIONAL = ("camera_id", "split", "timestamp")


def read_table(source: Source) -> Reading:
    """Read the table.

    Raises:
        DataError: When the file is missing, is neither CSV nor Parquet, or lacks a column.
    """
    if not source.path.is_file():
        above = source.path.parent
        held = f"{above} holds {contents(above)}" if above.is_dir() else f"there is no folder {above}"
        raise DataError(f"{source.name}: no file {source.path}; expected a .csv or .parquet; {held}")
    columns, records = read_records(source.path)
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise DataError(
            f"{source.name}: {source.path} has no column {' or '.join(missing)}; expected {', '.join(REQUIRED)} and "
            f"optionally {', '.join(OPTIONAL)}, found {', '.join(map(str, columns)) or 'none'}"
        )
    root = source.path.parent / Path(source.options.get("root", ".")).expanduser()
    rows: list[Row] = []
    unreadable: list[Unreadable] = []
    for number, record in enumerate(records, start=1):
        try:
            rows.append(_row(record, columns, root))
        except ValueError as error:
            unreadable.append(Unreadable(f"{source.path}: row {number}", str(error)))
    return assemble(source, rows, unreadable=unreadable)


def _row(record: dict[str, Any], columns: Iterable[str], root: Path) -> Row:
    """One image; raises ValueError that says what is wrong with the row."""
    text = text_of(record, columns)
    for name in (*REQUIRED, *(name for name in ("camera_id", "split") if name in text)):
        if not text[name]:
            raise ValueError(f"no {name}")
    if text.get("split", "train") not in SPLITS:
        raise ValueError(f"split {text['split']!r}; expected {', '.join(SPLITS)}")
    return Row(
        path=root / text["path"],
        person=text["person_id"],
        camera=text.get("camera_id"),
        split=text.get("split"),
        timestamp=seconds(record["timestamp"]) if text.get("timestamp") else None,
    )


READER = Reader(
    read_table,
    "a CSV or Parquet table: path, person_id, optionally camera_id, split, timestamp",
    {"root": "FOLDER that the paths start from, default the table's", **OPTIONS},
)
