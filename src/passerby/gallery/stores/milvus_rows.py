"""Conversion of sightings and filters to entities and expressions of Milvus, which has no null; schemas."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient

from passerby.errors import GalleryError, argument
from passerby.gallery.filters import Filter
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.proposals import Candidates
from passerby.text import plural

INFO_FIELDS = ["id", "camera", "timed", "time", "label", "source", "quality", "attributes", "enrolled"]
"""Fields of the metadata."""
WHOLE_FIELDS = [*INFO_FIELDS, "vector", "crop"]
HNSW = {"metric_type": "COSINE", "index_type": "HNSW", "params": {"M": 16, "efConstruction": 200}}
_TEXT_LENGTHS = {"id": 256, "camera": 1024, "label": 1024, "source": 8192, "crop": 65_535}  # bytes
_NONE = 'id == ""'


def make_sightings_schema(dimension: int, description: str) -> Any:
    """Make the schema of sightings. `timed` is false where the time is unknown, and an unknown label is empty."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False, description=description)
    for name, length in _TEXT_LENGTHS.items():
        schema.add_field(name, DataType.VARCHAR, max_length=length, is_primary=name == "id")
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    schema.add_field("timed", DataType.BOOL)
    for name in ("time", "quality", "enrolled"):
        schema.add_field(name, DataType.DOUBLE)
    schema.add_field("attributes", DataType.JSON)
    return schema


def make_audit_schema() -> Any:
    """Make the schema of the audit log. A collection needs a vector field, which is constant here."""
    schema = MilvusClient.create_schema(auto_id=True, enable_dynamic_field=False)
    schema.add_field("number", DataType.INT64, is_primary=True)
    schema.add_field("time", DataType.DOUBLE)
    for name in ("user", "action"):
        schema.add_field(name, DataType.VARCHAR, max_length=1024)
    schema.add_field("counts", DataType.JSON)
    schema.add_field("nothing", DataType.FLOAT_VECTOR, dim=2)
    return schema


def make_index(field: str, **settings: Any) -> Any:
    """Make the parameters of a vector field's index."""
    parameters = MilvusClient.prepare_index_params()
    parameters.add_index(field, **settings)
    return parameters


def to_entity(sighting: Sighting, crop: bytes | None, *, now: float) -> dict[str, Any]:
    """Convert a sighting with its encoded crop to an entity.

    Raises:
        GalleryError: For a text or a crop that exceeds the server's limits.
    """
    entity: dict[str, Any] = {
        "id": sighting.id,
        "camera": sighting.camera,
        "label": sighting.label or "",
        "source": sighting.source,
        "crop": base64.b64encode(crop or b"").decode(),
        "vector": sighting.vector,
        "timed": sighting.time is not None,
        "time": sighting.time or 0.0,
        "quality": -1.0 if sighting.quality is None else sighting.quality,
        "enrolled": now if sighting.enrolled is None else sighting.enrolled,
        "attributes": dict(sighting.attributes),
    }
    for name, limit in _TEXT_LENGTHS.items():
        size = len(entity[name].encode())
        if size > limit:
            raise GalleryError(
                f"sighting {sighting.source[:200] or sighting.id}: {name} takes {plural(size, 'byte')}, a Milvus "
                f"server stores at most {limit:,}; use {argument('keep', 'thumbnails')}, or a gallery in a folder"
            )
    return entity


def to_info(entity: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an entity to the arguments of `SightingInfo`."""
    attributes = entity["attributes"]
    return {
        "id": entity["id"],
        "camera": entity["camera"],
        "time": entity["time"] if entity["timed"] else None,
        "label": entity["label"] or None,
        "source": entity["source"],
        "quality": None if entity["quality"] < 0 else entity["quality"],
        "attributes": json.loads(attributes) if isinstance(attributes, str | bytes) else attributes,
        "enrolled": entity["enrolled"],
    }


def to_sighting(entity: Mapping[str, Any]) -> Sighting:
    """Convert an entity to a sighting, without a crop if the field was not read."""
    crop = base64.b64decode(entity.get("crop", "")) or None
    return Sighting.restore(vector=np.asarray(entity["vector"], np.float32), crop=crop, **to_info(entity))


def to_candidates(entities: Sequence[Mapping[str, Any]], dimension: int) -> Candidates:
    """Convert entities with their vectors to candidates."""
    ids = [entity["id"] for entity in entities]
    vectors = np.array([entity["vector"] for entity in entities], np.float32).reshape(-1, dimension)
    cameras = [entity["camera"] for entity in entities]
    return Candidates(keys=ids, ids=ids, cameras=cameras, vectors=vectors, records=entities, to_info=to_info)


def to_expression(where: Filter) -> str:
    """Convert a filter to an expression of the server; empty without conditions."""
    parts = []
    for field, chosen in (("camera", where.cameras), ("label", where.labels), ("id", where.ids)):
        if chosen is not None:
            parts.append(f"{field} in {_quote_list(chosen)}" if chosen else _NONE)
    if where.sources is not None:  # the files, or items in them: texts that begin with FILE::
        inside = [f"(source >= {quote(f'{s}::')} and source < {quote(f'{s}:;')})" for s in where.sources]
        parts.append(f"({' or '.join([f'source in {_quote_list(where.sources)}', *inside])})" if inside else _NONE)
    if where.not_cameras:
        parts.append(f"camera not in {_quote_list(where.not_cameras)}")
    if where.labeled:
        parts.append('label != ""')
    if where.since is not None or where.until is not None:
        parts.append("timed == true")
    bounds = (("time >= ", where.since), ("time < ", where.until), ("enrolled < ", where.enrolled_before))
    parts += [f"{text}{float(bound)!r}" for text, bound in bounds if bound is not None]
    return " and ".join(parts)


def _quote_list(values: Sequence[str]) -> str:
    return f"[{', '.join(map(quote, values))}]"


def quote(text: str) -> str:
    """Convert a text to a string literal of the server's expressions, escaping everything that could end it."""
    return json.dumps(text, ensure_ascii=False)
