"""Looking into folders, in the same order on every machine, and saying what was found where something else belongs."""

from __future__ import annotations

import os
import re
from pathlib import Path

from passerby.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})


def contents(folder: Path, *, show: int = 8) -> str:
    """The first names in a folder, as error messages list them; folders end in a slash."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name + "/" * entry.is_dir() for entry in entries if not entry.name.startswith("."))
    if not names:
        return "nothing"
    return ", ".join(names[:show]) + (f" and {len(names) - show} more" if len(names) > show else "")


def require_folder(folder: Path, *, name: str, expected: str) -> Path:
    """`folder` itself, when it is one. Raises DataError that says what `name` expects and what is there instead."""
    if folder.is_dir():
        return folder
    if folder.exists():
        raise DataError(f"{name}: {folder} is a file; expected a folder: {expected}")
    above = folder.parent
    while not above.is_dir() and above != above.parent:
        above = above.parent
    raise DataError(f"{name}: no folder {folder}; expected {expected}. {above} holds {contents(above)}")


def image_files(folder: Path) -> list[Path]:
    """The image files directly in a folder, by suffix, sorted by name; hidden files are not looked at."""
    with os.scandir(folder) as entries:
        names = sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES
        )
    return [folder / name for name in names]


def subfolders(folder: Path) -> list[Path]:
    """The folders directly in a folder, in natural order (2 before 10); hidden ones are not looked at."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    return [folder / name for name in sorted(names, key=natural_key)]


def natural_key(text: str) -> list[tuple[str, int, str]]:
    """Sort key in which digits count as numbers: cam2 before cam10. 1 and 01 are told apart."""
    return [(word, int(number or 0), number) for word, number in re.findall(r"([^0-9]*)([0-9]*)", text)]
