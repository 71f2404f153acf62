"""Files on this machine and in object stores (`s3://`, `gs://` and other addresses), through PyArrow's file systems.

PyArrow reads the credentials from the environment, as each store's own tools do. An address with a password inside is
refused, because addresses are written into shards.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

import pyarrow.fs
import pyarrow.lib

from passerby.errors import DataError, explain
from passerby.files import MAX_BYTES


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
    return root, "/".join(part for part in (inside.rstrip("/"), path) if part) if parts.netloc else path


def _without_user(parts: SplitResult) -> str:
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@lru_cache(maxsize=32)
def _open_root(root: str) -> tuple[Any, str]:
    """Open a store once: its client has connections and threads."""
    try:
        file_system, inside = pyarrow.fs.FileSystem.from_uri(root)
    except (pyarrow.lib.ArrowException, ValueError, OSError) as error:
        handler = _open_fsspec(urlsplit(root).scheme)
        if handler is None:
            raise DataError(
                f"{root}: no file system for this address ({explain(error)}); expected a path, s3://, gs:// or "
                "hdfs://, or a "
                "scheme of fsspec: pip install fsspec"
            ) from None
        return handler, urlsplit(root).netloc
    return file_system, inside


def _open_fsspec(scheme: str) -> Any:
    try:
        import fsspec

        return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fsspec.filesystem(scheme)))
    except (ImportError, ValueError):  # not installed, or an unknown scheme, or its package is not installed
        return None


def read_address(address: str) -> bytes:
    """Read a file of a store.

    Raises:
        DataError: If it cannot be read, or is larger than an image may be; the message names the address.
    """
    file_system, path = open_address(address)
    try:
        with file_system.open_input_file(path) as file:
            size = file.size()
            if size > MAX_BYTES:
                raise DataError(f"{address}: {size:,} bytes; expected at most {MAX_BYTES:,}")
            return bytes(file.read())
    except DataError:
        raise
    except (pyarrow.lib.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{address}: cannot be read ({_first_line(error)})") from None


def stat_address(address: str) -> tuple[int, int] | None:
    """Return the bytes of a file of a store and its time of modification in ns; None if it is missing.

    Raises:
        DataError: If the store cannot be reached.
    """
    file_system, path = open_address(address)
    try:
        (info,) = file_system.get_file_info([path])
    except (pyarrow.lib.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{address}: cannot be read ({_first_line(error)})") from None
    return (int(info.size), int(info.mtime_ns or 0)) if info.type == pyarrow.fs.FileType.File else None


def list_addresses(address: str) -> list[tuple[str, int]]:
    """List (address, bytes) of the files below a folder of a store, in the order of their names.

    Raises:
        DataError: If the folder cannot be listed.
    """
    file_system, path = open_address(address)
    try:
        infos = file_system.get_file_info(pyarrow.fs.FileSelector(path, recursive=True))
    except (pyarrow.lib.ArrowException, OSError, ValueError) as error:
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
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
