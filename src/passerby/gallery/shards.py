"""Shards: Parquet files with the vectors of crops, written by `passerby embed` and read into galleries.

A row is a crop: its id and metadata, and its vector as float32, float16, or int8 with a scale. The metadata of the file
contain what the vectors depend on, so that vectors of one model are not read among those of another.

N rows   D embedding width
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.lib
import pyarrow.parquet as pq

from passerby.errors import GalleryError, explain
from passerby.files import parse_json
from passerby.gallery.card import GalleryModel
from passerby.gallery.sightings import SightingInfo, check_metadata, make_sighting_id
from passerby.text import plural
from passerby.types import FloatArray, Result

SHARD_KEY = b"passerby.shard"
"""Metadata key of what the vectors depend on."""
SHARD_FORMAT = 1
Numbers = Literal["fp32", "fp16", "int8"]
"""Number type of stored vectors."""
_INFO = {
    "id": pa.string(),
    "source": pa.string(),
    "camera": pa.string(),
    "time": pa.float64(),
    "label": pa.string(),
    "attributes": pa.string(),
}
_ERRORS = {**_INFO, "reason": pa.string()}
_TYPES = {"fp32": pa.float32(), "fp16": pa.float16(), "int8": pa.int8()}


@dataclass(frozen=True)
class ShardModel(Result):
    """What the vectors of a shard depend on.

    Attributes:
        model: The model; its source is the name that was given for it.
        flip: Whether each vector is the mean with that of the mirror image.
        numbers: Number type of the stored vectors: `fp32`, `fp16` or `int8`.

    Raises:
        GalleryError: For a number type that is unknown.
    """

    model: GalleryModel
    flip: bool
    numbers: Numbers

    def __post_init__(self) -> None:
        if self.numbers not in get_args(Numbers):
            raise GalleryError(f"numbers: got {self.numbers!r}, expected one of {', '.join(get_args(Numbers))}")

    def to_json(self) -> str:
        """Serialize to one line of JSON."""
        return json.dumps({"format": SHARD_FORMAT, **self.to_dict()}, sort_keys=True)

    @classmethod
    def from_json(cls, text: bytes | str) -> ShardModel:
        """Parse the output of `to_json`.

        Raises:
            ValueError: If it is something else.
        """
        tree = parse_json(text)
        if not isinstance(tree, Mapping) or tree.get("format") != SHARD_FORMAT:
            raise ValueError(f"expected format {SHARD_FORMAT} of a shard")
        try:
            return cls(GalleryModel.from_dict(tree["model"]), bool(tree["flip"]), tree["numbers"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"the description of its model is incomplete ({explain(error)})") from None


@dataclass(frozen=True)
class Shard:
    """Content of one shard.

    Attributes:
        info: Id and metadata of N crops.
        vectors: (N, D) float32 of unit length.
        model: What the vectors depend on.
    """

    info: Sequence[SightingInfo]
    vectors: FloatArray
    model: ShardModel


def make_shard(crops: Sequence[SightingInfo], vectors: FloatArray, model: ShardModel) -> bytes:
    """Serialize the vectors of crops to Parquet; the same input gives the same bytes.

    Args:
        crops: Metadata of N crops; the id is computed from source, camera and time.
        vectors: (N, D) float32 of unit length.
        model: What the vectors depend on.

    Returns:
        Content of the file.
    """
    columns: dict[str, pa.Array] = _info_columns(crops)
    width = model.model.dimension
    scale = np.ones(len(vectors), np.float32)
    values: Any = vectors
    if model.numbers == "int8":
        scale = np.maximum(np.abs(vectors).max(axis=1), 1e-12).astype(np.float32) / np.float32(127)
        values = np.rint(vectors / scale[:, None]).astype(np.int8)
        columns["scale"] = pa.array(scale, pa.float32())
    elif model.numbers == "fp16":
        values = vectors.astype(np.float16)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), _TYPES[model.numbers])
    columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, width)
    table = pa.table(columns).replace_schema_metadata({SHARD_KEY: model.to_json().encode()})
    return _to_bytes(table)


def make_errors(crops: Sequence[SightingInfo], reasons: Sequence[str]) -> bytes:
    """Serialize crops that could not be read, and why, to Parquet."""
    return _to_bytes(pa.table({**_info_columns(crops), "reason": pa.array(reasons, pa.string())}))


def _info_columns(crops: Sequence[SightingInfo]) -> dict[str, pa.Array]:
    rows = [
        (
            make_sighting_id(crop.source, crop.camera, crop.time),
            crop.source,
            crop.camera,
            crop.time,
            crop.label,
            json.dumps(dict(crop.attributes), sort_keys=True) if crop.attributes else None,
        )
        for crop in crops
    ]
    return {name: pa.array([row[i] for row in rows], kind) for i, (name, kind) in enumerate(_INFO.items())}


def _to_bytes(table: pa.Table) -> bytes:
    content = BytesIO()
    pq.write_table(table, content, compression="zstd")
    return content.getvalue()


def read_shard_model(path: Path) -> ShardModel:
    """Read what the vectors of a shard depend on.

    Raises:
        GalleryError: If the file is no shard.
    """
    return _open(path)[1]


def read_shard(path: Path) -> Shard:
    """Read a shard.

    Returns:
        Its crops, with vectors as float32 of unit length again.

    Raises:
        GalleryError: If the file is no shard, or a row is damaged.
    """
    file, model = _open(path)
    try:
        table = file.read()
        width = model.model.dimension
        names = [*_INFO, "vector", *(["scale"] if model.numbers == "int8" else [])]
        missing = [name for name in names if name not in table.column_names]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        kind = table.schema.field("vector").type
        if kind != pa.list_(_TYPES[model.numbers], width):
            raise ValueError(f"vectors of type {kind}, expected {width} numbers of {_TYPES[model.numbers]}")
        table = table.combine_chunks()
        column = table.column("vector")
        if column.null_count or len(column) != table.num_rows:
            raise ValueError(f"{column.null_count} rows without a vector")
        flat = np.concatenate([np.asarray(chunk.flatten()) for chunk in column.chunks]) if len(column) else np.empty(0)
        vectors = np.asarray(flat, np.float32).reshape(-1, width)
        if len(vectors) != table.num_rows:
            raise ValueError(f"{plural(len(vectors), 'vector')} for {plural(table.num_rows, 'row')}")
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise ValueError("a vector without length, or with a value that is not finite")
        info = [_to_info(row, f"row {number}") for number, row in enumerate(_info_rows(table), start=1)]
    except (pyarrow.lib.ArrowException, OSError, ValueError, TypeError) as error:
        raise _damaged(path, error) from None
    return Shard(info, vectors / lengths, model)


def _info_rows(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.select([*_INFO]).to_pylist()
    return rows


def _to_info(row: Mapping[str, Any], name: str) -> SightingInfo:
    attributes = {} if row["attributes"] is None else parse_json(row["attributes"])
    info = SightingInfo(**{**row, "attributes": attributes})
    check_metadata(info, name)
    if not info.id:
        raise ValueError(f"{name}: no id")
    return info


def read_ids(path: Path) -> list[str]:
    """Read the ids of a shard.

    Raises:
        GalleryError: If the file is no shard.
    """
    return [str(name) for name in _read_table(path, ["id"]).column("id").to_pylist()]


def leave_out(path: Path, ids: Collection[str]) -> bytes:
    """Return the content of a shard without the rows of some ids; its metadata stay.

    Raises:
        GalleryError: If the file is no shard.
    """
    table, left_out = _read_table(path), {*ids}
    kept = pa.array([name not in left_out for name in table.column("id").to_pylist()], pa.bool_())
    return _to_bytes(table.filter(kept))


def read_errors(path: Path) -> list[tuple[str, str]]:
    """Read (source, reason) of the crops in a table of errors.

    Raises:
        GalleryError: If the file is no such table.
    """
    try:
        table = pq.read_table(path, columns=["source", "reason"])
        return [(row["source"], row["reason"]) for row in table.to_pylist()]
    except (pyarrow.lib.ArrowException, OSError, KeyError) as error:
        raise GalleryError(
            f"{path}: not a table of errors ({explain(error)}); delete it and its shard, and run again"
        ) from None


def count_rows(path: Path) -> int:
    """Count the rows of a Parquet file from its footer.

    Raises:
        GalleryError: If it is no whole Parquet file.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pyarrow.lib.ArrowException, OSError) as error:
        raise GalleryError(
            f"{path}: not a whole Parquet file ({explain(error)}); delete the files of this number in shards/ and "
            "errors/, and run again"
        ) from None


def _read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read columns of a shard, "id" among them; None is all.

    Raises:
        GalleryError: If the file is no shard, or a column cannot be read.
    """
    file, _ = _open(path)
    try:
        table = file.read(columns)
        if "id" not in table.column_names:
            raise ValueError("no column id")
    except (pyarrow.lib.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from None
    return table


def _damaged(path: Path, error: Exception) -> GalleryError:
    return GalleryError(f"{path}: not a whole shard ({explain(error)}); delete it: `passerby embed` computes it again")


def _open(path: Path) -> tuple[pq.ParquetFile, ShardModel]:
    try:
        file = pq.ParquetFile(path)
        return file, ShardModel.from_json((file.schema_arrow.metadata or {})[SHARD_KEY])
    except KeyError:
        raise GalleryError(f"{path}: a Parquet file, but not a shard of `passerby embed`") from None
    except (pyarrow.lib.ArrowException, OSError, ValueError) as error:
        raise GalleryError(
            f"{path}: cannot be read as a shard ({explain(error)}); delete it: `passerby embed` computes it again"
        ) from None
