"""Write files completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
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


def _sync_folder(folder: Path) -> None:
    """Make a rename durable. Windows cannot open a folder and makes renames durable by itself."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
