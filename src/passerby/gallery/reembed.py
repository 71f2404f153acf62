"""Move a gallery to another model: every vector is computed again from the stored crops, all of them or none."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from passerby.data.images import decode_image
from passerby.errors import GalleryError
from passerby.gallery.card import GalleryCard, Keep
from passerby.gallery.embedding_model import find_source, load_model, project_record
from passerby.gallery.filters import EVERYTHING
from passerby.gallery.sightings import TRACK, Sighting
from passerby.gallery.stores.opening import read_card
from passerby.gallery.stores.sqlite import SqliteStore
from passerby.gallery.stores.sqlite_answers import drop_empty_identities
from passerby.gallery.stores.sqlite_card import write_card
from passerby.gallery.stores.sqlite_database import Database
from passerby.gallery.stores.sqlite_removed import erase_removed
from passerby.gallery.user import read_user
from passerby.progress import ProgressCallback, ProgressOption, open_progress
from passerby.types import FloatArray, Result

if TYPE_CHECKING:
    from passerby.runtime.embedder import Embedder

_BATCH = 256
"""Sightings read and embedded at a time."""


@dataclass(frozen=True, repr=False)
class ReembedResult(Result):
    """Counts of `reembed_gallery`.

    Attributes:
        sightings: Sightings whose vector was computed again; 0 if the gallery had vectors of this model.
        tracks: Those among them that are tracks of a video: the vector was the mean of all crops of the track, and is
            now that of its best crop, the only one that is stored.
        keep: What the gallery keeps, `crops` or `thumbnails`.

    Example:
        >>> ReembedResult(sightings=40, tracks=2, keep="crops").to_dict()
        {'sightings': 40, 'tracks': 2, 'keep': 'crops'}
    """

    sightings: int
    tracks: int
    keep: Keep


def reembed_gallery(
    where: str | Path,
    *,
    model: str | Path,
    dims: int | None = None,
    user: str | None = None,
    device: str = "auto",
    progress: ProgressOption = False,
) -> ReembedResult:
    """Compute the vectors of a gallery by another model, from its stored crops. Ids, labels and answers stay.

    All vectors are replaced in one transaction together with the gallery's card: after an interruption or an error the
    gallery is as it was. No other process may have the gallery open at that moment, as it would search with the old
    model.

    Args:
        where: Folder of the gallery.
        model: Folder of a run, or `default`.
        dims: Width of the new vectors, by the projection of the new model; None keeps the width of a gallery whose
            vectors are projected, and is the model's own width in other galleries.
        user: Name in the audit log; None is the user of this process.
        device: Where images are embedded.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Raises:
        NoGalleryError: If there is no gallery.
        GalleryError: For a gallery that keeps vectors only or has a sighting without a crop, a gallery on a server, or
            one that another process uses or has changed meanwhile, or a model without a projection to the width. The
            gallery is unchanged.
        WeightsError: If `model` is not a trained model.

    Example:
        >>> from passerby.gallery.reembed import reembed_gallery
        >>> with passerby.Gallery("ours", model="default", keep="crops") as gallery:
        ...     _ = gallery.enroll(passerby.list_crops("a.jpg", camera="north"))
        >>> reembed_gallery("ours", model="runs/m").sightings
        1
    """
    if "://" in str(where) or str(where) == "memory":
        raise GalleryError(
            f"{where}: only a gallery in a folder is moved to another model; enroll the images into a new gallery"
        )
    source = find_source(model)
    card = read_card(where)
    embedder, record = load_model(source, device, "fp32" if card is None else card.precision)
    if card is not None and card.model.projection is not None and dims is None:
        dims = card.model.dimension
    if dims is not None:
        record = project_record(record, dims)
    store = SqliteStore(where, user=read_user() if user is None else user)
    try:
        keep = store.card.keep
        if store.card.model.same_vectors(record) and not store.card.accepted:
            return ReembedResult(0, 0, keep)
        if keep == "vectors":
            raise GalleryError(
                f"{where}: keeps vectors only, so that no other model can compute them again; enroll the images into a "
                "new gallery"
            )
        embedder.set_flip(store.card.flip)
        embedder.projection = record.projection
        with open_progress(progress) as report:
            vectors, tracks = _embed(store, embedder, address=str(where), progress=report)
        card = replace(store.card, model=record, accepted=())
        user = store.user
    finally:
        store.close()
    _replace_vectors(Path(where), vectors, card, user=user)
    return ReembedResult(len(vectors), tracks, keep)


def _embed(
    store: SqliteStore, embedder: Embedder, *, address: str, progress: ProgressCallback
) -> tuple[dict[str, FloatArray], int]:
    """Compute the vector of each sighting by id, and count the tracks."""
    vectors: dict[str, FloatArray] = {}
    tracks, total, flip = 0, store.count(), store.card.flip
    for sightings in store.walk(batch=_BATCH):
        images = [_decode(sighting, address) for sighting in sightings]
        for sighting, vector in zip(sightings, embedder.embed(images, batch=64, flip=flip), strict=True):
            vectors[sighting.id] = vector
            tracks += f"{TRACK}boxes" in sighting.attributes
        progress("embed", len(vectors), total)
    return vectors, tracks


def _decode(sighting: Sighting, address: str) -> NDArray[np.uint8]:
    if not isinstance(sighting.crop, bytes):
        raise GalleryError(
            f"{address}: sighting {sighting.id} has no stored crop, so that its vector cannot be computed again; "
            "remove it, or enroll the images into a new gallery"
        )
    return decode_image(sighting.crop, f"{address}: crop of sighting {sighting.id}")


def _replace_vectors(folder: Path, vectors: Mapping[str, FloatArray], card: GalleryCard, *, user: str) -> None:
    """Replace all vectors and the card in one transaction of the only connection to the database.

    Removed sightings are erased: their vectors are those of the earlier model.

    Raises:
        GalleryError: If another process has the gallery open, or sightings were added or removed meanwhile.
    """
    database = Database(folder, exclusive=True)
    try:
        with database.write() as run:
            rows = dict(run.execute("SELECT id, row FROM sightings").fetchall())
            if rows.keys() != vectors.keys():
                raise GalleryError(
                    f"{folder}: sightings were added or removed while the vectors were computed; nothing was changed, "
                    "repeat the command"
                )
            run.executemany(
                "UPDATE vectors SET vector = ? WHERE row = ?",
                ((np.asarray(vector, "<f4").tobytes(), rows[name]) for name, vector in vectors.items()),
            )
            erase_removed(run, EVERYTHING)
            drop_empty_identities(run)
            write_card(run, card)
            run.execute(
                "INSERT INTO audit (time, user, action, counts) VALUES (?, ?, ?, ?)",
                (time.time(), user, "reembed", json.dumps({"sightings": len(vectors)})),
            )
    finally:
        database.close()
