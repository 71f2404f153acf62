"""Rows of a table, CSV (UTF-8, comma) or Parquet, and their timestamps."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from passerby.errors import DataError, explain
from passerby.extras import require_extra
from passerby.files import read_bytes
from passerby.text import plural

MAX_BYTES = 2**30
"""Limit of a CSV file."""
_WHOLE_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)\.0+")


def read_records(path: Path) -> tuple[list[str], Iterable[dict[str, Any]]]:
    """Read the column names and the rows of a table: text from CSV, typed values from Parquet.

    Raises:
        DataError: When the file is neither, is separated by semicolons or tabs, or has a column twice.
    """
    columns, records = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise DataError(f"{path}: column {repeated[0]!r} is in it twice; keep one")
    if len(columns) == 1 and (separator := next((mark for mark in ";\t" if mark in columns[0]), None)):
        raise DataError(f"{path}: its columns are separated by {separator!r}; expected commas")
    return columns, records


def _read_csv(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    try:
        reader = csv.DictReader(io.StringIO(read_bytes(path, limit=MAX_BYTES).decode("utf-8-sig"), newline=""))
        return list(reader.fieldnames or []), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({explain(error)}); for Parquet, name it .parquet") from None


def _read_parquet(path: Path) -> tuple[list[str], Iterable[dict[str, Any]]]:
    parquet = require_extra("pyarrow.parquet")
    read_bytes(path, first=1)  # refuses pipes and devices
    try:
        table = parquet.read_table(path)
        return table.column_names, table.to_pylist()  # texts are decoded here
    except (require_extra("pyarrow").ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({explain(error)}); copy or write it again") from None


def read_text_columns(record: dict[str, Any], columns: Iterable[str], *, ids: Collection[str] = ()) -> dict[str, str]:
    """Return the columns as text without surrounding space; empty for a missing value (null, NaN).

    Args:
        record: One row.
        columns: Names of the columns.
        ids: Columns of ids: a whole number that was written as a float (`-1.0`, as by a column with missing values) is
            the integer, and other numbers are refused.

    Raises:
        ValueError: For a value that is neither text, a number, a Boolean nor a date, naming the column.

    Example:
        >>> read_text_columns({"id": 7.0, "camera": float("nan")}, ["id", "camera"], ids=["id"])
        {'id': '7', 'camera': ''}
    """
    if None in record:
        raise ValueError(f"{plural(len(record[None]), 'value')} more than the table has columns")  # type: ignore[index]
    return {name: _read_text(record.get(name), name, is_id=name in ids) for name in columns}


def _read_text(value: Any, name: str, *, is_id: bool) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        text = value.strip()
        return text.partition(".")[0] if is_id and _WHOLE_FLOAT.fullmatch(text) else text
    if is_id:
        if isinstance(value, float | Decimal) and abs(float(value)) <= 2**53 and value == int(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"column {name}: {value!r}; expected text or a whole number")
    if not isinstance(value, int | float | Decimal | date | time):
        raise ValueError(f"column {name}: {type(value).__name__}; expected text, a number or a date")
    return str(value)


def locate_image(folder: Path, path: str) -> Path:
    r"""Return the path of an image of a table, relative to `folder`.

    Raises:
        ValueError: For a NUL character, or for backslashes in a path that does not exist.

    Example:
        >>> locate_image(Path("crops"), "north/1.jpg").as_posix()
        'crops/north/1.jpg'
    """
    if "\0" in path:
        raise ValueError(f"path {path[:80]!r} has a NUL character")
    if "\\" in path and os.sep == "/" and not os.path.exists(folder / path):
        raise ValueError(f"path {path[:80]!r} has backslashes and does not exist; write / between folder and file")
    return folder / path


def parse_timestamp(value: Any) -> float:
    """Return seconds since 1970 from a number, its text, a datetime or ISO 8601 (UTC if it has no zone).

    Raises:
        ValueError: For another value, naming it.

    Example:
        >>> parse_timestamp("1970-01-01T00:01:00")
        60.0
    """
    if not isinstance(value, datetime):
        try:
            number = float(value) if not isinstance(value, bool) else float(str(value))
        except OverflowError:
            raise ValueError(f"timestamp {value!r}; expected a finite number of seconds") from None
        except (TypeError, ValueError):
            try:
                value = datetime.fromisoformat(str(value).strip())
            except ValueError:
                raise ValueError(f"timestamp {value!r}; expected seconds or ISO 8601") from None
        else:
            if not math.isfinite(number):
                raise ValueError(f"timestamp {value!r}; expected a finite number of seconds")
            return number
    moment = value if value.tzinfo else value.replace(tzinfo=UTC)
    return float(moment.timestamp())
