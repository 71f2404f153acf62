"""Storage that a server reads files from: a folder on this machine, or a folder of an object store."""

from __future__ import annotations

import os
import socket
import uuid
import zlib
from pathlib import Path

import pyarrow.fs
import pyarrow.lib
import pyarrow.parquet as pq

from passerby.errors import GalleryError, explain
from passerby.files import is_running


class BulkStorage:
    """A folder with the files of one gallery: `passerby-GALLERY-MACHINE-PROCESS-NUMBER.parquet`.

    Args:
        root: Path of a folder, or an address of PyArrow, such as
            `s3://bucket/folder?endpoint_override=localhost:9000&scheme=http`.
        gallery: Name of the gallery.
        path: Path of the folder as the server names it; None is that of a folder on this machine, and the path in the
            bucket.

    Raises:
        GalleryError: If it is no folder that can be listed.
    """

    def __init__(self, root: str, gallery: str, path: str | None = None) -> None:
        self._root, self._start = root, f"passerby-{gallery}-"
        try:
            if "://" in root:
                self._files, self._folder = pyarrow.fs.FileSystem.from_uri(root)
                own = self._folder.partition("/")[2]
            else:
                self._files, self._folder = pyarrow.fs.LocalFileSystem(), str(Path(root).absolute())
                own = self._folder
            self._path = own if path is None else path.rstrip("/")
            self._list()
        except (OSError, ValueError, pyarrow.lib.ArrowException) as error:
            raise GalleryError(
                f"bulk: {root}: cannot be listed ({explain(error)}); expected the folder, or the address of an object "
                "store, that the server reads files from"
            ) from None

    def _list(self) -> list[str]:
        empty = "://" in self._root  # a folder of an object store without a file does not exist
        infos = self._files.get_file_info(pyarrow.fs.FileSelector(self._folder, allow_not_found=empty))
        return sorted(info.base_name for info in infos if info.base_name.startswith(self._start))

    def write(self, table: pyarrow.Table) -> str:
        """Write a table to a new file and return its name.

        Raises:
            GalleryError: If it cannot be written; nothing is left of it then.
        """
        name = f"{self._start}{_machine()}-{os.getpid()}-{uuid.uuid4().hex}.parquet"
        try:
            with self._files.open_output_stream(f"{self._folder}/{name}") as file:
                pq.write_table(table, file)
        except (OSError, pyarrow.lib.ArrowException) as error:
            self.delete([name])
            raise GalleryError(f"bulk: {self._root}: cannot be written ({explain(error)})") from None
        return name

    def server_path(self, name: str) -> str:
        """Return the path of a file as the server names it."""
        return f"{self._path}/{name}" if self._path else name

    def delete(self, names: list[str]) -> None:
        """Delete files; those that are missing are left out.

        Raises:
            GalleryError: If one cannot be deleted.
        """
        for name in names:
            try:
                self._files.delete_file(f"{self._folder}/{name}")
            except FileNotFoundError:
                continue
            except (OSError, pyarrow.lib.ArrowException) as error:
                raise GalleryError(
                    f"bulk: {self._root}/{name}: cannot be deleted ({explain(error)}); it contains vectors of people"
                ) from None

    def find_leftovers(self) -> tuple[list[str], list[str]]:
        """Return the files of ended processes of this machine, and those of other machines."""
        ended, foreign = [], []
        for name in self._list():
            machine, process = name.removeprefix(self._start).split("-")[:2]
            if machine != _machine():
                foreign.append(name)
            elif int(process) != os.getpid() and not is_running(int(process)):
                ended.append(name)
        return ended, foreign


def _machine() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"
