"""Checks of the folders and files that a call will write, before any work."""

from __future__ import annotations

import os
from pathlib import Path

from passerby.errors import WriteError


def require_folder(path: Path) -> None:
    """Check that a folder is at this path, or can be made there, and may be written.

    Raises:
        WriteError: When the path, or one above it, is something else, or there is no write access.

    Example:
        >>> require_folder(Path("runs/new"))
        >>> require_folder(Path("a.jpg/new"))
        Traceback (most recent call last):
        passerby.errors.WriteError: a.jpg/new: cannot be created (a.jpg is no folder); name another folder
    """
    place = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not place.is_dir():
        raise WriteError(f"{path}: cannot be created ({place} is no folder); name another folder")
    if not os.access(place, os.W_OK):
        raise WriteError(f"{path}: cannot be written (no write access to {place}); grant it, or name another folder")


def require_file(path: Path) -> None:
    """Check that a file can be made at this path, or replaced there.

    Raises:
        WriteError: When the path is a folder, and as `require_folder` for the folder that it is in.

    Example:
        >>> require_file(Path("runs/new/result.json"))
    """
    if path.is_dir():
        raise WriteError(f"{path}: is a folder, expected a file; add a name to it")
    require_folder(path.parent)
