"""Answers of reviewers: a table in the gallery, and its files.

The columns are `first`, `second` (ids of sightings), `answer`, `user`, `time` (seconds since 1970 UTC) and `reason`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np

from passerby.errors import DataError, explain
from passerby.extras import require_extra
from passerby.files import read_bytes, write_atomic
from passerby.reviewing.links import DIFFERENT, SAME, UNKNOWN
from passerby.text import escape_controls, quote_formula, unquote_formula
from passerby.types import IntArray, Result

Verdict = Literal["same", "different", "unknown"]
CODES: Mapping[str, int] = {"same": SAME, "different": DIFFERENT, "unknown": UNKNOWN}
COLUMNS = ("first", "second", "answer", "user", "time", "reason")
_MAX_TEXT = 255


@dataclass(frozen=True)
class Answer(Result):
    """One answer about two sightings.

    Attributes:
        first: Id of a sighting.
        second: Id of the other one.
        answer: `same` (must-link), `different` (cannot-link) or `unknown`, for "cannot tell".
        user: User that answered.
        time: Seconds since 1970 UTC.
        reason: What led to it, such as `merge`, `split`, `confirm`, or the name of a file.
        action: Number of the action that it was part of, by which it is undone; 0 outside a gallery.

    Raises:
        DataError: For a value outside its range.

    Example:
        >>> Answer("s1", "s2", "same", user="ada").answer
        'same'
    """

    first: str
    second: str
    answer: Verdict
    user: str = ""
    time: float = 0.0
    reason: str = ""
    action: int = 0

    def __post_init__(self) -> None:
        if self.answer not in get_args(Verdict):
            raise DataError(f"answer: got {self.answer!r}, expected one of {', '.join(get_args(Verdict))}")
        for name in ("first", "second", "user", "reason"):
            text = getattr(self, name)
            if not isinstance(text, str) or len(text) > _MAX_TEXT or escape_controls(text) != text:
                raise DataError(f"answer: {name} is {text!r:.80}, expected up to {_MAX_TEXT} printable characters")
        if not self.first or not self.second or self.first == self.second:
            raise DataError(f"answer: got the sightings {self.first!r} and {self.second!r}, expected two different ids")
        if not isinstance(self.time, int | float) or not math.isfinite(self.time):
            raise DataError(f"answer: time is {self.time!r}, expected seconds since 1970")

    @property
    def row(self) -> dict[str, Any]:
        """The values of the columns of a table."""
        return {name: getattr(self, name) for name in COLUMNS}


def to_arrays(answers: Sequence[Answer], ids: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Convert answers to indices of sightings; answers about others than `ids` are left out.

    Returns:
        (A, 2) pairs, (A,) codes for `count_votes`.

    Example:
        >>> pairs, codes = to_arrays([Answer("b", "a", "same"), Answer("a", "z", "same")], ["a", "b"])
        >>> pairs.tolist(), codes.tolist()
        ([[1, 0]], [1])
    """
    index = {name: number for number, name in enumerate(ids)}
    known = [answer for answer in answers if answer.first in index and answer.second in index]
    pairs = np.array([(index[answer.first], index[answer.second]) for answer in known], np.int64).reshape(-1, 2)
    return pairs, np.array([CODES[answer.answer] for answer in known], np.int64)


def write_answers(answers: Sequence[Answer], path: str | Path) -> int:
    """Write answers to a CSV or Parquet file, completely or not at all; return their number.

    Args:
        answers: Answers.
        path: Name that ends in .csv or .parquet; an existing file is not replaced.

    Raises:
        DataError: For another name, or a file that exists.
        WriteError: If it cannot be written.
        MissingExtraError: For Parquet without the extra `eval`.

    Example:
        >>> write_answers([Answer("s1", "s2", "different", user="ada", time=1.7e9)], "answers.csv")
        1
        >>> read_answers("answers.csv")[0].answer
        'different'
    """
    target = Path(path)
    ending = _require_ending(target)
    if target.exists():
        raise DataError(f"{target}: the file exists; name another file, or move it")
    rows = [answer.row for answer in answers]
    if ending == ".csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {name: quote_formula(value) if isinstance(value, str) else value for name, value in row.items()}
            for row in rows
        )
        content = text.getvalue().encode()
    else:
        pa, pq = require_extra("pyarrow"), require_extra("pyarrow.parquet")
        kinds = {name: pa.float64() if name == "time" else pa.string() for name in COLUMNS}
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items()))), buffer)
        content = buffer.getvalue()
    write_atomic(target, content, private=True)
    return len(rows)


def read_answers(path: str | Path) -> list[Answer]:
    r"""Read answers from a CSV or Parquet file. Only `first`, `second` and `answer` must be there.

    Raises:
        DataError: If it cannot be read, or for a wrong value, with its row.
        MissingExtraError: For Parquet without the extra `eval`.

    Example:
        >>> _ = Path("small.csv").write_text("first,second,answer\ns1,s2,same\n")
        >>> read_answers("small.csv")
        [Answer(first='s1', second='s2', answer='same', user='', time=0.0, reason='', action=0)]
    """
    source = Path(path)
    rows = _read_csv(source) if _require_ending(source) == ".csv" else _read_parquet(source)
    answers = []
    for number, row in enumerate(rows, start=1):
        try:
            values = {name: row[name] for name in COLUMNS if row.get(name) not in (None, "")}
            if isinstance(values.get("time"), str):
                values["time"] = float(values["time"])
            missing = [name for name in COLUMNS[:3] if name not in values]
            if missing:
                raise ValueError(f"{', '.join(missing)} missing")
            answers.append(Answer(**values))
        except (ValueError, TypeError) as error:
            raise DataError(f"{source}: row {number} is no answer ({explain(error)})") from None
    return answers


def _require_ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise DataError(f"{path}: answers are a CSV or Parquet file; name it .csv or .parquet")
    return ending


def _read_csv(path: Path) -> list[dict[str, Any]]:
    try:
        reader = csv.DictReader(io.StringIO(read_bytes(path).decode("utf-8-sig"), newline=""))
        _require_columns(path, reader.fieldnames or ())
        return [
            {name: unquote_formula(cell) if isinstance(cell, str) else cell for name, cell in row.items()}
            for row in reader
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read as a table of answers ({explain(error)}); copy or export it again"
        ) from None


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    pa, pq = require_extra("pyarrow"), require_extra("pyarrow.parquet")
    read_bytes(path, first=1)  # refuses pipes and devices
    try:
        table = pq.read_table(path)
    except (pa.lib.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as a table of answers ({explain(error)}); copy or export it again"
        ) from None
    _require_columns(path, table.column_names)
    return cast("list[dict[str, Any]]", table.to_pylist())


def _require_columns(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in COLUMNS[:3] if name not in names]
    if missing:
        raise DataError(f"{path}: the column {', '.join(missing)} is missing; expected {', '.join(COLUMNS)}")
