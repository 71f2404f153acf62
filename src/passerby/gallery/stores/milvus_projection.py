"""Components of a projection on a Milvus server: the collection `name_projection`, an entity for each component.

The description of a collection, which holds the gallery's card, is too small for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient

from passerby.gallery.stores.milvus_connection import MAX_RESULTS
from passerby.gallery.stores.milvus_rows import make_index
from passerby.runtime.projection import Projection
from passerby.types import FloatArray

_STRONG = {"consistency_level": "Strong"}


def write_projection(call: Callable[..., Any], gallery: str, projection: Projection) -> None:
    """Make the collection of a new gallery; repeating the call changes nothing.

    Args:
        call: Calls a method of the server's client; see `MilvusConnection.call`.
        gallery: Name of the gallery's collection.
        projection: The projection.
    """
    name = f"{gallery}_projection"
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("row", DataType.INT64, is_primary=True)
    schema.add_field("component", DataType.FLOAT_VECTOR, dim=projection.width)
    flat = make_index("component", index_type="FLAT", metric_type="L2", params={})
    call("create_collection", name, schema=schema, index_params=flat, **_STRONG)
    call("upsert", name, [{"row": row, "component": part} for row, part in enumerate(projection.components)])


def read_components(call: Callable[..., Any], gallery: str) -> FloatArray | None:
    """Return the (K, D) components of a gallery's projection; None if it has none."""
    name = f"{gallery}_projection"
    if not call("has_collection", name):
        return None
    call("load_collection", name)
    options = {"filter": "row >= 0", "output_fields": ["row", "component"], "limit": MAX_RESULTS}
    rows = sorted(call("query", name, **options, **_STRONG), key=lambda row: row["row"])
    return np.array([row["component"] for row in rows], np.float32) if rows else None
