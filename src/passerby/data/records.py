"""Rows of a table, CSV (UTF-8, comma) or Parquet, and their timestamps."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from passerby.errors import DataError
from passerby.extras import require_extra


def read_records(path: Path) -> tuple[list[str], Iterable[dict[str, Any]]]:
    """Read the column names and the rows of a table: text from CSV, typed values from Parquet.

    Raises:
        DataError: When the file is neither.
    """
    return _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)


def _read_csv(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            return list(reader.fieldnames or []), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}); for Parquet, name it .parquet") from None


def _read_parquet(path: Path) -> tuple[list[str], Iterable[dict[str, Any]]]:
    parquet = require_extra("pyarrow.parquet")
    try:
        table = parquet.read_table(path)
    except (require_extra("pyarrow").ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from None
    return table.column_names, table.to_pylist()


def read_text_columns(record: dict[str, Any], columns: Iterable[str]) -> dict[str, str]:
    """Return the columns as text without surrounding space; empty for a missing value."""
    return {name: "" if record.get(name) is None else str(record[name]).strip() for name in columns}


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
            number = float(value)
        except ValueError:
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
