"""Claims of parts of a job by processes, without a coordinator: shards of vectors, trainings of a grid.

A claim is a file that only one process can create. Its time of change is renewed while the process works; a claim that
was not renewed for `LEASE` seconds, or whose process on this machine has ended, may be taken over. Two processes that
do one part by accident write the same files twice.

Ages are computed by the clock of the file system, so that clocks of machines may differ. A time that is more than
`LEASE` seconds in the future was written before this clock was set back, and has ended, too. Beside the claims are
hidden files that exist for a moment, and stay if their process is killed in it: their names have its machine and
number.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LEASE = 120.0
"""Seconds after which a claim that was not renewed may be taken over."""
_RENEW = 10.0


@contextmanager
def hold_claim(path: Path) -> Iterator[bool]:
    """Claim a part of a job while the block runs; yields whether this process has the claim.

    Args:
        path: The file of the claim; its folder exists.
    """
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "id": uuid.uuid4().hex}
    if not (_create(path, owner) or (_take_over(path) and _create(path, owner))):
        yield False
        return
    stop = threading.Event()
    keeper = threading.Thread(target=_renew, args=(path, stop), daemon=True, name="passerby-claim")
    keeper.start()
    try:
        yield True
    finally:
        stop.set()
        keeper.join()
        path.unlink(missing_ok=True)


def _create(path: Path, owner: dict[str, object]) -> bool:
    """Create the claim with its content at once: a link, which fails if the name exists."""
    draft = _name_hidden(path.parent)
    draft.write_text(json.dumps(owner), encoding="utf-8")
    try:
        os.link(draft, path)
        return True
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)


def _take_over(path: Path) -> bool:
    """Remove a claim whose process has ended; return whether the part is free."""
    try:
        status = path.stat()
        owner = json.loads(path.read_text(encoding="utf-8"))
        ended = owner["host"] == socket.gethostname() and not is_alive(int(owner["pid"]))
    except FileNotFoundError:
        return True
    except (ValueError, KeyError, TypeError):
        ended = False
    if not ended and not is_expired(path.parent, status.st_mtime):
        return False
    stale = _name_hidden(path.parent)
    try:
        if path.stat().st_ino != status.st_ino:
            return False  # another process was faster
        os.rename(path, stale)
    except FileNotFoundError:
        return True
    stale.unlink(missing_ok=True)
    return True


def is_alive(pid: int) -> bool:
    """Return whether a process of this machine has this number; this process counts.

    Example:
        >>> is_alive(os.getpid()), is_alive(999_999_999)
        (True, False)
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def is_expired(folder: Path, changed: float) -> bool:
    """Return whether a time of change in a folder is more than `LEASE` seconds from the file system's clock."""
    probe = _name_hidden(folder)
    probe.touch()
    try:
        return abs(probe.stat().st_mtime - changed) > LEASE
    finally:
        probe.unlink(missing_ok=True)


def remove_leftovers(folder: Path, pattern: str = ".*") -> None:
    """Remove the hidden files of processes that have ended; drafts, and those of another machine, after `LEASE`.

    Args:
        folder: A folder of claims, or of files that are written by a draft, `.NAME.PID.part`.
        pattern: Names of the hidden files.
    """
    for path in folder.glob(pattern):
        machine, _, rest = path.name.removeprefix(".").partition("-")
        number = rest.partition("-")[0]
        try:
            here = machine == machine_name() and number.isdecimal()
            if not is_alive(int(number)) if here else is_expired(folder, path.stat().st_mtime):
                path.unlink()
        except FileNotFoundError:
            continue


def _name_hidden(folder: Path) -> Path:
    return folder / f".{machine_name()}-{os.getpid()}-{uuid.uuid4().hex}"


def machine_name() -> str:
    """Return eight hexadecimal digits for this machine, from its host name, for the names of files."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _renew(path: Path, stop: threading.Event) -> None:
    while not stop.wait(_RENEW):
        with suppress(OSError):  # the next renewal tries again; the lease is twelve times as long
            os.utime(path)
