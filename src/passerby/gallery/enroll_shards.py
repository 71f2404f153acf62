"""Enrollment of vectors that `passerby embed` has written, without reading an image."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

from passerby.errors import GalleryError, argument, explain
from passerby.files import read_json
from passerby.gallery.card import GalleryModel, Precision
from passerby.gallery.card_checks import check_card, check_dims
from passerby.gallery.embedding_model import project_record
from passerby.gallery.enrolled_shards import record_job
from passerby.gallery.results import AddResult, EnrollResult
from passerby.gallery.shards import read_errors, read_shard, read_shard_model
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery, read_card
from passerby.gallery.stores.protocol import GalleryStore
from passerby.progress import ProgressCallback, ProgressOption, open_progress
from passerby.text import plural

if TYPE_CHECKING:
    from passerby.gallery.stores.bulk_storage import BulkStorage
    from passerby.gallery.stores.milvus import MilvusStore

_log = logging.getLogger(__name__)
_ROWS = 2000
"""Sightings of one transaction."""


def enroll_shards(
    where: str | Path,
    folder: str | Path,
    *,
    retention: float | None = None,
    accept_drift: bool = False,
    dims: int | None = None,
    bulk: str | Path | None = None,
    bulk_path: str | None = None,
    progress: ProgressOption = False,
) -> EnrollResult:
    """Add the vectors of a job's shards to a gallery, which is made if it is missing.

    A call that was interrupted can be repeated: a crop has the id that `Gallery.enroll` computes, so that each is added
    once. The gallery holds no crops of these sightings.

    Args:
        where: Folder, or `milvus://host:port/name`.
        folder: Folder of the job, or one shard.
        retention: Days that a new gallery keeps a sighting; None keeps it.
        accept_drift: Accept vectors of a model that differs from the gallery's by rounding alone, such as the int8 file
            of its run; the gallery's card records it.
        dims: Width of the vectors of a new gallery; see `Gallery`.
        bulk: For a gallery on a Milvus server: folder, or address of an object store such as `s3://a-bucket`, that
            the server reads files from. The vectors are sent by its bulk insertion then, through files that are deleted
            afterwards; see docs/scale.md.
        bulk_path: Path of that folder as the server names it; None is its path here, or in the bucket.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        Numbers of added and of known crops, and the crops that the job could not read. A warning is logged if the job
        is not complete.

    Raises:
        GalleryError: If there is no shard, a shard is damaged, or was made by another model than the gallery's; then
            nothing of that shard is added. If `bulk` is given for a gallery that is not on a server, or cannot be used.

    Example:
        >>> from passerby.extraction.items import SourceOptions
        >>> result = passerby.embed("crops", "runs/m", "shards", options=SourceOptions(folders="camera"))
        >>> passerby.enroll_shards("people-of-shards", "shards")
        EnrollResult(new=52, known=0, unreadable=0)
    """
    store = open_for_shards(
        where, folder, retention=retention, accept_drift=accept_drift, dims=dims, bulk=bulk, bulk_path=bulk_path
    )
    try:
        return add_shards(store, folder, bulk=bulk, bulk_path=bulk_path, progress=progress)
    finally:
        store.close()


def open_for_shards(
    where: str | Path,
    folder: str | Path,
    *,
    retention: float | None = None,
    accept_drift: bool = False,
    dims: int | None = None,
    bulk: str | Path | None = None,
    bulk_path: str | None = None,
) -> GalleryStore:
    """Open a gallery for the vectors of a job; make it with the job's model if it is missing.

    Raises:
        GalleryError: As `enroll_shards`.
    """
    _open_storage(str(where), bulk, bulk_path)  # before a gallery is made
    model, flip = _read_model(_find_shards(Path(folder))[0])
    card = read_card(where)
    if card is None:
        model = model if dims is None else project_record(model, dims)
        precision: Precision = "bf16" if model.rounding and model.rounding.precision == "bf16" else "fp32"
        return open_gallery(where, model=model, keep="vectors", retention=retention, flip=flip, precision=precision)
    check_dims(card, str(where), dims)
    return open_gallery(where, model=card.project(model), retention=retention, flip=flip, accept_drift=accept_drift)


def add_shards(
    store: GalleryStore,
    folder: str | Path,
    *,
    bulk: str | Path | None = None,
    bulk_path: str | None = None,
    progress: ProgressOption = False,
) -> EnrollResult:
    """Add the vectors of a job's shards to a store; see `enroll_shards`.

    Raises:
        GalleryError: As `enroll_shards`.
    """
    storage = _open_storage(store.address, bulk, bulk_path)
    shards, errors = _find_shards(Path(folder))
    _warn_of_missing(Path(folder), shards)
    model, flip = _read_model(shards)
    check_card(store.card, "the gallery", model=store.card.project(model), flip=flip)
    if store.folder is not None:
        record_job(store.folder, folder)
    with open_progress(progress) as report:
        sightings = _read_sightings(store, shards, report)
        results: Iterator[AddResult]
        if storage is None:
            results = (
                store.add(part[start : start + _ROWS]) for part in sightings for start in range(0, len(part), _ROWS)
            )
        else:
            server = cast("MilvusStore", store)
            results = server.insert_in_bulk(chain.from_iterable(sightings), storage)
        new = known = 0
        for added in results:
            new += len(added.new)
            known += len(added.known)
    return EnrollResult(new, known, tuple(failure for path in errors for failure in read_errors(path)))


def _open_storage(address: str, bulk: str | Path | None, bulk_path: str | None) -> BulkStorage | None:
    """Open the storage of a bulk insertion; None without one.

    Raises:
        GalleryError: If the gallery is not on a server, the storage cannot be listed, or a path is given without it.
    """
    if bulk is None:
        if bulk_path is not None:
            raise GalleryError(
                f"{argument('bulk_path')}: got {bulk_path!r} without {argument('bulk')}; give the storage that the "
                "server reads, too"
            )
        return None
    if not address.startswith("milvus://"):
        raise GalleryError(
            f"{argument('bulk')}: got {str(bulk)!r} for {address}; expected a gallery on a Milvus server. Leave it "
            "out: a gallery in a folder takes shards directly"
        )
    from passerby.gallery.stores.bulk_storage import BulkStorage

    return BulkStorage(bulk, address.rpartition("/")[2], bulk_path)


def _find_shards(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the shards and the tables of errors of a job.

    Raises:
        GalleryError: If there is no shard.
    """
    if folder.is_file():
        return [folder], []
    shards = sorted((folder / "shards").glob("*.parquet"))
    if not shards:
        raise GalleryError(
            f"{folder}: no shards/*.parquet in it; make some with `passerby embed SOURCE --out {folder}`"
        )
    return shards, sorted((folder / "errors").glob("*.parquet"))


def _warn_of_missing(folder: Path, shards: list[Path]) -> None:
    """Log a warning if the job of a folder has shards that are not there yet."""
    try:
        expected = int(read_json(folder / "job.json")["shards"])
    except FileNotFoundError:  # one shard, or a folder of copies
        return
    except (OSError, ValueError, TypeError, KeyError) as error:
        _log.warning("%s: cannot be read (%s); whether shards are missing is not checked", folder, explain(error))
        return
    if expected > len(shards):
        _log.warning(
            "%s: missing %d of %s; `passerby embed` continues the job, and this command adds the rest",
            folder,
            expected - len(shards),
            plural(expected, "shard"),
        )


def _read_model(shards: list[Path]) -> tuple[GalleryModel, bool]:
    """Return the model of all shards, and whether the vectors average the mirror image.

    Raises:
        GalleryError: If two shards are of different models.
    """
    first = read_shard_model(shards[0])
    for path in shards[1:]:
        other = read_shard_model(path)
        if not other.model.same_vectors(first.model) or other.flip != first.flip:
            raise GalleryError(
                f"{path}: vectors of {other.model} with flip={other.flip}; those of {shards[0].name} are of "
                f"{first.model} with flip={first.flip}. Embed all images in one job"
            )
    return first.model, first.flip


def _read_sightings(store: GalleryStore, shards: list[Path], report: ProgressCallback) -> Iterator[list[Sighting]]:
    """Yield the sightings of each shard."""
    projection = store.card.model.projection
    for done, path in enumerate(shards):
        report("enroll", done, len(shards))
        shard = read_shard(path)
        vectors = shard.vectors if projection is None else projection.apply(shard.vectors)
        rows = zip(shard.info, vectors, strict=True)
        yield [Sighting(vector=vector, **info.info) for info, vector in rows]
    report("enroll", len(shards), len(shards))
