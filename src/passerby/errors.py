"""Errors that a user can cause. Each message names the thing, the value received, what was expected and what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from passerby.text import escape_lines

_LONGEST = 1000  # characters of a word of a message
_OPTIONS: ContextVar[Mapping[str, str]] = ContextVar("_OPTIONS", default={})  # noqa: B039, nothing writes into it
_ABSENT = object()
_ADDRESS = re.compile(r" ?<[\w.]+ object at 0x[0-9a-f]+>")  # of an object of Python, in the message of a library


def argument(name: str, value: object = _ABSENT) -> str:
    """Name an argument in a message as the caller wrote it: `gallery_size` in Python, `--gallery-size` for a command.

    Args:
        name: The argument of the public function.
        value: Its value, to quote both.

    Example:
        >>> argument("gallery_size"), argument("folders", "camera")
        ('gallery_size', "folders='camera'")
    """
    option = _OPTIONS.get().get(name)
    if option is None:
        return name if value is _ABSENT else f"{name}={value!r}"
    return option if value is _ABSENT or value is True else f"{option} {value}"


@contextmanager
def name_arguments(options: Mapping[str, str]) -> Iterator[None]:
    """Name arguments in messages by the options of a front end.

    Args:
        options: Option of each argument, such as `--gallery-size` of `gallery_size`; others keep their names.
    """
    token = _OPTIONS.set(options)
    try:
        yield
    finally:
        _OPTIONS.reset(token)


@contextmanager
def pass_argument(name: str, *, of: str) -> Iterator[None]:
    """Name an argument of another function, in its messages, by the argument from which its value is passed on.

    Args:
        name: Argument of the function that is called.
        of: Argument of the calling function.

    Example:
        >>> with pass_argument("data", of="check"):
        ...     argument("data")
        'check'
    """
    with name_arguments({**_OPTIONS.get(), name: argument(of)}):
        yield


class PasserbyError(ValueError):
    """Base of every error whose cause is an input; the command line prints it without a traceback.

    The message can be printed and encoded everywhere: control characters and the bytes of file names that are not UTF-8
    are escaped, and very long words are shortened.

    Example:
        >>> try:
        ...     passerby.load("nowhere")
        ... except passerby.PasserbyError as error:
        ...     print(error)
        nowhere: not a run or a saved model; expected a folder with manifest.json and model.safetensors
    """

    def __init__(self, message: object = "") -> None:
        text = re.sub(rf"\S{{{_LONGEST},}}", lambda word: f"{word[0][: _LONGEST // 4]}...", str(message))
        super().__init__(escape_lines(text))


def require_several(name: str, value: object, error: type[PasserbyError]) -> None:
    """Refuse one text or path where several are expected, whose characters would be taken one by one.

    Args:
        name: The argument of the public function.
        value: What was given.
        error: Class of the error.

    Raises:
        PasserbyError: Of this class.
    """
    if isinstance(value, str | bytes | os.PathLike):
        raise error(f"{argument(name)}: got {os.fspath(value)!r}, expected several; give [{os.fspath(value)!r}]")


def require_device(name: str) -> None:
    """Refuse a device that is none of those on which the package computes; whether it exists is not checked.

    Args:
        name: Value of the argument `device`.

    Raises:
        PasserbyError: For another name, such as `cpu:3`, which torch takes for the CPU.
    """
    if re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", name) is None:
        raise PasserbyError(f"{argument('device')}: got {name!r}, expected auto, cpu, cuda, cuda:0 or mps")


class DataError(PasserbyError):
    """A data set, an image or a data spec that cannot be used."""


class RecipeError(PasserbyError):
    """A recipe with an unknown key or an invalid value."""


class WeightsError(PasserbyError):
    """Weights, a manifest or a checkpoint that do not fit the model that they are loaded into."""


class TrainingError(PasserbyError):
    """A run that cannot continue: non-finite loss, no checkpoint, a changed data set."""


class WriteError(PasserbyError):
    """A file that cannot be written: full disk, missing rights, a read-only folder."""


class MissingExtraError(PasserbyError):
    """An optional dependency that is not installed; the message names the extra."""


class GalleryError(PasserbyError):
    """A gallery that cannot be opened or reached, or a sighting that does not belong in it."""


class NoGalleryError(GalleryError):
    """No gallery exists at this address."""


class ExportError(PasserbyError):
    """An export that cannot be made, or whose file is beyond its tolerance."""


def explain(error: BaseException) -> str:
    """Describe in one line why a library failed, for the end of a message of our own.

    Args:
        error: An error of this package is taken whole. A missing key is named, an error of the operating system is its
            text without the path, and any other error is its first line, at most 200 characters,
            without the addresses of objects.

    Example:
        >>> explain(KeyError("format"))
        "lacks 'format'"
        >>> explain(FileNotFoundError(2, "No such file or directory", "a.csv"))
        'No such file or directory'
    """
    if isinstance(error, PasserbyError):
        return str(error)
    if isinstance(error, KeyError):
        return f"lacks {error}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)  # negative: of a name server
    lines = _ADDRESS.sub("", str(error)).strip().splitlines()
    return escape_lines(lines[0].rstrip(".")[:200]) if lines else type(error).__name__
