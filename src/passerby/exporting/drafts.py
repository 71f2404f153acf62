"""Drafts of files in a hidden folder beside them; a complete file gets its name by a rename.

The folder has a name of its own, and is locked while its process lives. It is removed at the end, also after an error.
What a killed process has left is not locked; the next export to the same name removes it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from passerby.errors import WriteError


@contextmanager
def open_drafts(target: Path) -> Iterator[Path]:
    """Make a folder for the drafts of a file, beside it, for the time of the block.

    Args:
        target: The file that will be written. Its folder is made, and removed again if it stays empty.

    Raises:
        WriteError: When the folder cannot be written.

    Example:
        >>> with open_drafts(Path("m.onnx")) as folder:
        ...     folder.name.startswith(".m.onnx."), folder.parent == Path()
        (True, True)
        >>> folder.exists()
        False
    """
    made = [parent for parent in (target.parent, *target.parent.parents) if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        folder, handle = _make_locked(target)
    except OSError as error:
        raise _explain(target, error) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)
        for parent in made:
            with suppress(OSError):  # not empty
                parent.rmdir()


def publish(folder: Path, files: Sequence[Path]) -> None:
    """Give the drafts of the same names in `folder` their final names, all or none.

    Args:
        folder: Folder of `open_drafts`.
        files: Final names; the last is the one that readers look for.

    Raises:
        WriteError: When one cannot be written; none is there then.
    """
    placed: list[Path] = []
    try:
        for file in files:
            with (folder / file.name).open("rb") as draft:
                os.fsync(draft.fileno())
        for file in files:
            os.replace(folder / file.name, file)
            placed.append(file)
    except OSError as error:
        for file in placed:
            file.unlink(missing_ok=True)
        raise _explain(files[-1], error) from None


def _make_locked(target: Path) -> tuple[Path, int]:
    """Make the folder and lock it; return it with the handle that holds the lock."""
    import fcntl  # POSIX only, as this package

    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", suffix=".draft", dir=target.parent))
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if folder.exists():  # another process may have taken it for an abandoned one before it was locked
            return folder, handle
        os.close(handle)


def _remove_abandoned(target: Path) -> None:
    """Remove the folders of processes that have ended."""
    import fcntl

    start = f".{target.name[:100]}."
    for folder in target.parent.iterdir():
        if not (folder.name.startswith(start) and folder.name.endswith(".draft")):
            continue
        with suppress(OSError):  # locked, or removed meanwhile
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def _explain(target: Path, error: OSError) -> WriteError:
    return WriteError(f"{target}: not saved ({error.strerror or error}). Free disk space or grant write access")
