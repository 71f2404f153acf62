"""Files on this machine and in object stores (`s3://`, `gs://` and other addresses), through PyArrow's file systems.

PyArrow reads the credentials from the environment, as each store's own tools do. An address with a password inside is
refused, because addresses are written into shards. A request that fails is repeated. A missing file is the fault of the
file (`DataError`), any other failure can be that of the store (`ObjectStoreError`).
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit, urlunsplit

import pyarrow.fs
import pyarrow.lib

from passerby.errors import DataError
from passerby.files import MAX_BYTES
from passerby.text import plural

RETRY_WAITS = (2.0, 8.0)
"""Seconds between the tries of a request. In each try PyArrow's client of S3 repeats the request for 6 s, and for 100 s
if the store accepts connections and sends nothing."""
_BLOCK = 8 * 2**20
"""Bytes of a request for a part of a large file."""
_GCS_LIMIT, _GCS_SECONDS = "retry_limit_seconds", 6
"""PyArrow's client of Google's store repeats a request for 15 minutes, unless the address has a limit."""
_OF_PYARROW = ("s3", "gs", "gcs", "hdfs", "viewfs")
"""Schemes of PyArrow's own file systems, whose errors name the fault better than those of fsspec."""
_Answer = TypeVar("_Answer")


class ObjectStoreError(DataError):
    """A request that an object store does not answer, or refuses, after several tries."""


def is_address(text: str) -> bool:
    """Return whether a text is an address with a scheme, such as `s3://bucket/folder`.

    Example:
        >>> is_address("s3://bucket/a.jpg"), is_address("crops/a.jpg")
        (True, False)
    """
    return "://" in text


def open_address(address: str) -> tuple[Any, str]:
    """Return the PyArrow file system of an address and the path inside.

    Args:
        address: Such as `s3://bucket/folder?endpoint_override=http://127.0.0.1:9000&scheme=http`, or an address of a
            scheme of fsspec, where fsspec is installed.

    Raises:
        DataError: For a scheme of neither, an address that cannot be used, or one with a password.
    """
    parts = urlsplit(address)
    if parts.username or parts.password:
        raise DataError(
            f"{_without_user(parts)}: an address with a user or a password; give credentials by the environment, such "
            "as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    root, inside = _open_root(
        urlunsplit((parts.scheme, parts.netloc, "/" if not parts.netloc else "", parts.query, ""))
    )
    path = parts.path.lstrip("/") if parts.netloc else parts.path
    if not parts.netloc or not inside:
        return root, path
    return root, f"{inside.rstrip('/')}/{path}" if path else inside  # the root of some is "/"


def _without_user(parts: SplitResult) -> str:
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@lru_cache(maxsize=32)
def _open_root(root: str) -> tuple[Any, str]:
    """Open a store once: its client has connections and threads."""
    if root.startswith(("gs:", "gcs:")) and _GCS_LIMIT not in root:
        root += f"{'&' if '?' in root else '?'}{_GCS_LIMIT}={_GCS_SECONDS}"
    try:
        file_system, inside = pyarrow.fs.FileSystem.from_uri(root)
        return file_system, inside
    except (pyarrow.lib.ArrowException, ValueError, OSError) as error:
        reason = _first_line(error)
    return _open_fsspec(root, reason)


def _open_fsspec(root: str, reason: str) -> tuple[Any, str]:
    """Open the root of a store by fsspec.

    Args:
        root: Address of the root.
        reason: Why PyArrow has no file system for it.

    Raises:
        DataError: If fsspec has none either, or it cannot be opened.
    """
    scheme, failure, advice = urlsplit(root).scheme, None, ""
    try:
        import fsspec
    except ImportError:
        advice = ": pip install fsspec"
    else:
        with _quiet_destructors():
            try:
                if _has_scheme(fsspec, scheme):
                    file_system, inside = fsspec.url_to_fs(urlunsplit(urlsplit(root)._replace(query="")))
                    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(file_system)), inside
            except ImportError as error:
                failure = f"({_first_line(error)}); install it with pip"
            except Exception as error:  # of the libraries of fsspec
                failure = f"({_first_line(error)}); check the address and the network"
    if failure is not None and scheme not in _OF_PYARROW:
        raise DataError(f"{root}: cannot be opened by fsspec {failure}")
    raise DataError(
        f"{root}: no file system for this address ({reason}); expected a path, s3://, gs:// or hdfs://, or a scheme of "
        f"fsspec{advice}"
    )


def _has_scheme(fsspec: Any, scheme: str) -> bool:
    try:
        fsspec.get_filesystem_class(scheme)
    except ValueError:
        return False
    return True


@contextmanager
def _quiet_destructors() -> Iterator[None]:
    """Leave out what Python prints when the destructor of a half-made object of another library fails."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = hook


def _request(address: str, ask: Callable[[Any, str], _Answer], *, waits: tuple[float, ...] | None = None) -> _Answer:
    """Ask a file system for a path, several times if it fails.

    Args:
        address: Address.
        ask: Function of the file system and the path.
        waits: Seconds between the tries; None is `RETRY_WAITS`.

    Raises:
        DataError: If the file is missing, or the address cannot be used.
        ObjectStoreError: If all tries fail.
    """
    file_system, path = open_address(address)
    for wait in (*(RETRY_WAITS if waits is None else waits), None):
        try:
            return ask(file_system, path)
        except DataError:
            raise
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError) as error:
            raise DataError(f"{address}: cannot be read ({_first_line(error)})") from None
        except Exception as error:  # file systems of fsspec raise the exceptions of their libraries
            if wait is None:
                raise ObjectStoreError(f"{address}: cannot be read ({_first_line(error)})") from None
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def read_address(address: str, *, waits: tuple[float, ...] | None = None) -> bytes:
    """Read a file of a store.

    Args:
        address: Address.
        waits: Seconds between the tries; None is `RETRY_WAITS`.

    Raises:
        DataError: If it is missing, or larger than an image may be; the message names the address.
        ObjectStoreError: If the store does not send it.
    """

    def read(file_system: Any, path: str) -> bytes:
        with file_system.open_input_file(path) as file:
            size = file.size()
            if size > MAX_BYTES:
                raise DataError(f"{address}: {size:,} bytes; expected at most {MAX_BYTES:,}")
            return _require_bytes(file.read(), size)

    return _request(address, read, waits=waits)


def require_answer(error: ObjectStoreError, address: str, others: Iterable[str]) -> None:
    """Return if the fault is that of one file: its store answers for another one.

    Args:
        error: Error of the file.
        address: Address of the file.
        others: Addresses of other files; those in another store do not count.

    Raises:
        ObjectStoreError: If the store neither sends any of them nor reports that it is missing; there is one try.
    """
    store = urlsplit(address)
    for other in others:
        parts = urlsplit(other)
        if other == address or (parts.scheme, parts.netloc, parts.query) != (store.scheme, store.netloc, store.query):
            continue
        try:
            read_address(other, waits=())
        except ObjectStoreError:
            continue
        except DataError:
            return
        return
    raise ObjectStoreError(
        f"{error}. The store answers for no other file either: check the network and the credentials, which may have "
        "expired"
    ) from None


def _require_bytes(content: Any, size: int) -> bytes:
    """Raise OSError for fewer bytes than a file has: a connection that ended."""
    if len(content) != size:
        raise OSError(f"{len(content):,} of {plural(size, 'byte')}")
    return bytes(content)


class _StoreFile(io.RawIOBase):
    """A file of a store, read in order; a part that cannot be read is requested again.

    Raises:
        DataError: If it is missing.
        ObjectStoreError: While reading, if the store does not send a part.
    """

    def __init__(self, address: str) -> None:
        self._address, self._place = address, 0
        described = stat_address(address)
        if described is None:
            raise DataError(f"{address}: no such file")
        self._size = described[0]

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read up to `len(buffer)` bytes."""
        count = min(len(buffer), self._size - self._place)

        def read(file_system: Any, path: str) -> bytes:
            with file_system.open_input_file(path) as file:
                return _require_bytes(file.read_at(count, self._place), count)

        if count:
            buffer[:count] = _request(self._address, read)
        self._place += count
        return count


def open_stream(address: str) -> io.BufferedReader:
    """Open a file of a store to be read in order, `_BLOCK` bytes for a request; see `_StoreFile`."""
    return io.BufferedReader(_StoreFile(address), _BLOCK)


def stat_address(address: str) -> tuple[int, int] | None:
    """Return the bytes of a file of a store and its time of modification in ns; None if it is missing.

    Raises:
        ObjectStoreError: If the store cannot be reached.
    """
    (info,) = _request(address, lambda file_system, path: file_system.get_file_info([path]))
    return (int(info.size), int(info.mtime_ns or 0)) if info.type == pyarrow.fs.FileType.File else None


def list_addresses(address: str) -> list[tuple[str, int]]:
    """List (address, bytes) of the files below a folder of a store, in the order of their names.

    Raises:
        DataError: If the folder cannot be listed.
    """
    file_system, path = open_address(address)
    try:
        infos = file_system.get_file_info(pyarrow.fs.FileSelector(path, recursive=True))
    except Exception as error:  # file systems of fsspec raise the exceptions of their libraries
        raise DataError(
            f"{address}: cannot be listed ({_first_line(error)}); check the address, the network and the credentials"
        ) from None
    parts = urlsplit(address)
    files = []
    for info in infos:
        if info.type == pyarrow.fs.FileType.File:
            inside = info.path.removeprefix(path).lstrip("/")
            name = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{inside}"))
            files.append((name, int(info.size or 0)))
    return sorted(files)


def _first_line(error: Exception) -> str:
    """Return the first line of a library's error; some repeat their text at length after it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(".:")
