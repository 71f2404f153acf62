"""Cache of embeddings by model and image, in the user's cache folder.

The file is private to the user. Erasure from a gallery (`forget`, `expire`) deletes it, so that no vector of an erased
person stays, neither of a sighting nor of an image that was searched for. `PASSERBY_EMBEDDING_CACHE=off` turns it off.

N images   H W image height and width   D embedding width
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from passerby.data.images import Pixels
from passerby.errors import PasserbyError, WriteError, explain
from passerby.files import cache_folder, make_private
from passerby.types import FloatArray

logger = logging.getLogger(__name__)

SWITCH = "PASSERBY_EMBEDDING_CACHE"
LIMIT = 200_000_000
"""Bytes of all vectors; the ones that were used least recently are deleted first."""
DAYS = 7.0
"""Days after its last use at which a vector is deleted."""
_WAIT = 2.0
"""Seconds that another process may hold the file; after that, embeddings are computed."""
_AT_ONCE = 500
_TABLE = """
CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, used REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS vectors_used ON vectors (used);
"""


def is_enabled() -> bool:
    """Return whether the cache is on.

    Raises:
        PasserbyError: If the switch has another value than on and off.
    """
    value = os.environ.get(SWITCH, "on")
    if value not in ("on", "off"):
        raise PasserbyError(f"{SWITCH}: got {value!r}, expected on or off")
    return value == "on"


def cache_file() -> Path:
    """Return the file of the cache."""
    return cache_folder() / "embeddings" / "embeddings.sqlite"


def clear_embedding_cache() -> None:
    """Delete all cached embeddings of this user, also while the cache is turned off.

    Raises:
        WriteError: If the file cannot be deleted.

    Example:
        >>> clear_embedding_cache()
        >>> cache_file().exists()
        False
    """
    path = cache_file()
    try:
        for name in (path.name, f"{path.name}-journal"):
            path.with_name(name).unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(f"{path}: cannot be deleted ({error.strerror}); delete it yourself") from None


class EmbeddingCache:
    """Embeddings of one model, with and without the mirror image.

    A file that cannot be used is logged, and embeddings are computed as without it.

    Args:
        model: Fingerprint of the model and its precision.
        width: D.
        limit: Bytes of all vectors.

    Example:
        >>> cache = EmbeddingCache("a fingerprint", width=2)
        >>> pixels = np.zeros((1, 4, 4, 3), np.uint8)
        >>> (key,) = cache.keys(pixels, flip=True)
        >>> cache.add({key: np.array([0.6, 0.8], np.float32)})
        >>> cache.find([key])[key]
        array([0.6, 0.8], dtype=float32)
        >>> clear_embedding_cache()
    """

    def __init__(self, model: str, *, width: int, limit: int = LIMIT) -> None:
        self._model, self._width, self._limit = model.encode(), width, limit

    def keys(self, pixels: Pixels, *, flip: bool) -> list[bytes]:
        """Return the key of each of (N, H, W, 3) images at the model's size."""
        start = hashlib.sha256(self._model)
        start.update(f"\n{flip} {pixels.shape[1:]}\n".encode())
        keys = []
        for image in pixels:
            digest = start.copy()
            digest.update(np.ascontiguousarray(image).data)
            keys.append(digest.digest())
        return keys

    def find(self, keys: Sequence[bytes]) -> dict[bytes, FloatArray]:
        """Return the cached vectors, each (D,) float32."""
        found: dict[bytes, FloatArray] = {}
        if not cache_file().is_file():
            return found

        def read(run: sqlite3.Connection) -> None:
            for start in range(0, len(keys), _AT_ONCE):
                part = keys[start : start + _AT_ONCE]
                marks = ", ".join("?" * len(part))
                rows = run.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part).fetchall()
                found.update(
                    (key, np.frombuffer(vector, "<f4")) for key, vector in rows if len(vector) == 4 * self._width
                )
                run.execute(f"UPDATE vectors SET used = ? WHERE key IN ({marks})", [time.time(), *part])

        _use_file(read)
        return found

    def add(self, vectors: Mapping[bytes, FloatArray]) -> None:
        """Store vectors, and delete the oldest ones beyond the limits."""
        now = time.time()

        def write(run: sqlite3.Connection) -> None:
            rows = [(key, np.asarray(vector, "<f4").tobytes(), now) for key, vector in vectors.items()]
            run.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
            run.execute("DELETE FROM vectors WHERE used < ?", (now - 86_400 * DAYS,))
            size = "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count"
            if run.execute(f"{size}, pragma_page_size").fetchone()[0] > self._limit:
                count = run.execute("SELECT COUNT(*) FROM vectors").fetchone()[0]
                oldest = "SELECT key FROM vectors ORDER BY used LIMIT ?"
                run.execute(f"DELETE FROM vectors WHERE key IN ({oldest})", (max(count // 4, 1),))

        _use_file(write)


def _use_file(work: Callable[[sqlite3.Connection], None]) -> None:
    """Run a function in a transaction on the file, which is made if it is missing; failures are logged."""
    path = cache_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        make_private(path)
        with closing(sqlite3.connect(path, timeout=_WAIT)) as run, run:
            run.execute("PRAGMA secure_delete = ON")
            run.execute("PRAGMA synchronous = OFF")  # after a power cut it is made again
            run.executescript(_TABLE)
            work(run)
    except (sqlite3.OperationalError, OSError) as error:
        logger.warning("%s: not used (%s); embeddings are computed", path, explain(error))
    except sqlite3.DatabaseError as error:
        logger.warning("%s: not used (%s) and deleted; embeddings are computed", path, explain(error))
        with suppress(WriteError):
            clear_embedding_cache()
