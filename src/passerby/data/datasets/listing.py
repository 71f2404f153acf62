"""Listing of folders, in the same order on all machines, and errors for missing files and folders."""

from __future__ import annotations

import os
import re
from pathlib import Path

from passerby.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})


def contents(folder: Path, *, show: int = 8) -> str:
    """Return the first names in a folder for an error message; folders end in a slash."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name + "/" * entry.is_dir() for entry in entries if not entry.name.startswith("."))
    if not names:
        return "nothing"
    return ", ".join(names[:show]) + (f" and {len(names) - show} more" if len(names) > show else "")


def require_folder(folder: Path, *, name: str, expected: str) -> Path:
    """Return `folder`. Raises DataError with the expected and the actual content if it is no folder."""
    if folder.is_dir():
        return folder
    if folder.exists():
        raise DataError(f"{name}: {folder} is a file; expected a folder: {expected}")
    above = folder.parent
    while not above.is_dir() and above != above.parent:
        above = above.parent
    raise DataError(f"{name}: no folder {folder}; expected {expected}. {above} holds {contents(above)}")


def missing_file(path: Path, *, name: str, expected: str) -> DataError:
    """Return the error for a missing file, with the content of its folder."""
    above = path.parent
    state = f"{above} holds {contents(above)}" if above.is_dir() else f"there is no folder {above}"
    return DataError(f"{name}: no file {path}; expected {expected}; {state}")


def image_files(folder: Path) -> list[Path]:
    """List the image files of a folder, by suffix, sorted by name, without hidden files."""
    with os.scandir(folder) as entries:
        names = sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES
        )
    return [folder / name for name in names]


def subfolders(folder: Path) -> list[Path]:
    """List the folders of a folder in natural order (2 before 10), without hidden folders."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    return [folder / name for name in sorted(names, key=natural_key)]


def natural_key(text: str) -> list[tuple[str, int, str]]:
    """Return a sort key that compares digits as numbers: cam2 before cam10. 1 and 01 differ."""
    return [(word, int(number or 0), number) for word, number in re.findall(r"([^0-9]*)([0-9]*)", text)]
