"""Images to embed, from any source, in parts of a fixed size.

A source is a folder, an image, a table, a data set, a folder of an object store, or tar files in WebDataset's layout.
The list of a source is written once, when a job begins, so that all processes embed the same parts; the members of a
tar file are listed when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.lib
import pyarrow.parquet as pq

from passerby.data.datasets import DATASETS
from passerby.data.formats import is_image_file
from passerby.data.images import Pixels, decode_image, read_image, resize_image
from passerby.data.records import parse_timestamp, read_records, read_text_columns
from passerby.errors import DataError, GalleryError, argument, explain, pass_argument
from passerby.extraction.file_systems import is_address, list_addresses, read_address
from passerby.files import expand_home, read_bytes
from passerby.gallery.crops import COLUMNS, Crop, Folders, list_crops, list_data_crops
from passerby.gallery.sightings import SightingInfo, check_metadata
from passerby.text import plural
from passerby.types import DISTRACTOR, Sample

_SCHEMA = pa.schema(
    {
        "source": pa.string(),
        "camera": pa.string(),
        "time": pa.float64(),
        "label": pa.string(),
        "attributes": pa.string(),
        "path": pa.string(),
        "key": pa.string(),
        "bytes": pa.int64(),
    }
)


@dataclass(frozen=True)
class Item:
    """One image to embed.

    Attributes:
        info: Source, camera, time, label and attributes.
        path: File, or address in an object store.
        key: Part of the file: a cell of a data set's container, or a box; None is the whole file.
        size: Bytes of the file when it was listed; None is not compared.
        content: The encoded image, if it is read already: a member of a tar file.
    """

    info: SightingInfo
    path: str
    key: str | None = None
    size: int | None = None
    content: bytes | None = None

    def read(self, shape: tuple[int, int]) -> Pixels:
        """Decode and resize the image to (H, W, 3) uint8 RGB, `shape` = (H, W).

        Raises:
            DataError: If it cannot be read, or its size differs from that in the list; the message names it.
        """
        if self.key is not None:
            return read_image(Sample(Path(self.path), DISTRACTOR, 0, key=self.key), size=shape)
        content = self.content
        if content is None:
            content = read_address(self.path) if is_address(self.path) else read_bytes(Path(self.path))
        if self.size is not None and len(content) != self.size:
            raise DataError(
                f"{self.path}: {plural(len(content), 'byte')}, {self.size:,} when the job began; the file has "
                f"changed. Embed "
                "it in a new job"
            )
        return resize_image(decode_image(content, self.info.source), shape)


@dataclass(frozen=True)
class SourceOptions:
    """How the images of a source are described, where the source does not do so itself.

    Attributes:
        camera: Camera of all images.
        time: Time of all images, seconds since 1970 UTC.
        label: Label of all images.
        folders: Meaning of the folders inside a folder; see `list_crops`.
        split: Split of a data set: `train`, `query` or `gallery`.

    Example:
        >>> SourceOptions(camera="north").common()
        {'camera': 'north', 'time': None, 'label': None}
    """

    camera: str | None = None
    time: float | None = None
    label: str | None = None
    folders: Folders | None = None
    split: str | None = None

    def common(self) -> dict[str, Any]:
        """Values for all images."""
        return {"camera": self.camera, "time": self.time, "label": self.label}


def find_tars(source: str, options: SourceOptions) -> list[str]:
    """Return the tar files of a source in the order of their names; empty for another kind of source.

    Args:
        source: A `.tar` file, or a folder, here or in an object store, with `.tar` files and no images.
        options: Values for all images.

    Raises:
        GalleryError: If a folder has `.tar` files and images, or for options that do not fit.
        DataError: If a folder of an object store cannot be listed.
    """
    if _is_tar(source):
        names = [source]
    elif is_address(source):
        names = [name for name, _ in list_addresses(source)]
    else:
        names = [os.path.join(folder, name) for folder, _, files in os.walk(expand_home(source)) for name in files]
    tars = [name if is_address(name) else str(expand_home(name).resolve()) for name in names if _is_tar(name)]
    images = [name for name in names if is_image_file(name.partition("?")[0])] if tars else []
    if images:
        raise GalleryError(
            f"{source}: {plural(len(tars), '.tar file')} and {plural(len(images), 'image')}, such as {images[0]}; "
            "expected one of both. Embed each in a job of its own"
        )
    if tars:
        _refuse(source, "a source of tar files", options, "folders", "split")
    return sorted(tars)


def _is_tar(name: str) -> bool:
    return name.partition("?")[0].lower().endswith(".tar") if is_address(name) else name.lower().endswith(".tar")


def list_items(source: str, options: SourceOptions) -> list[Item]:
    """List the images of a source that has no tar files.

    Raises:
        GalleryError: As `list_crops` and `list_data_crops`, or for options that do not fit the source.
        DataError: If the source is missing or cannot be read.
    """
    name = source.partition(":")[0]
    if is_address(source):
        return _list_store(source, options)
    if ":" in source and (name in DATASETS or not expand_home(source).exists()):
        if name in DATASETS:
            _refuse(source, "a data set", options, "camera", "time", "label", "folders")
        with pass_argument("data", of="source"):
            crops = list_data_crops(source, **({} if options.split is None else {"split": options.split}))  # type: ignore[arg-type]
        return [_from_crop(crop) for crop in crops]
    _refuse(source, "no data set", options, "split")
    path = expand_home(source)
    if path.suffix.lower() in (".csv", ".parquet") and path.is_file() and options.folders is None:
        columns, records = read_records(path)
        if any(is_address(str(record.get("path") or "")) for record in records):
            return _list_addresses_of_table(path, columns, records, options)
    return [_from_crop(crop) for crop in list_crops(path, **options.common(), folders=options.folders)]


def _refuse(source: str, kind: str, options: SourceOptions, *names: str) -> None:
    given = [argument(name) for name in names if getattr(options, name) is not None]
    if given:
        raise GalleryError(f"{source}: {', '.join(given)} cannot be used: it is {kind}")


def _from_crop(crop: Crop) -> Item:
    info = SightingInfo(
        camera=crop.camera, time=crop.time, label=crop.label, source=crop.source, attributes=crop.attributes
    )
    if isinstance(crop.image, Sample):
        key, path = crop.image.key, crop.image.path
    else:
        key, path = None, crop.image
    size = path.stat().st_size if key is None and path.is_file() else None
    return Item(info, str(path.resolve()), key, size)


def _list_store(source: str, options: SourceOptions) -> list[Item]:
    _refuse(source, "a folder of an object store", options, "split", "folders")
    items = []
    for name, size in list_addresses(source):
        plain = name.partition("?")[0]
        if Path(plain).suffix and is_image_file(plain):
            items.append(Item(_describe({"source": plain, **options.common()}, plain), name, size=size))
    if not items:
        raise GalleryError(f"{source}: no image in it, by the suffixes of the names")
    return items


def _list_addresses_of_table(
    table: Path, columns: Sequence[str], records: Iterable[dict[str, Any]], options: SourceOptions
) -> list[Item]:
    """List a table whose column `path` holds addresses."""
    items = []
    for number, record in enumerate(records, start=1):
        row = f"{table}: row {number}"
        try:
            text = read_text_columns(record, columns, ids=("camera", "label"))
            values = {**options.common(), **{name: text[name] for name in ("camera", "label") if text.get(name)}}
            if text.get("time"):
                values["time"] = parse_timestamp(record["time"])
        except (ValueError, OverflowError) as error:
            raise GalleryError(f"{row}: {error}") from None
        address = text["path"]
        if not is_address(address):
            raise GalleryError(f"{row}: path {address!r}; expected an address as in the other rows")
        attributes = {name: text[name] for name in columns if name not in COLUMNS and text[name]}
        info = _describe({**values, "source": address.partition("?")[0], "attributes": attributes}, row)
        items.append(Item(info, address))
    return items


def _describe(values: Mapping[str, Any], name: str) -> SightingInfo:
    """Make the metadata of an item.

    Raises:
        GalleryError: If there is no camera, or a value cannot be stored.
    """
    if values.get("camera") is None:
        raise GalleryError(
            f"{name}: no camera; give one camera for all, or a column or a .json member that contains it"
        )
    info = SightingInfo(**values)
    check_metadata(info, name)
    return info


def read_tar_item(content: bytes, name: str, description: object, options: SourceOptions) -> Item:
    """Make the item of an image in a tar file.

    Args:
        content: The encoded image.
        name: `TAR::MEMBER`.
        description: Content of the JSON member of the same name: camera, time, label and others; None without one.
        options: Values for all images.

    Raises:
        GalleryError: If there is no camera, or a value cannot be stored.
    """
    values: dict[str, Any] = {**options.common(), "source": name}
    if description is not None:
        if not isinstance(description, Mapping):
            raise GalleryError(f"{name}: its .json member is no object")
        values |= {key: description[key] for key in ("camera", "time", "label") if description.get(key) is not None}
        for key in ("camera", "label"):
            values[key] = None if values.get(key) is None else str(values[key])
        if values["time"] is not None:
            values["time"] = _parse_time(values["time"], name)
        known = ("camera", "time", "label")
        values["attributes"] = {str(key): value for key, value in description.items() if key not in known}
    return Item(_describe(values, name), name, content=content)


def _parse_time(value: Any, name: str) -> float:
    try:
        return parse_timestamp(value)
    except (ValueError, OverflowError, TypeError) as error:
        raise GalleryError(f"{name}: {error}") from None


def fingerprint_items(items: Sequence[Item]) -> str:
    """Compute the fingerprint of a list: sources, parts of files, metadata and sizes, in order; hexadecimal."""
    digest = hashlib.sha256()
    for item in items:
        info = item.info
        values = [info.source, item.key, info.camera, info.time, info.label, dict(info.attributes), item.size]
        digest.update(json.dumps(values, sort_keys=True).encode())
    return digest.hexdigest()


def write_items(items: Sequence[Item], *, part: int) -> bytes:
    """Serialize a list to Parquet, one row group for each part of `part` items."""
    rows = [
        {
            **{name: getattr(item.info, name) for name in ("source", "camera", "time", "label")},
            "attributes": json.dumps(dict(item.info.attributes), sort_keys=True) if item.info.attributes else None,
            "path": item.path,
            "key": item.key,
            "bytes": item.size,
        }
        for item in items
    ]
    content = BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), content, row_group_size=part, compression="zstd")
    return content.getvalue()


def read_items(path: Path, number: int) -> Iterator[Item]:
    """Read one part of a list.

    Raises:
        GalleryError: If the file is damaged.
    """
    try:
        rows = pq.ParquetFile(path).read_row_group(number).to_pylist()
    except (pyarrow.lib.ArrowException, OSError) as error:
        raise GalleryError(
            f"{path}: cannot be read ({explain(error)}); begin the job again in another folder"
        ) from None
    for row in rows:
        attributes = {} if row["attributes"] is None else json.loads(row["attributes"])
        info = SightingInfo(
            camera=row["camera"], time=row["time"], label=row["label"], source=row["source"], attributes=attributes
        )
        yield Item(info, row["path"], row["key"], row["bytes"])


def without_content(item: Item) -> Item:
    """Return the item without its encoded image, whose memory is then free."""
    return replace(item, content=None)
