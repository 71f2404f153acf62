"""Open a gallery wherever it is, in one call."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from pathlib import Path

from passerby.errors import GalleryError
from passerby.gallery.card import GalleryCard, GalleryModel, Pictures, check_card
from passerby.gallery.forget import expire
from passerby.gallery.stores.protocol import GalleryStore

Clock = Callable[[], float]
MEMORY = "memory"


def _exact(where: str, card: GalleryCard | None, who: str, clock: Clock) -> GalleryStore:
    from passerby.gallery.stores.exact import ExactGallery

    if card is None:
        raise GalleryError(f"{where}: a gallery in memory is always new; give the model whose vectors it will hold")
    return ExactGallery(card, who=who, clock=clock)


def _embedded(where: str, card: GalleryCard | None, who: str, clock: Clock) -> GalleryStore:
    from passerby.gallery.stores.embedded import EmbeddedGallery

    return EmbeddedGallery(where, card, who=who, clock=clock)


def _milvus(where: str, card: GalleryCard | None, who: str, clock: Clock) -> GalleryStore:
    from passerby.gallery.stores.milvus import MilvusGallery

    return MilvusGallery(where, card, who=who, clock=clock)


BACKENDS: dict[str, Callable[[str, GalleryCard | None, str, Clock], GalleryStore]] = {
    "exact": _exact,
    "embedded": _embedded,
    "milvus": _milvus,
}


def backend_of(where: str) -> str:
    """Which backend an address means: `memory`, `milvus://host:port/name`, anything else is a folder.

    Raises:
        GalleryError: For another `scheme://`.
    """
    scheme, mark, _ = where.partition("://")
    if mark and scheme != "milvus":
        raise GalleryError(f"{where}: unknown kind of gallery; expected a folder, {MEMORY}, or milvus://host:port/name")
    return "milvus" if mark else "exact" if where == MEMORY else "embedded"


def open_gallery(
    where: str | Path,
    *,
    model: GalleryModel | None = None,
    pictures: Pictures | None = None,
    retention: float | None = None,
    who: str | None = None,
    clock: Clock = time.time,
) -> GalleryStore:
    """Open a gallery, or make it when it is not there and a model is given. What is past its retention is removed.

    Args:
        where: A folder, `memory`, or `milvus://host:port/name`.
        model: Whose vectors come in; see `gallery_model`. Needed to make a gallery; an existing one refuses another's.
        pictures: What is kept of crops: `vectors`, `thumbnails` (when it is made without a word) or `crops`.
        retention: Days that a sighting is kept, from its enrollment; None when it is made keeps it.
        who: Who is written into the audit log; None is the user of this process.
        clock: Seconds since 1970 UTC.

    Raises:
        GalleryError: When it is not there, cannot be reached, or was made with another model or other settings.
    """
    address = str(where)
    card = None if model is None else GalleryCard(model, pictures=pictures or "thumbnails", retention=retention)
    store = BACKENDS[backend_of(address)](address, card, getpass.getuser() if who is None else who, clock)
    try:
        check_card(store.card, address, model=model, pictures=pictures, retention=retention)
        expire(store, clock=clock)
    except BaseException:
        store.close()
        raise
    return store
