"""Data set specs, `name:path?option=value`, and readers, which turn a spec into a data set."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from passerby.errors import DataError, argument
from passerby.text import suggest
from passerby.types import DataSet


@dataclass(frozen=True)
class DataSpec:
    """One parsed part of a spec: `name:path?option=value&option=value`.

    Attributes:
        name: Name of the reader.
        path: File or folder (`~` expanded); the empty path for readers that take options only.
        options: Text of each option.
        text: The part as it was written.
    """

    name: str
    path: Path
    options: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    def choice(self, option: str, allowed: Sequence[str], *, default: str) -> str:
        """Return an option's value, one of `allowed`. Raises DataError for another value."""
        value = self.options.get(option, default)
        if value not in allowed:
            raise DataError(f"{self.name}: option {option}={value!r}; expected {' or '.join(allowed)}")
        return value

    def integer(self, option: str, *, default: int, low: int, high: int) -> int:
        """Return an option's value, an integer from `low` to `high`. Raises DataError for another value."""
        text = self.options.get(option, str(default))
        if not re.fullmatch(r"-?[0-9]+", text) or not low <= int(text) <= high:
            raise DataError(f"{self.name}: option {option}={text!r}; expected an integer from {low} to {high}")
        return int(text)

    def fraction(self, option: str, *, default: float) -> float:
        """Return an option's value, a number from 0 to 1. Raises DataError for another value."""
        text = self.options.get(option, str(default))
        if not re.fullmatch(r"[0-9]*\.?[0-9]+", text) or not 0 <= float(text) <= 1:
            raise DataError(f"{self.name}: option {option}={text!r}; expected a number from 0 to 1")
        return float(text)


@dataclass(frozen=True)
class UnreadableEntry:
    """A file or a table row that a reader cannot use. `load_data` refuses it; `check` lists it.

    Attributes:
        location: Path, or file and line.
        reason: What is wrong with it, and what was expected.
    """

    location: str
    reason: str


@dataclass(frozen=True)
class ReaderResult:
    """Result of a reader.

    Attributes:
        data: The data set without unreadable entries.
        unreadable: The unreadable entries.
        required_splits: Splits that the layout always has; an empty one is an error.
        assumptions: What the reader assumed because the data does not state it, as sentences.
        warnings: Why metrics are not comparable with published ones, such as an incomplete copy, as sentences.
        skipped: Files that were left out because they are no images.
    """

    data: DataSet
    unreadable: tuple[UnreadableEntry, ...] = ()
    required_splits: tuple[str, ...] = ("train", "query", "gallery")
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    skipped: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Reader:
    """Reader of one layout.

    Attributes:
        read: Function from a spec to a result. Raises DataError for another layout.
        about: One line for lists of data sets.
        options: Each option with a description of its value.
        has_path: False for generated data sets, whose options follow the colon.
    """

    read: Callable[[DataSpec], ReaderResult]
    about: str
    options: Mapping[str, str] = field(default_factory=dict)
    has_path: bool = True


def parse_spec(spec: str, *, readers: Mapping[str, Reader]) -> list[DataSpec]:
    """Parse `name:path?option=value+name:path`. A `+` separates only before `name:`, so that paths may contain one.

    Raises:
        DataError: For an empty spec, an unknown reader or option (the known ones are listed), a part without a path,
            or an option without a value or given twice.

    Example:
        >>> from passerby.data.datasets import DATASETS
        >>> [part.options for part in parse_spec("cuhk01:/data/cuhk01?split=871", readers=DATASETS)]
        [{'split': '871'}]
    """
    if not spec.strip():
        raise DataError(
            f"{argument('data')}: nothing given; expected name:path, where name is one of {', '.join(readers)}"
        )
    return [_parse_part(part, readers) for part in re.split(r"\+(?=[A-Za-z][\w-]*:)", spec.strip())]


def _parse_part(part: str, readers: Mapping[str, Reader]) -> DataSpec:
    name, colon, rest = part.partition(":")
    if not colon and name in readers and readers[name].has_path:
        raise DataError(f"{argument('data')} {part!r}: no path; expected {name}:/path/to/it")
    if not colon and os.path.exists(part):
        raise DataError(
            f"{argument('data')} {part!r}: a path without the name of its layout; expected such as folder:{part}"
        )
    if not colon or name not in readers:
        raise DataError(
            f"{argument('data')} {part!r}: {suggest(name, readers)}expected name:path, where name is one of "
            f"{', '.join(readers)}"
        )
    reader = readers[name]
    _require_separators(part, reader, readers)
    path, options = rest, ""
    if not reader.has_path:
        path, options = "", rest
    elif "?" in rest:
        path, _, options = rest.rpartition("?")
    if reader.has_path and not path:
        raise DataError(f"{argument('data')} {part!r}: no path after {name}:; expected {name}:/path/to/it")
    place = _expand(path, name) if path else Path()
    return DataSpec(name, place, _parse_options(options, name, reader), part)


def _require_separators(part: str, reader: Reader, readers: Mapping[str, Reader]) -> None:
    """Raise DataError for another separator than `+` between data sets, or than `&` (`,` without a path) of options."""
    match = re.search(r"[;,|&]\s*([A-Za-z][\w-]*):", part)
    if match and match[1] in readers:
        raise DataError(f"{argument('data')} {part!r}: {match[0][0]!r} before {match[1]}:; data sets are joined with +")
    right = "&" if reader.has_path else ","
    for separator, option in re.findall(r"([;,&|])\s*(\w+)=", part):
        if separator != right and option in reader.options:
            raise DataError(
                f"{argument('data')} {part!r}: {separator!r} before {option}=; options are separated by {right}"
            )


def _expand(path: str, name: str) -> Path:
    """Return the path with `~` expanded. Raises DataError for one that no file can have, or that may not be looked up.

    A path that does not exist is left to the reader, whose error has the expected layout.
    """
    try:
        place = Path(path).expanduser()
        os.stat(place)
    except (FileNotFoundError, NotADirectoryError):
        if "\\" in path:
            raise DataError(f"{name}: no {path}: it has backslashes; folders are separated by / here") from None
        if path != path.strip():
            raise DataError(f"{name}: no {path!r}: it starts or ends with a space; leave that out") from None
        return place
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{name}: {path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return place


def _parse_options(text: str, name: str, reader: Reader) -> dict[str, str]:
    options: dict[str, str] = {}
    for item in filter(None, text.split("&" if reader.has_path else ",")):
        option, equals, value = item.partition("=")
        if option not in reader.options:
            known = "; ".join(f"{key}={takes}" for key, takes in reader.options.items()) or "none"
            raise DataError(
                f"{name}: unknown option {option!r}; {suggest(option, reader.options)}known options: {known}"
            )
        if not equals or not value:
            raise DataError(f"{name}: option {option!r} has no value; expected {option}={reader.options[option]}")
        if option in options:
            raise DataError(f"{name}: option {option!r} is given twice; keep one")
        options[option] = value
    return options
