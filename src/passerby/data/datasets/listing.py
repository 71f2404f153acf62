"""Listing of folders, in the same order on all machines, and errors for missing files and folders."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from passerby.data.formats import is_image_file
from passerby.errors import DataError, explain
from passerby.files import describe_kind, read_bytes

_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})
"""Files that Windows adds to folders of images, in lower case. They are not reported as left out."""


def contents(folder: Path, *, show: int = 8) -> str:
    """Return the first names in a folder for an error message; folders end in a slash."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name + "/" * _is_folder(entry) for entry in entries if not entry.name.startswith("."))
    if not names:
        return "nothing"
    return ", ".join(names[:show]) + (f" and {len(names) - show} more" if len(names) > show else "")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one; a loop of links is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def require_folder(folder: Path, *, name: str, expected: str) -> Path:
    """Return `folder`. Raises DataError with the expected and the actual content if it is no folder."""
    if folder.is_dir():
        return folder
    if folder.exists() or folder.is_symlink():
        kind = "a broken link"
        if folder.exists():
            kind = "a file" if folder.is_file() else describe_kind(folder.stat().st_mode)
        raise DataError(f"{name}: {folder} is {kind}; expected a folder: {expected}")
    above = folder.parent
    if above.is_dir() and (similar := [other for other in subfolders(above) if other.name.lower() == folder.name]):
        raise DataError(f"{name}: no folder {folder}, but {similar[0].name}/; rename it to {folder.name}/")
    raise DataError(f"{name}: no folder {folder}; expected {expected}; {describe_above(folder)}")


def describe_above(path: Path) -> str:
    """Describe the content of the nearest folder above a missing path.

    Example:
        >>> describe_above(Path("crops/nowhere/a.jpg"))
        'crops holds north/, south/'
    """
    above = path.parent
    while not above.is_dir() and above != above.parent:
        above = above.parent
    return f"{_name(above)} holds {contents(above)}"


def missing_file(path: Path, *, name: str, expected: str) -> DataError:
    """Return the error for a path that is no file: what it is, or the content of its folder if it is missing."""
    if path.exists() or path.is_symlink():
        kind = describe_kind(path.stat().st_mode) if path.exists() else "a broken link"
        return DataError(f"{name}: {path} is {kind}; expected a file: {expected}")
    above = path.parent
    state = f"{_name(above)} holds {contents(above)}" if above.is_dir() else f"there is no folder {above}"
    return DataError(f"{name}: no file {path}; expected {expected}; {state}")


def _name(folder: Path) -> str:
    return "the working folder" if folder == Path() else str(folder)


def image_files(folder: Path, *, skipped: list[Path]) -> list[Path]:
    """List the image files of a folder, sorted by name, without hidden files.

    Args:
        folder: The folder.
        skipped: The other files are appended to it, for `count_suffixes`.
    """
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and not _is_folder(entry))
    return _select_images([folder / name for name in names], skipped)


def tree_images(folder: Path, *, skipped: list[Path]) -> list[Path]:
    """List the image files of a folder and its subfolders, sorted by path, without hidden files and folders.

    Links to folders are not followed.

    Args:
        folder: The folder.
        skipped: The other files are appended to it, for `count_suffixes`.
    """
    return _select_images(sorted(_walk(folder)), skipped)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _select_images(paths: Iterable[Path], skipped: list[Path]) -> list[Path]:
    images = []
    for path in paths:
        if is_image_file(path):
            images.append(path)
        elif path.name.lower() not in _SYSTEM_FILES:
            skipped.append(path)
    return images


def count_suffixes(paths: Iterable[Path]) -> str:
    """Count files by suffix for a message, most frequent first.

    Example:
        >>> count_suffixes([Path("a.HEIC"), Path("b.heic"), Path("notes")])
        '2 .heic, 1 without a suffix'
    """
    counts = Counter(os.path.splitext(path)[1].lower() or "without a suffix" for path in paths)
    return ", ".join(
        f"{count:,} {suffix}" for suffix, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def subfolders(folder: Path) -> list[Path]:
    """List the folders of a folder in natural order (2 before 10), without hidden folders."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _is_folder(entry) and not entry.name.startswith(".")]
    return [folder / name for name in sorted(names, key=natural_key)]


def natural_key(text: str) -> list[tuple[str, int, str, str]]:
    """Return a sort key that compares digits as numbers: cam2 before cam10. 1 and 01 differ."""
    parts = re.findall(r"([^0-9]*)(0*)([0-9]*)", text)
    return [(word, len(number), number, zeros + number) for word, zeros, number in parts]


MAX_LIST_BYTES = 256 * 2**20
"""Limit of a list file; the largest of a published data set, of MARS, has 14 MB."""


def read_lines(file: Path) -> list[tuple[int, str]]:
    """Return the lines of a list file that are not empty, with their numbers from 1 and without surrounding space.

    Raises:
        DataError: If the file is missing, too large or not UTF-8.
    """
    try:
        text = read_bytes(file, limit=MAX_LIST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not a text file in UTF-8 ({explain(error)}); copy it again") from None
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
