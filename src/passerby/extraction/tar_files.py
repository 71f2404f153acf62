"""Tar files in WebDataset's layout: members of one name belong together, such as `000123.jpg` and `000123.json`."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, Any

from passerby.data.formats import SUFFIXES
from passerby.errors import DataError, GalleryError, explain
from passerby.extraction.file_systems import ObjectStoreError, is_address, open_stream
from passerby.extraction.items import Item, SourceOptions, read_tar_item
from passerby.files import MAX_BYTES, MAX_JSON_BYTES, parse_json
from passerby.gallery.sightings import to_source
from passerby.text import plural

Failure = tuple[str, str]
"""(source, reason) of a member, or of the file, that cannot be read."""


def read_tar(path: str, options: SourceOptions) -> Iterator[Item | Failure]:
    """Yield the images of a tar file in the order of its members, and the failures.

    Args:
        path: The file, here or in an object store.
        options: Values for all images.

    Yields:
        Items with their content; a `.json` member of the same name describes the image: `camera`, `time`, `label`,
        and other values, which become attributes. A damaged file yields what precedes the damage, and then a failure.

    Raises:
        ObjectStoreError: If the store of the file does not send it.
    """
    source = path.partition("?")[0] if is_address(path) else to_source(path)
    try:
        with _open(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            group: dict[str, bytes] = {}
            stem = ""
            for member in tar:
                name = PurePosixPath(member.name)
                if not member.isreg() or name.name.startswith("."):
                    continue
                base, suffix = str(name.parent / name.name.partition(".")[0]), name.suffix.lower()
                if base != stem:
                    yield from _read_group(source, group, options)
                    group, stem = {}, base
                if suffix in SUFFIXES or suffix == ".json":
                    if member.size > (MAX_JSON_BYTES if suffix == ".json" else MAX_BYTES):
                        yield (
                            f"{source}::{member.name}",
                            f"{plural(member.size, 'byte')}; an image has at most {MAX_BYTES:,}",
                        )
                        continue
                    content = tar.extractfile(member)
                    group[member.name] = b"" if content is None else content.read()
            yield from _read_group(source, group, options)
    except ObjectStoreError:
        raise
    except (tarfile.TarError, OSError, EOFError, DataError) as error:
        yield source, f"{source}: not a whole tar file ({explain(error)}); what precedes the damage is embedded"


def _read_group(source: str, group: dict[str, bytes], options: SourceOptions) -> Iterator[Item | Failure]:
    """Yield the images of one name."""
    described: Any = None
    for name, content in group.items():
        if name.lower().endswith(".json"):
            try:
                described = parse_json(content)
            except ValueError as error:
                yield f"{source}::{name}", f"{source}::{name}: cannot be read as JSON ({explain(error)})"
                return
    for name, content in group.items():
        if not name.lower().endswith(".json"):
            try:
                yield read_tar_item(content, f"{source}::{name}", described, options)
            except GalleryError as error:
                yield f"{source}::{name}", str(error)


@contextmanager
def _open(path: str) -> Iterator[IO[bytes]]:
    if is_address(path):
        with open_stream(path) as stream:
            yield stream
    else:
        with open(path, "rb") as file:
            yield file
