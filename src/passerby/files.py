"""Writing files whole or not at all, for everyone who saves anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from passerby.errors import TrainingError


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all: who reads it, now or after a power cut, finds the old or the new content.

    Raises:
        TrainingError: When the disk is full or the folder cannot be written; what was there is intact.
    """
    write_all_atomic({path: data})


def write_all_atomic(contents: Mapping[Path, bytes]) -> None:
    """`write_atomic` for files that belong together: none is replaced before all are safely on the disk."""
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
        raise TrainingError(
            f"{path}: not saved ({reason}); what was there is intact. Free space or rights there"
        ) from None


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; systems that cannot open a folder (Windows) do it by themselves."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
