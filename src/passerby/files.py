"""Write files completely or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from passerby.errors import WriteError


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file completely or not at all: a reader, now or after a power cut, finds the old or the new content.

    Args:
        path: The file. Its folder is made.
        data: The whole content.

    Raises:
        WriteError: When the disk is full or the folder cannot be written; the old content is intact.

    Example:
        >>> write_atomic(Path("notes.txt"), b"one line")
        >>> Path("notes.txt").read_bytes()
        b'one line'
    """
    write_all_atomic({path: data})


def write_all_atomic(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together: none is replaced before all are on the disk.

    Args:
        contents: The whole content of each file.

    Raises:
        WriteError: As `write_atomic`.
    """
    drafts: dict[Path, Path] = {}
    path = next(iter(contents))
    try:
        for path, data in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            drafts[path] = path.with_name(f".{path.name}.{os.getpid()}.part")
            with drafts[path].open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, draft in drafts.items():
            os.replace(draft, path)
        for folder in {path.parent for path in contents}:
            _sync_folder(folder)
    except OSError as error:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
        reason = error.strerror or error
        raise WriteError(
            f"{path}: not saved ({reason}); the old content is intact. Free disk space or grant write access"
        ) from None


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


def _sync_folder(folder: Path) -> None:
    """Make a rename durable. Windows cannot open a folder and makes renames durable by itself."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
