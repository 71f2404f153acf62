"""Contents of a gallery on a Milvus server, which cannot group: all metadata are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from passerby.gallery.card import GalleryCard
from passerby.gallery.results import GalleryStats

STATS_FIELDS = ["id", "camera", "label", "timed", "time"]
"""Fields that `make_stats` needs."""
_Pages = Iterable[list[dict[str, Any]]]


def count_labels(pages: _Pages) -> int:
    """Count the different labels of entities that have one."""
    return len({entity["label"] for entities in pages for entity in entities})


def make_stats(pages: _Pages, *, address: str, card: GalleryCard) -> GalleryStats:
    """Return size, contents and settings of a gallery from its entities."""
    cameras: Counter[str] = Counter()
    labels: set[str] = set()
    first, last = np.inf, -np.inf
    for entities in pages:
        cameras.update(entity["camera"] for entity in entities)
        labels |= {entity["label"] for entity in entities} - {""}
        times = [entity["time"] for entity in entities if entity["timed"]]
        first, last = min([first, *times]), max([last, *times])
    return GalleryStats(
        address=address,
        store="milvus",
        card=card,
        sightings=cameras.total(),
        labels=len(labels),
        cameras=dict(sorted(cameras.items())),
        first=None if first > last else first,
        last=None if first > last else last,
        bytes=None,
        index="HNSW on the server, distances computed by the client",
    )
