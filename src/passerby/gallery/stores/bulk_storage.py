"""Storage that a server reads files from: a folder on this machine, or a folder of an object store."""

from __future__ import annotations

import os
import re
import textwrap
import uuid
from pathlib import Path

import pyarrow.fs
import pyarrow.lib
import pyarrow.parquet as pq

from passerby.claims import is_alive, machine_name
from passerby.errors import GalleryError, argument, explain


class BulkStorage:
    """A folder with the files of one gallery: `passerby-GALLERY-MACHINE-PROCESS-NUMBER.parquet`.

    Args:
        root: Path of a folder, or an address of PyArrow, such as
            `s3://bucket/folder?endpoint_override=localhost:9000&scheme=http`.
        gallery: Name of the gallery.
        path: Path of the folder as the server names it; None is the absolute path of a folder on this machine, and the
            path in the bucket.

    Raises:
        GalleryError: If it is no folder that can be listed.
    """

    def __init__(self, root: str | Path, gallery: str, path: str | None = None) -> None:
        self.root, self._start = str(root), f"passerby-{gallery}-"
        expected = (
            "expected a folder, or an address such as s3://bucket/folder, that exists and that the server reads files "
            "from"
        )
        if not self.root:
            raise GalleryError(f"{argument('bulk')}: got an empty text; {expected}")
        try:
            if "://" in self.root:
                self._files, self._folder = pyarrow.fs.FileSystem.from_uri(self.root)
            else:
                self._files, self._folder = pyarrow.fs.LocalFileSystem(), str(Path(self.root).absolute())
            bucket, _, key = self._folder.partition("/")
            self._is_local = self._files.type_name == "local"
            if not self._is_local and self._files.get_file_info(bucket).type == pyarrow.fs.FileType.NotFound:
                raise FileNotFoundError(f"no bucket {bucket}")
            self._path = (self._folder if self._is_local else key) if path is None else path.rstrip("/")
            self._list()
        except (OSError, ValueError, pyarrow.lib.ArrowException) as error:
            raise GalleryError(
                f"{argument('bulk')}: {self.root}: cannot be listed ({_one_line(error)}); {expected}"
            ) from None

    def _list(self) -> list[str]:
        allow = not self._is_local  # a folder of an object store without a file does not exist
        infos = self._files.get_file_info(pyarrow.fs.FileSelector(self._folder, allow_not_found=allow))
        return sorted(info.base_name for info in infos)

    def write(self, table: pyarrow.Table) -> str:
        """Write a table to a new file and return its name.

        Raises:
            GalleryError: If it cannot be written; nothing is left of it then.
        """
        name = f"{self._start}{machine_name()}-{os.getpid()}-{uuid.uuid4().hex}.parquet"
        try:
            with self._files.open_output_stream(f"{self._folder}/{name}") as file:
                pq.write_table(table, file)
        except (OSError, pyarrow.lib.ArrowException) as error:
            self.delete([name])
            raise GalleryError(
                f"{argument('bulk')}: {self.root}: cannot be written ({_one_line(error)}); expected a folder with free "
                "space that this user may write to; then repeat the command, which adds what is missing"
            ) from None
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
            path = f"{self._folder}/{name}"
            try:
                self._files.delete_file(path)
            except FileNotFoundError:
                continue
            except (OSError, pyarrow.lib.ArrowException) as error:
                # PyArrow writes a marker of the folder after the deletion, which a user may not be allowed to
                if not self._is_gone(path):
                    raise GalleryError(
                        f"{argument('bulk')}: {self.root}: {name} cannot be deleted ({_one_line(error)}); delete it: "
                        "it contains vectors of people"
                    ) from None

    def _is_gone(self, path: str) -> bool:
        try:
            return bool(self._files.get_file_info(path).type == pyarrow.fs.FileType.NotFound)
        except (OSError, pyarrow.lib.ArrowException):
            return False

    def find_leftovers(self) -> tuple[list[str], list[str]]:
        """Return the files of ended processes of this machine, and those of other machines."""
        ended, foreign = [], []
        for name in self._list():
            parts = re.fullmatch(rf"{re.escape(self._start)}([0-9a-f]{{8}})-([0-9]+)-[0-9a-f]{{32}}\.parquet", name)
            if parts is None:
                continue
            if parts[1] != machine_name():
                foreign.append(name)
            elif not is_alive(int(parts[2])):
                ended.append(name)
        return ended, foreign


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return explain(error)
    return textwrap.shorten(str(error), 300, placeholder=" ...")  # the reason of an object store is at the end
