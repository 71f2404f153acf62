"""Sightings as entities of Milvus: the schema, filters as expressions, and what has no null there."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient

from passerby.errors import GalleryError
from passerby.gallery.sightings import Filter, Sighting

LIGHT = ["id", "camera", "timed", "time", "label", "source", "quality", "attributes", "enrolled"]
"""Fields of the facts."""
WHOLE = [*LIGHT, "vector", "picture"]
SEARCHED = {"metric_type": "COSINE", "index_type": "HNSW", "params": {"M": 16, "efConstruction": 200}}
_TEXT = {"id": 256, "camera": 1024, "label": 1024, "source": 8192, "picture": 65_535}  # bytes
_NOBODY = 'id == ""'


def sightings_schema(dimension: int, description: str) -> Any:
    """Fields of the sightings. The server has no null: `timed` says whether `time` is one, labels are never empty."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False, description=description)
    for name, length in _TEXT.items():
        schema.add_field(name, DataType.VARCHAR, max_length=length, is_primary=name == "id")
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    schema.add_field("timed", DataType.BOOL)
    for name in ("time", "quality", "enrolled"):
        schema.add_field(name, DataType.DOUBLE)
    schema.add_field("attributes", DataType.JSON)
    return schema


def audit_schema() -> Any:
    """Fields of the audit log; a collection must have a vector, this one has a point at the origin."""
    schema = MilvusClient.create_schema(auto_id=True, enable_dynamic_field=False)
    schema.add_field("number", DataType.INT64, is_primary=True)
    schema.add_field("time", DataType.DOUBLE)
    for name in ("who", "what"):
        schema.add_field(name, DataType.VARCHAR, max_length=1024)
    schema.add_field("counts", DataType.JSON)
    schema.add_field("nothing", DataType.FLOAT_VECTOR, dim=2)
    return schema


def index_of(field: str, **settings: Any) -> Any:
    """The index of a vector field."""
    parameters = MilvusClient.prepare_index_params()
    parameters.add_index(field, **settings)
    return parameters


def to_entity(sighting: Sighting, picture: bytes | None, *, now: float) -> dict[str, Any]:
    """What is sent.

    Raises:
        GalleryError: For a text or a picture that is longer than the server takes.
    """
    entity: dict[str, Any] = {
        "id": sighting.id,
        "camera": sighting.camera,
        "label": sighting.label or "",
        "source": sighting.source,
        "picture": base64.b64encode(picture or b"").decode(),
        "vector": sighting.vector,
        "timed": sighting.time is not None,
        "time": sighting.time or 0.0,
        "quality": -1.0 if sighting.quality is None else sighting.quality,
        "enrolled": now if sighting.enrolled is None else sighting.enrolled,
        "attributes": dict(sighting.attributes),
    }
    for name, most in _TEXT.items():
        size = len(entity[name].encode())
        if size > most:
            raise GalleryError(
                f"sighting {sighting.source[:200] or sighting.id}: {name} takes {size:,} bytes, a Milvus server keeps "
                f"at most {most:,}; keep pictures='thumbnails', or use a gallery in a folder"
            )
    return entity


def facts_of(entity: Mapping[str, Any]) -> dict[str, Any]:
    """What an entity says, by the names of `Facts`."""
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
    """The whole sighting."""
    picture = base64.b64decode(entity["picture"]) or None
    return Sighting(vector=np.asarray(entity["vector"], np.float32), picture=picture, **facts_of(entity))


def expression_of(where: Filter) -> str:
    """A filter in the server's words; empty for everything."""
    parts = []
    for field, chosen in (("camera", where.cameras), ("label", where.labels), ("id", where.ids)):
        if chosen is not None:
            parts.append(f"{field} in {_texts(chosen)}" if chosen else _NOBODY)
    if where.sources is not None:  # the files, or places in them: what begins with FILE::
        inside = [f"(source >= {quoted(f'{s}::')} and source < {quoted(f'{s}:;')})" for s in where.sources]
        parts.append(f"({' or '.join([f'source in {_texts(where.sources)}', *inside])})" if inside else _NOBODY)
    if where.not_cameras:
        parts.append(f"camera not in {_texts(where.not_cameras)}")
    if where.labeled:
        parts.append('label != ""')
    if where.since is not None or where.until is not None:
        parts.append("timed == true")
    bounds = (("time >= ", where.since), ("time < ", where.until), ("enrolled < ", where.enrolled_before))
    parts += [f"{text}{float(bound)!r}" for text, bound in bounds if bound is not None]
    return " and ".join(parts)


def _texts(values: Sequence[str]) -> str:
    return f"[{', '.join(map(quoted, values))}]"


def quoted(text: str) -> str:
    """A string literal of the server's expressions, in which nothing of `text` can end it."""
    return json.dumps(text, ensure_ascii=False)
