"""Write files completely or not at all, and read files of bounded size."""

from __future__ import annotations

import glob
import json
import math
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from passerby.errors import DataError, WriteError
from passerby.text import plural


def write_atomic(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file completely or not at all: a reader, now or after a power cut, finds the old or the new content.

    Args:
        path: The file. Its folder is made.
        data: The whole content.
        private: Only the owner can read the file, and its draft.

    Raises:
        WriteError: When the disk is full or the folder cannot be written; the old content is intact.

    Example:
        >>> write_atomic(Path("notes.txt"), b"one line")
        >>> Path("notes.txt").read_bytes()
        b'one line'
    """
    write_all_atomic({path: data}, private=private)


def write_all_atomic(contents: Mapping[Path, bytes], *, private: bool = False) -> None:
    """Write files that belong together: none is replaced before all are on the disk.

    Args:
        contents: The whole content of each file.
        private: As for `write_atomic`.

    Raises:
        WriteError: As `write_atomic`.
    """
    drafts: dict[Path, Path] = {}
    path = next(iter(contents))
    try:
        for path, data in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            drafts[path] = path.with_name(f".{path.name}.{os.getpid()}.part")
            if private:
                drafts[path].unlink(missing_ok=True)  # of a process that was killed, with whatever mode
                make_private(drafts[path])
            with drafts[path].open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, draft in drafts.items():
            os.replace(draft, path)
        for folder in {path.parent for path in contents}:
            sync_folder(folder)
    except OSError as error:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
        reason = error.strerror or error
        raise WriteError(
            f"{path}: not saved ({reason}); the old content is intact. Free disk space or grant write access"
        ) from None


def remove_drafts(path: Path) -> None:
    """Delete the drafts `.NAME.PID.part*` of a file whose processes have ended; they may contain people's data.

    Example:
        >>> _ = Path(".people.txt.999999999.part").write_bytes(b"Ada")
        >>> remove_drafts(Path("people.txt"))
        >>> Path(".people.txt.999999999.part").exists()
        False
    """
    start = f".{path.name}."
    for draft in path.parent.glob(f"{glob.escape(start)}*.part*"):
        number = draft.name.removeprefix(start).partition(".")[0]
        if number.isdecimal() and not _is_running(int(number)):
            draft.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return process != os.getpid()


MAX_BYTES = 256 * 2**20
"""Larger files are refused before they are read, unless the reader has a limit of its own."""
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_bytes(path: Path, *, limit: int = MAX_BYTES, first: int | None = None) -> bytes:
    r"""Read a regular file.

    Args:
        path: The file, or a link to it.
        limit: Size in bytes above which the file is refused.
        first: Number of bytes to read; None reads the whole file.

    Raises:
        DataError: For a missing file, a folder, a pipe, a device, a loop of links, or a file above the limit.

    Example:
        >>> read_bytes(Path("a.jpg"), first=2)
        b'\xff\xd8'
    """
    try:
        _require_regular(os.stat(path), path, limit if first is None else None)
        # The file may be replaced after the check: the open does not wait for a writer, and the read is bounded.
        with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | _NO_WAIT)) as file:
            status = os.fstat(file.fileno())
            _require_regular(status, path, limit if first is None else None)
            parts, left = [], status.st_size + 1 if first is None else first
            while left > 0 and (part := file.read(left)):
                parts.append(part)
                left -= len(part)
            return b"".join(parts)
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def describe_kind(mode: int) -> str:
    """Describe what a path is that is no regular file.

    Example:
        >>> describe_kind(os.stat(".").st_mode)
        'a folder'
    """
    return "a folder" if stat.S_ISDIR(mode) else "a pipe, a device or a socket"


def _require_regular(status: os.stat_result, path: Path, limit: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: cannot be read: it is {describe_kind(status.st_mode)}; expected a file")
    if limit is not None and status.st_size > limit:
        raise DataError(f"{path}: cannot be read: it has {plural(status.st_size, 'byte')}; expected at most {limit:,}")


MAX_JSON_BYTES = 64 * 1024**2


def read_json(path: Path) -> Any:
    """Read a JSON file of bounded size with finite numbers that fit into 64 bits and no key twice in an object.

    Raises:
        OSError: When it cannot be read.
        ValueError: When it is something else; the message has no name of the file.

    Example:
        >>> read_json(Path("runs/m/manifest.json"))["format"]
        2
    """
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{plural(path.stat().st_size, 'byte')}, expected at most {MAX_JSON_BYTES:,}")
    return parse_json(path.read_bytes())


def parse_json(content: str | bytes) -> Any:
    """Parse JSON with the bounds of `read_json`.

    Raises:
        ValueError: As `read_json`.

    Example:
        >>> parse_json('{"a": 1e999}')
        Traceback (most recent call last):
        ValueError: the number 1e999, expected a finite one that fits into 64 bits
    """
    text = content if isinstance(content, str) else content.decode("utf-8")
    try:
        return json.loads(
            text,
            parse_constant=_refuse_number,
            parse_float=_read_float,
            parse_int=_read_integer,
            object_pairs_hook=_read_object,
        )
    except RecursionError:
        raise ValueError("nested too deep") from None


def _refuse_number(text: str) -> Any:
    raise ValueError(f"the number {text[:40]}, expected a finite one that fits into 64 bits")


def _read_float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _read_integer(text: str) -> int:
    return int(text) if len(text) <= 20 and -(2**63) <= int(text) < 2**64 else _refuse_number(text)


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(mapping := dict(pairs)) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in mapping if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!r} is given twice")
    return mapping


@contextmanager
def hold_lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock between processes, which ends with the process. The file exists while the lock is held.

    Args:
        path: An empty file, created here. Links are not followed, and a file with content is not touched.
        wait: Wait until another process releases the lock.

    Raises:
        BlockingIOError: When another process holds it and `wait` is false.
        WriteError: When the file cannot be created, or is another one than a lock.

    Example:
        >>> with hold_lock(Path("x.lock"), wait=False):
        ...     Path("x.lock").exists()
        True
        >>> Path("x.lock").exists()
        False
    """
    handle = _acquire(path, wait=wait)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is released: a process that waits finds it unlinked and starts again
        os.close(handle)


def _acquire(path: Path, *, wait: bool) -> int:
    """Lock the file at `path` and return its open handle."""
    import fcntl  # POSIX only, as this package

    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise WriteError(f"{path}: cannot be locked ({error.strerror}); grant write access, or move it") from None
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_size:
                raise WriteError(f"{path}: is no lock of passerby, which is an empty file; move it")
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(status, path.lstat()):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # another process has removed the file before this one had locked it


def cache_folder() -> Path:
    """Return the folder for generated data: `$PASSERBY_CACHE`, or `passerby` in the user's cache folder.

    A user without a home folder, as in a container, has `passerby-UID` in the folder for temporary files.

    Raises:
        WriteError: When that folder belongs to another user.

    Example:
        >>> cache_folder().is_absolute()
        True
    """
    import platformdirs

    override = os.environ.get("PASSERBY_CACHE")
    if override:
        return expand_home(override)
    if has_home() or os.environ.get("XDG_CACHE_HOME"):
        return platformdirs.user_cache_path("passerby", appauthor=False)
    folder = Path(tempfile.gettempdir()) / f"passerby-{os.getuid()}"
    with suppress(OSError):  # it exists, or cannot be written, which is reported where it is used
        folder.mkdir(mode=0o700)
    if os.path.lexists(folder) and not _is_private_folder(folder.lstat()):
        raise WriteError(f"{folder}: is not a private folder of this user; set PASSERBY_CACHE to one, or set HOME")
    return folder


def _is_private_folder(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def has_home() -> bool:
    """Return whether the user has a home folder: `$HOME`, or an entry in the list of users."""
    return os.path.isabs(os.path.expanduser("~"))


def expand_home(path: str | Path) -> Path:
    """Replace `~` and `~user` at the start of a path by the home folder.

    Raises:
        DataError: When there is none.

    Example:
        >>> expand_home("people").name
        'people'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise DataError(f"{path}: ~ has no home folder here; give the whole path") from None


def make_private(path: Path) -> None:
    """Make an empty file that only its owner can read, unless it exists; for files that contain people's data.

    Errors are left to the program that opens the file.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def sync_file(path: Path) -> None:
    """Make the content of a file durable that another library wrote."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make a rename durable. Windows cannot open a folder and makes renames durable by itself."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
