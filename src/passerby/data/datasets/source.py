"""What stands between a spec's text and a data set: sources, readers, and what a reader reports back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from passerby.errors import DataError
from passerby.types import DataSet


@dataclass(frozen=True)
class Source:
    """One part of a spec, taken apart: `name:path?option=value&option=value`.

    Attributes:
        name: The reader's name.
        path: Where the data is (`~` expanded); the empty path for readers that take options only.
        options: Each option's text.
        spec: The part as it was written.
    """

    name: str
    path: Path
    options: Mapping[str, str] = field(default_factory=dict)
    spec: str = ""

    def choice(self, option: str, allowed: Sequence[str], *, default: str) -> str:
        """The option's value, one of `allowed`. Raises DataError."""
        value = self.options.get(option, default)
        if value not in allowed:
            raise DataError(f"{self.name}: option {option}={value!r}; expected {' or '.join(allowed)}")
        return value

    def integer(self, option: str, *, default: int, low: int, high: int) -> int:
        """The option's value, a whole number from `low` to `high`. Raises DataError."""
        text = self.options.get(option, str(default))
        if not re.fullmatch(r"-?[0-9]+", text) or not low <= int(text) <= high:
            raise DataError(f"{self.name}: option {option}={text!r}; expected a whole number from {low} to {high}")
        return int(text)

    def share(self, option: str, *, default: float) -> float:
        """The option's value, a number from 0 to 1. Raises DataError."""
        text = self.options.get(option, str(default))
        if not re.fullmatch(r"[0-9]*\.?[0-9]+", text) or not 0 <= float(text) <= 1:
            raise DataError(f"{self.name}: option {option}={text!r}; expected a number from 0 to 1")
        return float(text)


@dataclass(frozen=True)
class Unreadable:
    """A file, or a row of a table, that a reader could not place: `load_data` refuses it, the doctor lists it."""

    where: str
    why: str


@dataclass(frozen=True)
class Reading:
    """What a reader found.

    Attributes:
        data: The data set, without what could not be placed.
        unreadable: What could not be placed.
        promised: The splits that this layout always has; an empty one among them is an error.
        assumed: What the reader took for granted because nothing said otherwise, as sentences.
        doubts: What makes the figures not comparable with others' (a copy that is not complete), as sentences.
    """

    data: DataSet
    unreadable: tuple[Unreadable, ...] = ()
    promised: tuple[str, ...] = ("train", "query", "gallery")
    assumed: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reader:
    """How a data set is read.

    Attributes:
        read: Source -> reading. Raises DataError when the layout is not the expected one.
        about: One line for lists of data sets.
        options: Each known option with what it takes.
        has_path: False for data sets that are made, not found: options follow the colon directly.
    """

    read: Callable[[Source], Reading]
    about: str
    options: Mapping[str, str] = field(default_factory=dict)
    has_path: bool = True


def parse_spec(spec: str, *, readers: Mapping[str, Reader]) -> list[Source]:
    """Take `name:path?option=value+name:path` apart. A `+` counts only where `name:` follows it, so paths may hold one.

    Raises:
        DataError: For an empty spec, a reader or an option that is not known (the known ones are listed), a part
            without a path, an option without a value or given twice.
    """
    if not spec.strip():
        raise DataError(f"data: nothing given; expected name:path, where name is one of {', '.join(readers)}")
    return [_parse_part(part, readers) for part in re.split(r"\+(?=[A-Za-z][\w-]*:)", spec.strip())]


def _parse_part(part: str, readers: Mapping[str, Reader]) -> Source:
    name, colon, rest = part.partition(":")
    if not colon or name not in readers:
        raise DataError(f"data {part!r}: expected name:path, where name is one of {', '.join(readers)}")
    reader = readers[name]
    path, text = rest, ""
    if not reader.has_path:
        path, text = "", rest
    elif "?" in rest:
        path, _, text = rest.rpartition("?")
    if reader.has_path and not path:
        raise DataError(f"data {part!r}: no path after {name}:; expected {name}:/path/to/it")
    return Source(name, Path(path).expanduser() if path else Path(), _parse_options(text, name, reader), part)


def _parse_options(text: str, name: str, reader: Reader) -> dict[str, str]:
    options: dict[str, str] = {}
    for item in filter(None, text.split("&" if reader.has_path else ",")):
        option, equals, value = item.partition("=")
        if option not in reader.options:
            known = "; ".join(f"{key}={takes}" for key, takes in reader.options.items()) or "none"
            raise DataError(f"{name}: unknown option {option!r}; known options: {known}")
        if not equals or not value:
            raise DataError(f"{name}: option {option!r} has no value; expected {option}={reader.options[option]}")
        if option in options:
            raise DataError(f"{name}: option {option!r} is given twice; keep one")
        options[option] = value
    return options
