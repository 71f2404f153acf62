"""Erasure of sightings: on request of a person, and after the retention period.

The order makes every interruption harmless: shards and the cache of embeddings come first, while the gallery can still
select the sightings, so that the same call finds what is left. The store completes its own part when it is next opened,
and what runs have of erased crops follows from the gallery at the next erasure.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from passerby.errors import GalleryError, WriteError, argument
from passerby.gallery.adapted_runs import drop_erased
from passerby.gallery.enrolled_shards import find_shards, list_shards, rewrite_shard
from passerby.gallery.filters import Filter
from passerby.gallery.stores.protocol import GalleryStore
from passerby.runtime.embedding_cache import clear_embedding_cache
from passerby.text import plural

logger = logging.getLogger(__name__)

DAY = 86_400.0
"""Seconds."""


MAX_EXPIRED = 0.8
"""Largest fraction of a gallery that is erased by opening it. A clock that is wrong would erase all."""
_ROUNDS = 10
"""Rounds of one erasure while other processes enroll sightings that match."""


def forget(
    store: GalleryStore,
    *,
    label: str | None = None,
    ids: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    rewrite_shards: bool = False,
) -> int:
    """Erase the sightings of a label, of ids, or from files: rows, vectors and crops, in the store's files too.

    Sightings that `Review.remove` removed and that match are erased with them, and cannot be restored then.
    The cache of embeddings of this user is emptied. Runs that were adapted by an erased crop, and shards of
    `passerby embed` that hold an erased vector, are logged as warnings. A call that was interrupted can be repeated.

    Args:
        store: Store of the gallery.
        label: Erase all sightings with this label.
        ids: Erase these sightings.
        sources: Erase the sightings from these files.
        rewrite_shards: Write the shards from which the gallery was enrolled again without the erased vectors.

    Returns:
        Number of erased sightings. The audit log contains this number and nothing else about them.

    Raises:
        GalleryError: If not exactly one of the three is given, or the store cannot erase them from its files.
        WriteError: If a shard cannot be written again, as on a full disk; the store still holds all of them then.

    Example:
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     forget(gallery.store, label="Ada")
        0
    """
    if sum(selection is not None for selection in (label, ids, sources)) != 1:
        names = ", ".join(map(argument, ("label", "ids", "sources")))
        raise GalleryError(f"forget: got {label!r}, {ids!r} and {sources!r} for {names}; expected one of them")
    where = Filter(ids=ids, sources=sources) if label is None else Filter(labels=[label])
    return _erase(store, where, action="forget", rewrite_shards=rewrite_shards)


def expire(store: GalleryStore, *, days: float | None = None, clock: Callable[[], float] = time.time) -> int:
    """Erase the sightings that were enrolled more than `days` days ago.

    Args:
        store: Store of the gallery.
        days: At least 0; None is the gallery's retention.
        clock: Returns seconds since 1970 UTC.

    Returns:
        Number of erased sightings; 0 without a retention.

    Raises:
        GalleryError: If `days` is negative, or the store cannot erase them from its files.

    Example:
        >>> with passerby.Gallery("memory", model="runs/m", retention=30) as gallery:
        ...     expire(gallery.store)
        0
    """
    days = store.card.retention if days is None else days
    if days is None:
        return 0
    if days < 0:
        raise GalleryError(f"{argument('days')}: got {days}, expected 0 or more")
    old = Filter(enrolled_before=clock() - days * DAY)
    if not count_erasable(store, old):
        finish_erasure(store)
        return 0
    return _erase(store, old, action="expire")


def count_erasable(store: GalleryStore, where: Filter) -> int:
    """Count the sightings that an erasure with a filter erases: also those that a review removed.

    Example:
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     count_erasable(gallery.store, Filter(labels=["Ada"]))
        0
    """
    return store.count(where) + len(_find_removed(store, where))


def _find_removed(store: GalleryStore, where: Filter) -> list[str]:
    return store.answers.find_removed(where) if store.keeps_answers else []


def finish_erasure(store: GalleryStore) -> None:
    """Erase the pictures of adapted runs that show erased crops, and name these runs, each once.

    Every erasure ends with it. Called alone, it completes one that was interrupted.

    Raises:
        WriteError: If a picture cannot be deleted.

    Example:
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     finish_erasure(gallery.store)
    """
    # What a review removed can be restored, so that its pictures stay.
    if store.folder is not None:
        drop_erased(store.folder, lambda ids: {*store.stored_labels(ids), *_find_removed(store, Filter(ids=ids))})


def _erase(
    store: GalleryStore, where: Filter, *, action: Literal["forget", "expire"], rewrite_shards: bool = False
) -> int:
    """Erase sightings, and the copies of their vectors and crops that are known.

    Other processes enroll meanwhile, so that exactly the sightings whose shards were searched are removed, and the rest
    in further rounds.
    """
    if store.folder is None:  # without shards
        clear_embedding_cache()
        count = store.remove(where, action=action)
    else:
        count, ids = 0, store.find_ids(where)
        for _ in range(_ROUNDS):
            count += _erase_ids(store, replace(where, ids=ids), action=action, rewrite=rewrite_shards)
            if not (ids := store.find_ids(where)):
                break
        else:
            late = plural(len(ids), "matching sighting")
            logger.warning("%s: %s came during the erasure; erase again", store.address, late)
    finish_erasure(store)
    return count


def _erase_ids(store: GalleryStore, where: Filter, *, action: Literal["forget", "expire"], rewrite: bool) -> int:
    """Erase the sightings of the ids of a filter from their shards, the cache and the store."""
    assert where.ids is not None
    assert store.folder is not None
    shards = list_shards(store.folder)
    _erase_from_shards(shards, where.ids, store, action=action, rewrite=rewrite)
    clear_embedding_cache()
    count = store.remove(where, action=action)
    later = [path for path in list_shards(store.folder) if path not in shards]  # of a job that was enrolled meanwhile
    _erase_from_shards(later, where.ids, store, action=action, rewrite=rewrite)
    return count


def _erase_from_shards(
    shards: Sequence[Path], ids: Sequence[str], store: GalleryStore, *, action: str, rewrite: bool
) -> None:
    for path, held in (find_shards(shards, ids) if shards and ids else {}).items():
        _erase_from_shard(path, held, store, action=action, rewrite=rewrite)


def _erase_from_shard(path: Path, ids: set[str], store: GalleryStore, *, action: str, rewrite: bool) -> None:
    """Write a shard again without some ids, or name it.

    Raises:
        WriteError: If it cannot be written.
    """
    vectors = plural(len(ids), "erased vector")
    if not rewrite:
        again = f", or enroll the shards again and erase with {argument('rewrite_shards')}"
        logger.warning("%s: holds %s; delete it%s", path, vectors, again if action == "forget" else "")
        return
    try:
        rewrite_shard(path, ids)
    except WriteError as error:
        raise WriteError(f"{error}. Then erase again: {store.address} still holds all of the sightings") from None
    except GalleryError as error:  # damaged: it cannot be repeated, so that the gallery's part does not wait for it
        logger.warning("%s; it holds %s", error, vectors)
        return
    logger.warning("%s: written again without %s; delete its copies", path, vectors)


def expire_by_retention(
    store: GalleryStore, *, clock: Callable[[], float] = time.time, confirm_erase: bool = False
) -> int:
    """Erase the sightings past the gallery's retention, unless they are most of the gallery.

    Args:
        store: Store of the gallery.
        clock: Returns seconds since 1970 UTC.
        confirm_erase: Erase any number.

    Returns:
        Number of erased sightings.

    Raises:
        GalleryError: If more than `MAX_EXPIRED` of the gallery would be erased and that is not confirmed; nothing is
            erased.
    """
    if store.card.retention is None:
        return 0
    now = clock()
    if not confirm_erase:
        old, total = store.count(Filter(enrolled_before=now - store.card.retention * DAY)), store.count()
        if old > MAX_EXPIRED * total:
            where = store.address
            today = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M")
            raise GalleryError(
                f"{where}: {old:,} of {plural(total, 'sighting')} past the retention of "
                f"{plural(store.card.retention, 'day')}, by a clock at {today} UTC; nothing was erased. If the clock "
                f"is right: `passerby gallery expire {where} --confirm-erase`"
            )
    return expire(store, clock=lambda: now)
