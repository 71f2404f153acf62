"""New files with people's data: private, whole, and gone if their process is killed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from passerby.files import remove_drafts, sync_folder

_OPEN_FILES = "/proc/self/fd"
"""Folder of the open files of this process, on Linux."""


@contextmanager
def write_new(path: Path) -> Iterator[BinaryIO]:
    """Write a file that only its owner can read, completely or not at all, and never over another one.

    Until it is complete it has no name, so that a process that is killed leaves nothing of it. On a system without such
    files it is the draft `.NAME.PID.part` until then; the next call for the same name deletes those of ended processes.

    Raises:
        FileExistsError: When the name exists, at the start or at the end.
        OSError: When it cannot be written.

    Example:
        >>> with write_new(Path("people.txt")) as file:
        ...     file.write(b"Ada")
        3
        >>> Path("people.txt").read_bytes()
        b'Ada'
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    remove_drafts(path)
    try:
        with _open_nameless(path.parent) or _open_draft(draft) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _give_name(file, draft, path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _open_draft(draft: Path) -> BinaryIO:
    return os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


def _open_nameless(folder: Path) -> BinaryIO | None:
    """Open a file without a name; None on a system without them."""
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir(_OPEN_FILES):
        return None
    try:
        return os.fdopen(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600), "w+b")
    except OSError:
        return None


def _give_name(file: BinaryIO, draft: Path, path: Path) -> None:
    """Link a whole file to its name. A rename would replace what another process has written meanwhile."""
    if draft.exists():
        try:
            os.link(draft, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links: the name is reserved first
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            os.replace(draft, path)
        return
    handle = os.open(_OPEN_FILES, os.O_RDONLY)
    try:  # with a folder's handle, Python follows the link from the number to the file
        os.link(str(file.fileno()), path, src_dir_fd=handle, follow_symlinks=True)
    finally:
        os.close(handle)
