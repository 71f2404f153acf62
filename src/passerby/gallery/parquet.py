"""Export of a gallery to a Parquet file and import from it, to move a gallery to another store.

A row is a sighting: its metadata, the vector as a list of float32, the crop as it is stored. The metadata of the file
contains the gallery's card, so that vectors of one model are not imported among those of another.
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

from passerby.errors import GalleryError, NoGalleryError
from passerby.gallery.card import GalleryCard
from passerby.gallery.filters import EVERYTHING, Filter
from passerby.gallery.results import EnrollResult
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery
from passerby.gallery.stores.protocol import GalleryStore
from passerby.progress import ProgressOption, open_progress

CARD_KEY = b"passerby.gallery"
"""Metadata key of the card."""
_INFO = {
    "id": pa.string(),
    "camera": pa.string(),
    "time": pa.float64(),
    "label": pa.string(),
    "source": pa.string(),
    "quality": pa.float64(),
    "attributes": pa.string(),
    "enrolled": pa.float64(),
}
_BATCH = 1000


def export_gallery(
    store: GalleryStore, path: str | Path, *, where: Filter = EVERYTHING, progress: ProgressOption = False
) -> int:
    """Write sightings to a Parquet file, completely or not at all.

    Args:
        store: Store of the gallery.
        path: File to write; an existing file is not replaced.
        where: Sightings to write.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        Number of sightings written.

    Raises:
        GalleryError: If the name does not end in .parquet, or the file exists or cannot be written.

    Example:
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     export_gallery(gallery.store, "empty.parquet")
        0
    """
    target = Path(path)
    if target.suffix.lower() != ".parquet":
        raise GalleryError(f"{target}: an export is a Parquet file; name it .parquet")
    exists = GalleryError(f"{target}: the file exists; name another file, or move it")
    if target.exists():
        raise exists
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    schema = pa.schema(
        [*_INFO.items(), ("vector", pa.list_(pa.float32(), store.card.model.dimension)), ("crop", pa.binary())],
        metadata={CARD_KEY: store.card.to_json().encode()},
    )
    total, written = store.count(where), 0
    try:
        with open_progress(progress) as report, draft.open("wb") as file, pq.ParquetWriter(file, schema) as writer:
            for sightings in store.walk(where, batch=_BATCH):
                writer.write_batch(_to_batch(sightings, schema))
                written += len(sightings)
                report("export", written, max(total, written))
        publish(draft, target)
    except FileExistsError:
        raise exists from None
    except OSError as error:
        reason = error.strerror or error
        raise GalleryError(f"{target}: not written ({reason}); free disk space or grant write access") from None
    finally:
        draft.unlink(missing_ok=True)
    store.log("export", sightings=written)
    return written


def publish(draft: Path, target: Path) -> None:
    """Make a written file durable and link it to its name, unless that exists.

    Raises:
        FileExistsError: If the name exists. A rename would replace what another process has written meanwhile.
    """
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    os.link(draft, target)


def read_card(path: str | Path) -> GalleryCard:
    """Read the card of the gallery from which a file was exported.

    Raises:
        GalleryError: If the file is not an exported gallery.
    """
    return GalleryCard.from_json(open_export(Path(path)).schema_arrow.metadata[CARD_KEY].decode(), str(path))


def import_gallery(where: str | Path, path: str | Path, *, progress: ProgressOption = False) -> EnrollResult:
    """Add the sightings of an exported file to a gallery, which is made with the file's settings if it does not exist.

    Args:
        where: Folder, or `milvus://host:port/name`.
        path: File that `export_gallery` wrote.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        Numbers of sightings added and of those that were present.

    Raises:
        GalleryError: As `import_sightings`, or if the gallery cannot be opened.

    Example:
        >>> with passerby.Gallery("ours", model="runs/m") as gallery:
        ...     gallery.export("ours.parquet")
        0
        >>> import_gallery("copy", "ours.parquet")
        EnrollResult(new=0, known=0, unreadable=0)
    """
    card = read_card(path)
    try:
        store = open_gallery(where)
    except NoGalleryError:
        store = open_gallery(where, model=card.model, keep=card.keep, retention=card.retention)
    try:
        return import_sightings(store, path, progress=progress)
    finally:
        store.close()


def import_sightings(store: GalleryStore, path: str | Path, *, progress: ProgressOption = False) -> EnrollResult:
    """Add the sightings of an exported file to a store. A call that was interrupted can be repeated.

    Crops are stored by the receiving gallery's settings; its retention counts from the original enrollment.

    Args:
        store: Store of the receiving gallery.
        path: File that `export_gallery` wrote.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        Numbers of sightings added and of those that were present.

    Raises:
        GalleryError: If the file contains another model's vectors, or is not an exported gallery.

    Example:
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     _ = gallery.export("copied.parquet")
        ...     import_sightings(gallery.store, "copied.parquet")
        EnrollResult(new=0, known=0, unreadable=0)
    """
    source = Path(path)
    card, file = read_card(source), open_export(source)
    if not card.model.same_vectors(store.card.model):
        raise GalleryError(
            f"{source}: contains vectors of {card.model}, the gallery those of {store.card.model}; distances between "
            "them have no meaning. Import it into a gallery of its own model"
        )
    new = known = done = 0
    with open_progress(progress) as report:
        for batch in file.iter_batches(batch_size=_BATCH):
            added = store.add([*_to_sightings(batch)])
            new, known, done = new + len(added.new), known + len(added.known), done + len(batch)
            report("import", done, file.metadata.num_rows)
    store.log("import", sightings=new, known=known)
    return EnrollResult(new, known)


def open_export(path: Path) -> pq.ParquetFile:
    """Open an exported file.

    Raises:
        GalleryError: If it is not an exported gallery.
    """
    try:
        file = pq.ParquetFile(path)
        if CARD_KEY not in (file.schema_arrow.metadata or {}):
            raise GalleryError(
                f"{path}: a Parquet file, but not an exported gallery; make one with `passerby gallery export`"
            )
    except (pyarrow.lib.ArrowException, OSError) as error:
        raise GalleryError(f"{path}: cannot be read as an exported gallery ({error})") from None
    return file


def _to_batch(sightings: list[Sighting], schema: pa.Schema) -> pa.RecordBatch:
    rows = [sighting.info for sighting in sightings]
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in _INFO}
    columns["attributes"] = [json.dumps(dict(attributes), sort_keys=True) for attributes in columns["attributes"]]
    arrays = [pa.array(columns[name], kind) for name, kind in _INFO.items()]
    stacked = pa.array(np.concatenate([sighting.vector for sighting in sightings]), pa.float32())
    vectors = pa.FixedSizeListArray.from_arrays(stacked, len(sightings[0].vector))
    crops = pa.array([sighting.crop for sighting in sightings], pa.binary())
    return pa.RecordBatch.from_arrays([*arrays, vectors, crops], schema=schema)


def _to_sightings(batch: pa.RecordBatch) -> Iterator[Sighting]:
    vectors = batch.column("vector").flatten().to_numpy().reshape(len(batch), -1)
    for vector, row in zip(vectors, batch.drop_columns(["vector"]).to_pylist(), strict=True):
        yield Sighting(vector=vector, **{**row, "attributes": json.loads(row["attributes"])})
