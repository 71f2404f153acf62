"""Table of images: CSV (UTF-8, comma) or Parquet, one row per image.

path        path of the image, relative to the table's folder (or to the option `root`)
person_id   any text or number
camera_id   optional, any text or number; without it, no match is left out for being of the query's camera
split       optional: train, query or gallery; without it, half of the identities train and the others are tested
x, y, width, height
            optional: box of the person in the image, in pixels; see `passerby.data.scene_boxes`
timestamp   optional: seconds, or ISO 8601 (UTC if it has no zone)
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from passerby.data.datasets.labeled import OPTIONS, SPLITS, LabeledImage, assemble
from passerby.data.datasets.listing import missing_file
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult, UnreadableEntry
from passerby.data.records import locate_image, parse_timestamp, read_records, read_text_columns
from passerby.data.scene_boxes import BOX_COLUMNS, box_key, has_boxes
from passerby.errors import DataError
from passerby.files import expand_home

REQUIRED = ("path", "person_id")
OPTIONAL = ("camera_id", "split", "timestamp", *BOX_COLUMNS)


def read_table(spec: DataSpec) -> ReaderResult:
    """Read the table.

    Raises:
        DataError: When the file is missing, is neither CSV nor Parquet, or lacks a column.
    """
    if not spec.path.is_file():
        raise missing_file(spec.path, name=spec.name, expected="a .csv or .parquet")
    columns, records = read_records(spec.path)
    if spec.choice("camera", ("column", "none"), default="column") == "none":
        columns = [name for name in columns if name != "camera_id"]
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise DataError(
            f"{spec.name}: {spec.path} has no column {' or '.join(missing)}; expected {', '.join(REQUIRED)} and "
            f"optionally {', '.join(OPTIONAL)}, found {', '.join(map(str, columns)) or 'none'}"
        )
    try:
        boxed = has_boxes(columns)
    except ValueError as error:
        raise DataError(f"{spec.name}: {spec.path}: {error}") from None
    root = spec.path.parent / expand_home(spec.options.get("root", "."))
    images: list[LabeledImage] = []
    unreadable: list[UnreadableEntry] = []
    for number, record in enumerate(records, start=1):
        try:
            images.append(_parse_row(record, columns, root, boxed=boxed))
        except ValueError as error:
            unreadable.append(UnreadableEntry(f"{spec.path}: row {number}", str(error)))
    return assemble(spec, images, unreadable=unreadable)


def _parse_row(record: dict[str, Any], columns: Iterable[str], root: Path, *, boxed: bool) -> LabeledImage:
    """Parse one row. Raises ValueError that states what is wrong with it."""
    text = read_text_columns(record, columns, ids=("person_id", "camera_id"))
    for name in (*REQUIRED, *(name for name in ("camera_id", "split") if name in text)):
        if not text[name]:
            raise ValueError(f"no {name}")
    if text.get("split", "train") not in SPLITS:
        raise ValueError(f"split {text['split']!r}; expected {', '.join(SPLITS)}")
    return LabeledImage(
        path=locate_image(root, text["path"]),
        key=box_key(text) if boxed else None,
        person=text["person_id"],
        camera=text.get("camera_id"),
        split=text.get("split"),
        timestamp=parse_timestamp(record["timestamp"]) if text.get("timestamp") else None,
    )


READER = Reader(
    read_table,
    "a CSV or Parquet table: path, person_id, optionally camera_id, split, timestamp, x, y, width, height",
    {
        "camera": "column|none, none ignores camera_id",
        "root": "FOLDER that paths are relative to, default the table's",
        **OPTIONS,
    },
)
