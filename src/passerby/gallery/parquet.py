"""Export of a gallery to a Parquet file and import from it, to move a gallery to another store.

A row is a sighting: its metadata, the vector as a list of float32, the crop as it is stored. The metadata of the file
contains the gallery's card, so that vectors of one model are not imported among those of another, and the lists of
shards and adapted runs, so that an erasure in the receiving gallery names them.
"""

from __future__ import annotations

import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.lib
import pyarrow.parquet as pq

from passerby.errors import GalleryError, NoGalleryError, explain
from passerby.gallery.adapted_runs import merge_runs
from passerby.gallery.card import GalleryCard
from passerby.gallery.carried_lists import CarriedLists, parse_lists, read_lists
from passerby.gallery.enrolled_shards import add_jobs
from passerby.gallery.filters import EVERYTHING, Filter
from passerby.gallery.new_file import write_new
from passerby.gallery.results import EnrollResult
from passerby.gallery.sightings import Sighting
from passerby.gallery.stored_crops import encode_stored_crop
from passerby.gallery.stores.opening import open_gallery
from passerby.gallery.stores.protocol import GalleryStore
from passerby.progress import ProgressCallback, ProgressOption, open_progress
from passerby.types import FloatArray

logger = logging.getLogger(__name__)

CARD_KEY = b"passerby.gallery"
"""Metadata key of the card."""
PROJECTION_KEY = b"passerby.projection"
"""Metadata key of the components of the model's projection, if it has one: rows of float32 in base64."""
LISTS_KEY = b"passerby.lists"
"""Metadata key of the lists of shards and adapted runs; absent if the gallery has none."""
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
    schema = _make_schema(store.card, _select_lists(store, where))
    total, written = store.count(where), 0
    try:
        with open_progress(progress) as report, write_new(target) as file, pq.ParquetWriter(file, schema) as writer:
            for sightings in store.walk(where, batch=_BATCH):
                writer.write_batch(_to_batch(sightings, schema))
                written += len(sightings)
                report("export", written, max(total, written))
    except FileExistsError:
        raise exists from None
    except OSError as error:
        reason = error.strerror or error
        raise GalleryError(f"{target}: not written ({reason}); free disk space or grant write access") from None
    store.log("export", sightings=written)
    return written


def _select_lists(store: GalleryStore, where: Filter) -> CarriedLists:
    """Return the gallery's lists for the sightings that pass a filter."""
    lists = CarriedLists([], []) if store.folder is None else read_lists(store.folder)
    return lists.among({*store.find_ids(where)} if lists.runs else ())


def _make_schema(card: GalleryCard, lists: CarriedLists | None = None) -> pa.Schema:
    vector = pa.list_(pa.float32(), card.model.dimension)
    metadata = {CARD_KEY: card.to_json().encode()}
    if card.model.projection is not None:
        metadata[PROJECTION_KEY] = b64encode(card.model.projection.components.astype("<f4").tobytes())
    if lists:
        metadata[LISTS_KEY] = lists.to_json().encode()
    return pa.schema([*_INFO.items(), ("vector", vector), ("crop", pa.binary())], metadata=metadata)


def read_card(path: str | Path) -> GalleryCard:
    """Read the card of the gallery from which a file was exported.

    Raises:
        GalleryError: If the file is not an exported gallery.
    """
    schema = open_export(Path(path)).schema_arrow
    return GalleryCard.from_json(
        schema.metadata[CARD_KEY].decode(errors="replace"), str(path), components=_read_components(schema)
    )


def _read_lists(path: Path, schema: pa.Schema) -> CarriedLists:
    """Read the lists of an exported file from its schema.

    Raises:
        GalleryError: If they are damaged.
    """
    text = schema.metadata.get(LISTS_KEY)
    try:
        return CarriedLists([], []) if text is None else parse_lists(text)
    except ValueError as error:
        raise GalleryError(
            f"{path}: its lists of shards and adapted runs cannot be read ({explain(error)}); nothing was imported. "
            "Export it again"
        ) from None


def _read_components(schema: pa.Schema) -> FloatArray | None:
    """Return the components of the model's projection, a row for each number of a vector; None without valid ones."""
    try:
        numbers = np.frombuffer(b64decode(schema.metadata[PROJECTION_KEY], validate=True), "<f4")
        return numbers.reshape(schema.field("vector").type.list_size, -1)
    except (KeyError, ValueError, AttributeError):
        return None


def import_gallery(where: str | Path, path: str | Path, *, progress: ProgressOption = False) -> EnrollResult:
    """Add the sightings of an exported file to a gallery, which is made with the file's settings if it does not exist.

    Args:
        where: Folder, or `milvus://host:port/name`.
        path: File that `export_gallery` wrote.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        Numbers of sightings added and of those that were present.

    Raises:
        GalleryError: As `import_sightings`; a missing gallery is then not made. Also if the gallery cannot be opened.

    Example:
        >>> with passerby.Gallery("ours", model="runs/m") as gallery:
        ...     gallery.export("ours.parquet")
        0
        >>> import_gallery("copy", "ours.parquet")
        EnrollResult(new=0, known=0, unreadable=0)
    """
    source = Path(path)
    card = read_card(source)
    with open_progress(progress) as report:
        file = _validate_export(source, card, report)  # before a gallery is made
        try:
            store = open_gallery(where)
        except NoGalleryError:
            store = open_gallery(
                where,
                model=card.model,
                keep=card.keep,
                retention=card.retention,
                flip=card.flip,
                precision=card.precision,
            )
            for model in card.accepted_models():
                store.accept_model(model)
        try:
            return _add_sightings(store, source, card, file, report, folder=store.folder)
        finally:
            store.close()


def import_sightings(
    store: GalleryStore, path: str | Path, *, lists: bool = True, progress: ProgressOption = False
) -> EnrollResult:
    """Add the sightings of an exported file to a store. A call that was interrupted can be repeated.

    Crops are stored by the receiving gallery's settings; its retention counts from the original enrollment.

    Args:
        store: Store of the receiving gallery.
        path: File that `export_gallery` wrote.
        lists: Add its lists of shards and adapted runs, too. They name files of this machine, which an erasure may
            change: False for a file of another user. A warning names what is left out.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        Numbers of sightings added and of those that were present.

    Raises:
        GalleryError: If the file contains another model's vectors, or a value is invalid; then nothing is added.

    Example:
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     _ = gallery.export("copied.parquet")
        ...     import_sightings(gallery.store, "copied.parquet")
        EnrollResult(new=0, known=0, unreadable=0)
    """
    source = Path(path)
    card = read_card(source)
    with open_progress(progress) as report:
        file = _validate_export(source, card, report)
        return _add_sightings(store, source, card, file, report, folder=store.folder if lists else None)


def _add_sightings(
    store: GalleryStore,
    source: Path,
    card: GalleryCard,
    file: pq.ParquetFile,
    report: ProgressCallback,
    *,
    folder: Path | None,
) -> EnrollResult:
    """Add the sightings of a validated file, and its lists to those in a folder."""
    if not store.card.takes(card):
        raise GalleryError(
            f"{source}: contains vectors of {card.describe_vectors()}, the gallery those of "
            f"{store.card.describe_vectors()}; distances between them have no meaning. Import it into a gallery of its "
            "own model and kind"
        )
    lists = _read_lists(source, file.schema_arrow)
    if folder is not None:  # before the sightings, so that no interruption leaves one without its shard
        add_jobs(folder, lists.jobs)
    elif lists:
        _warn_of_lists(store, lists)
    new = known = done = 0
    for batch in file.iter_batches(batch_size=_BATCH):
        added = store.add([*_to_sightings(batch)])
        new, known, done = new + len(added.new), known + len(added.known), done + len(batch)
        report("import", done, file.metadata.num_rows)
    if folder is not None and lists.runs:  # after them: an id that is not stored counts as erased
        ids = {name for entry in lists.runs for name in entry["ids"]}
        merge_runs(folder, lists.among(store.stored_labels(sorted(ids)).keys()).runs)
    store.log("import", sightings=new, known=known)
    return EnrollResult(new, known)


def _warn_of_lists(store: GalleryStore, lists: CarriedLists) -> None:
    named = [*lists.jobs, *(entry["run"] for entry in lists.runs)]
    more = f" and {len(named) - 5:,} more" if len(named) > 5 else ""
    reason = "were not imported" if store.folder else "are kept by a gallery in a folder only"
    logger.warning(
        "%s: the lists of shards and adapted runs %s, so that an erasure does not name these: %s%s",
        store.address,
        reason,
        ", ".join(named[:5]),
        more,
    )


def _validate_export(path: Path, card: GalleryCard, report: ProgressCallback) -> pq.ParquetFile:
    """Read a whole exported file and check every value, so that it is imported completely or not at all.

    Raises:
        GalleryError: For a wrong column, value or crop, with its row.
    """
    file = open_export(path)
    _read_lists(path, file.schema_arrow)
    expected = _make_schema(card)
    columns, wanted = ({field.name: field.type for field in schema} for schema in (file.schema_arrow, expected))
    if columns != wanted or len(file.schema_arrow) != len(expected):
        different = sorted(name for name in columns.keys() | wanted.keys() if columns.get(name) != wanted.get(name))
        listed = ", ".join(f"{name} {columns.get(name, 'missing')} (expected {wanted.get(name)})" for name in different)
        raise GalleryError(f"{path}: columns differ from those of an exported gallery: {listed or 'repeated columns'}")
    row, ids = 0, set()
    try:
        for batch in file.iter_batches(batch_size=_BATCH):
            vectors = batch.column("vector")
            if vectors.null_count or vectors.flatten().null_count:
                raise GalleryError("a vector is missing")
            for sighting in _to_sightings(batch):
                encode_stored_crop(sighting.crop, card.keep, name="crop")
                ids.add(sighting.id)
                row += 1
                if len(ids) < row:
                    raise GalleryError(f"the id {sighting.id!r} is there twice")
            report("validate", row, file.metadata.num_rows)
    except (GalleryError, ValueError, TypeError, RecursionError, pyarrow.lib.ArrowException, OSError) as error:
        raise GalleryError(
            f"{path}: row {row + 1} cannot be imported ({explain(error)}); nothing was imported"
        ) from None
    return file


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
        raise GalleryError(
            f"{path}: cannot be read as an exported gallery ({explain(error)}); copy or export it again"
        ) from None
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
