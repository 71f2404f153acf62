"""Opening of a gallery's store by its address."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from passerby.errors import GalleryError, NoGalleryError
from passerby.extras import require_extra
from passerby.gallery.card import GalleryCard, GalleryModel, Keep, Precision
from passerby.gallery.card_checks import check_card
from passerby.gallery.forget import expire_by_retention
from passerby.gallery.stores.protocol import GalleryStore
from passerby.gallery.user import read_user
from passerby.text import suggest

Clock = Callable[[], float]
MEMORY = "memory"


def _open_sqlite(address: str, card: GalleryCard | None, user: str, clock: Clock) -> GalleryStore:
    from passerby.gallery.stores.sqlite import SqliteStore

    return SqliteStore(None if address == MEMORY else address, card, user=user, clock=clock)


def _open_milvus(address: str, card: GalleryCard | None, user: str, clock: Clock) -> GalleryStore:
    require_extra("pymilvus")
    from passerby.gallery.stores.milvus import MilvusStore

    return MilvusStore(address, card, user=user, clock=clock)


SCHEMES: dict[str, Callable[[str, GalleryCard | None, str, Clock], GalleryStore]] = {
    "": _open_sqlite,
    "milvus": _open_milvus,
}
"""What opens an address, by the text before `://`."""


def open_gallery(
    where: str | Path,
    *,
    model: GalleryModel | None = None,
    keep: Keep | None = None,
    retention: float | None = None,
    flip: bool | None = None,
    precision: Precision | None = None,
    accept_drift: bool = False,
    user: str | None = None,
    clock: Clock = time.time,
    confirm_erase: bool = False,
    expire: bool = True,
) -> GalleryStore:
    """Open a gallery's store and erase what is past its retention. The gallery is made if it is missing.

    Args:
        where: Folder, `memory`, or `milvus://host:port/name`.
        model: Model that makes the vectors (`record_model`). Needed to make a gallery; compared with an existing one's.
        keep: What is stored of crops, fixed when the gallery is made: `vectors`, `thumbnails` (default) or `crops`.
        retention: Days that a sighting is kept, counted from its enrollment, of a new gallery; None keeps it.
        flip: Whether the vectors average the mirror image, fixed like `keep`; None is yes for a new gallery.
        precision: In which vectors are computed, fixed likewise: `fp32` (default) or `bf16`.
        accept_drift: Accept a model that differs from the gallery's by rounding alone, such as the int8 file of its
            run; the card then records it.
        user: Name in the audit log; None is the user of this process.
        clock: Returns seconds since 1970 UTC.
        confirm_erase: Erase what is past its retention even if it is most of the gallery.
        expire: Erase what is past its retention now.

    Raises:
        NoGalleryError: If the gallery is missing and no model is given.
        GalleryError: If it cannot be reached, was made with another model or other settings, or if more than
            `passerby.gallery.forget.MAX_EXPIRED` of it is past its retention, as after a jump of the clock.
        MissingExtraError: For an address of a server without the extra `milvus`.

    Example:
        >>> model = GalleryModel(architecture="", weights="", preprocessing={}, dimension=2)  # vectors of your own
        >>> store = open_gallery("vectors", model=model)
        >>> store.add([passerby.gallery.sightings.Sighting(vector=[0.6, 0.8], camera="north", label="Ada")])
        AddResult(1 new, 0 known)
        >>> store.search([1.0, 0.0])[0][0].label
        'Ada'
        >>> store.close()
    """
    card = None
    if model is not None:
        card = GalleryCard(
            model,
            keep=keep or "thumbnails",
            retention=retention,
            flip=flip is not False,
            precision=precision or "fp32",
        )
    address = str(where)
    store = _open_store(where, card, read_user() if user is None else user, clock)
    try:
        check_card(
            store.card,
            address,
            model=model,
            keep=keep,
            retention=retention,
            flip=flip,
            precision=precision,
            accept_drift=accept_drift,
        )
        if model is not None and not store.card.holds(model):
            store.accept_model(model)
        if expire:
            expire_by_retention(store, clock=clock, confirm_erase=confirm_erase)
    except BaseException:
        store.close()
        raise
    return store


def read_card(where: str | Path) -> GalleryCard | None:
    """Read the card of a gallery; None if there is no gallery.

    Raises:
        GalleryError: As `open_gallery`.

    Example:
        >>> read_card("nowhere") is None
        True
    """
    try:
        store = _open_store(where, None, read_user(), time.time)
    except NoGalleryError:
        return None
    store.close()
    return store.card


def _open_store(where: str | Path, card: GalleryCard | None, user: str, clock: Clock) -> GalleryStore:
    """Open the store of an address."""
    if not isinstance(where, str | Path):
        raise GalleryError(
            f"where: got {type(where).__name__}, expected text or a path: a folder, {MEMORY}, or milvus://host:port/name"
        )
    address = str(where)
    scheme, mark, _ = address.partition("://")
    if (mark and scheme not in SCHEMES) or scheme == "":
        raise GalleryError(
            f"{address}: unknown kind of gallery; {suggest(scheme, filter(None, SCHEMES))}expected a folder, "
            f"{MEMORY}, or milvus://host:port/name"
        )
    return SCHEMES[scheme if mark else ""](address, card, user, clock)
