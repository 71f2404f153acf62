"""A gallery as one Parquet file, to move it from one store to another.

A row is a sighting: the facts, the vector as a list of float32, the picture as it was kept. The gallery's card stands
in the file's own metadata, so that a file of one model is not imported among another's vectors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.lib
import pyarrow.parquet as pq

from passerby.errors import GalleryError
from passerby.gallery.card import GalleryCard
from passerby.gallery.sightings import EVERYTHING, Filter, Sighting, facts
from passerby.gallery.stores.protocol import GalleryStore
from passerby.progress import ProgressOption, open_progress

CARD = b"passerby.gallery"
"""The metadata's key under which the card stands."""
_FACTS = {
    "id": pa.string(),
    "camera": pa.string(),
    "time": pa.float64(),
    "label": pa.string(),
    "source": pa.string(),
    "quality": pa.float64(),
    "attributes": pa.string(),
    "enrolled": pa.float64(),
}
_ROWS = 1000


def export_gallery(
    store: GalleryStore, path: str | Path, *, where: Filter = EVERYTHING, progress: ProgressOption = False
) -> int:
    """Write sightings into a Parquet file, whole or not at all.

    Args:
        store: The gallery.
        path: The file; one that is there is not replaced.
        where: Which sightings.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        How many were written.

    Raises:
        GalleryError: When the file is there, or cannot be written.
    """
    target = Path(path)
    if target.exists():
        raise GalleryError(f"{target}: is there already; name another file, or move it")
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    schema = pa.schema(
        [*_FACTS.items(), ("vector", pa.list_(pa.float32(), store.card.model.dimension)), ("picture", pa.binary())],
        metadata={CARD: store.card.to_json().encode()},
    )
    total, written = store.count(where), 0
    try:
        with open_progress(progress) as report, draft.open("wb") as raw, pq.ParquetWriter(raw, schema) as writer:
            for rows in store.walk(where, batch=_ROWS):
                writer.write_batch(_to_batch(rows, schema))
                written += len(rows)
                report("export", written, max(total, written))
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        os.link(draft, target)  # unlike a rename, it never replaces what another process has written meanwhile
    except FileExistsError:
        raise GalleryError(f"{target}: is there already; name another file, or move it") from None
    except OSError as error:
        raise GalleryError(f"{target}: not written ({error.strerror or error}); free space or rights there") from None
    finally:
        draft.unlink(missing_ok=True)
    store.log("export", sightings=written)
    return written


def read_card(path: str | Path) -> GalleryCard:
    """Whose vectors an exported file holds, and the settings of the gallery that it came from.

    Raises:
        GalleryError: When it is no exported gallery.
    """
    return GalleryCard.from_json(_opened(Path(path)).schema_arrow.metadata[CARD].decode(), str(path))


def import_gallery(store: GalleryStore, path: str | Path, *, progress: ProgressOption = False) -> tuple[int, int]:
    """Add the sightings of an exported file; cut off, the same call goes on, for what is there stays as it is.

    Pictures are kept as the receiving gallery keeps them, and its retention counts from the first enrollment.

    Args:
        store: The receiving gallery.
        path: What `export_gallery` wrote.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        (sightings taken in, sightings that were there before).

    Raises:
        GalleryError: When the file holds another model's vectors, naming both, or is no exported gallery.
    """
    source = Path(path)
    file = _opened(source)
    found = read_card(source)
    if not found.model.same_vectors(store.card.model):
        raise GalleryError(
            f"{source}: holds vectors of {found.model}, the gallery those of {store.card.model}; distances between "
            "them mean nothing. Import it into a gallery of its own model"
        )
    new = known = done = 0
    with open_progress(progress) as report:
        for batch in file.iter_batches(batch_size=_ROWS):
            added = store.add([*_to_sightings(batch)])
            new, known, done = new + len(added.new), known + len(added.known), done + len(batch)
            report("import", done, file.metadata.num_rows)
    store.log("import", sightings=new, known=known)
    return new, known


def _opened(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
        if CARD not in (file.schema_arrow.metadata or {}):
            raise GalleryError(
                f"{path}: a Parquet file, but no exported gallery; make one with `passerby gallery export`"
            )
    except (pyarrow.lib.ArrowException, OSError) as error:
        raise GalleryError(f"{path}: cannot be read as an exported gallery ({error})") from None
    return file


def _to_batch(rows: list[Sighting], schema: pa.Schema) -> pa.RecordBatch:
    columns: dict[str, list[Any]] = {name: [facts(each)[name] for each in rows] for name in _FACTS}
    columns["attributes"] = [json.dumps(dict(each.attributes), sort_keys=True) for each in rows]
    arrays = [pa.array(columns[name], kind) for name, kind in _FACTS.items()]
    stacked = pa.array(np.concatenate([each.vector for each in rows]), pa.float32())
    vectors = pa.FixedSizeListArray.from_arrays(stacked, len(rows[0].vector))
    pictures = pa.array([each.picture for each in rows], pa.binary())
    return pa.RecordBatch.from_arrays([*arrays, vectors, pictures], schema=schema)


def _to_sightings(batch: pa.RecordBatch) -> Iterator[Sighting]:
    vectors = batch.column("vector").flatten().to_numpy().reshape(len(batch), -1)
    for vector, row in zip(vectors, batch.drop_columns(["vector"]).to_pylist(), strict=True):
        yield Sighting(vector=vector, **{**row, "attributes": json.loads(row["attributes"])})
