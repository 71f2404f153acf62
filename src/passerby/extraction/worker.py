"""Work on a job: claim a shard, read its images ahead, embed them, write the shard.

B batch   H W image height and width
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np

from passerby.claims import LEASE, hold_claim, remove_leftovers
from passerby.data.images import Pixels
from passerby.errors import DataError
from passerby.extraction.file_systems import ObjectStoreError, require_answer
from passerby.extraction.items import Item, without_content
from passerby.extraction.job import Job
from passerby.extraction.tar_files import Failure
from passerby.files import write_atomic
from passerby.gallery.shards import make_errors, make_shard
from passerby.gallery.sightings import SightingInfo
from passerby.progress import ProgressCallback
from passerby.runtime.embedder import Embedder, encode
from passerby.runtime.runtime_table import count_threads
from passerby.text import plural
from passerby.types import FloatArray

_AHEAD = 4
"""Batches that are read ahead of the network."""
_POLL = 1.0
"""Seconds between two checks of shards of other processes."""
_PATIENCE = 30
"""Checks without a shard to do, after which one message is logged."""
_Read = Pixels | str | ObjectStoreError

logger = logging.getLogger(__name__)


def work(job: Job, embedder: Embedder, *, threads: int, report: ProgressCallback) -> None:
    """Embed shards until the job has all; other processes may work on the same job.

    Args:
        job: The job.
        embedder: Its model.
        threads: Threads that decode images.
        report: Called with the number of shards that are there.

    Raises:
        WriteError: If a shard cannot be written; the shards that are there stay.
        ObjectStoreError: If the store of the images does not answer; the shards that are there stay.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="passerby-decode") as pool:
        waited = 0
        while missing := job.missing():
            report("embed", job.shards - len(missing), job.shards)
            done = [do_shard(job, number, embedder, pool) for number in missing]
            if any(done):
                waited = 0
                continue
            time.sleep(_POLL)  # the rest is in work elsewhere; a process that ends leaves its shard to this one
            waited += 1
            if waited == _PATIENCE:
                logger.warning(
                    "%s: waiting for %s of other processes; %s names one. The shards of a process that has ended are "
                    "done here after %.0f s",
                    job.folder,
                    plural(len(missing), "shard"),
                    job.claim_path(missing[0]),
                    LEASE,
                )
    for number in range(job.shards):  # of processes that were killed after they had written their shard
        job.claim_path(number).unlink(missing_ok=True)
    for path in (job.claim_path(0), job.shard_path(0), job.errors_path(0)):
        remove_leftovers(path.parent)
    report("embed", job.shards, job.shards)


def do_shard(job: Job, number: int, embedder: Embedder, pool: ThreadPoolExecutor) -> bool:
    """Embed one shard, unless it exists or another process has claimed it.

    Returns:
        Whether this process has done it.
    """
    path = job.shard_path(number)
    with hold_claim(job.claim_path(number)) as claimed:
        if not claimed or path.exists():
            return False
        infos: list[SightingInfo] = []
        vectors: list[FloatArray] = []
        failures: list[tuple[SightingInfo, str]] = []
        size = embedder.preprocessing.size
        for batch in _read_ahead(job.read(number), size, job.settings.batch, pool, failures):
            pixels = np.stack([image for _, image in batch])
            vectors.append(encode(embedder.encoder, pixels, flip=job.vectors.flip))
            infos += [info for info, _ in batch]
        if failures:
            lost, reasons = zip(*failures, strict=True)
            write_atomic(job.errors_path(number), make_errors(lost, reasons))
        else:
            job.errors_path(number).unlink(missing_ok=True)
        everything = np.concatenate(vectors) if vectors else np.empty((0, embedder.width), np.float32)
        write_atomic(path, make_shard(infos, everything, job.vectors))
        return True


def _read_ahead(
    items: Iterator[Item | Failure],
    size: tuple[int, int],
    batch: int,
    pool: ThreadPoolExecutor,
    failures: list[tuple[SightingInfo, str]],
) -> Iterator[list[tuple[SightingInfo, Pixels]]]:
    """Yield batches of decoded images; the batches depend on the images alone, not on the number of threads.

    Raises:
        ObjectStoreError: If an image is not sent, nor others of the store.
    """
    waiting: deque[tuple[Item, Future[_Read]]] = deque()
    ready: list[tuple[SightingInfo, Pixels]] = []
    exhausted = False
    last = ""  # path of the last image that was read
    try:
        while waiting or not exhausted:
            while not exhausted and len(waiting) < _AHEAD * batch:
                item = next(items, None)
                if item is None:
                    exhausted = True
                elif isinstance(item, Item):
                    waiting.append((without_content(item), pool.submit(_read, item, size)))
                else:
                    failures.append((SightingInfo(camera="", source=item[0]), item[1]))
            if waiting:
                item, future = waiting.popleft()
                image = future.result()
                if isinstance(image, ObjectStoreError):
                    require_answer(image, item.path, [last, *(other.path for other, _ in islice(waiting, 1))])
                    image = _read(item, size)  # the store may have answered again meanwhile
                if isinstance(image, str | ObjectStoreError):
                    failures.append((item.info, str(image)))
                else:
                    ready.append((item.info, image))
                    last = item.path
            if len(ready) == batch or (exhausted and not waiting and ready):
                yield ready
                ready = []
    finally:
        for _, future in waiting:
            future.cancel()


def _read(item: Item, size: tuple[int, int]) -> _Read:
    """Return the pixels of an image, or the reason of the failure, as an error if it can be that of the store."""
    try:
        return item.read(size)
    except ObjectStoreError as error:
        return error
    except (DataError, OSError) as error:
        return str(error)


def decode_threads() -> int:
    """Return a number of threads that decode: the processors that this process may use, at most 8."""
    return min(8, count_threads())
