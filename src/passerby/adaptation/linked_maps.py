"""Maps from tracks that are linked across cameras: link, learn a map, link by the mapped vectors, and so on.

N crops   P parts   D width of a part   T tracks
"""

from __future__ import annotations

from typing import Any

import numpy as np

from passerby.adaptation.site import Site
from passerby.adaptation.site_tracks import LEAST, SiteTracks, find_tracks
from passerby.errors import DataError
from passerby.metric.covariance import UNKNOWN
from passerby.metric.part_maps import Parts, apply_maps, join_parts, learn_maps
from passerby.ranking.camera_normalization import standardize_cameras
from passerby.reviewing.links import UnionFind
from passerby.types import Embeddings, IntArray

METHOD = "kissme"
"""Key of `METHODS`. Of three methods on training people of CUHK01 and CUHK03 the one with the largest gain."""
ROUNDS = 3
"""Rounds of linking and learning."""


def learn_linked_maps(parts: Parts, site: Site, numbers: IntArray) -> tuple[Parts, list[dict[str, Any]]]:
    """Learn maps from groups of crops that are joined by links between cameras.

    Args:
        parts: (N, P, D).
        site: The crops.
        numbers: (N,) group of each crop, or `UNKNOWN`.

    Returns:
        (P, D, D), and for each round the number of links, their mean probability, and their precision and recall if the
        identities are known.

    Raises:
        DataError: For one camera, or groups without links.
    """
    tracks = find_tracks(site, numbers)
    if len(np.unique(tracks.camera_ids)) < 2:
        raise DataError("one camera: no links between cameras")
    maps, rounds = None, []
    for _ in range(ROUNDS):
        vectors = join_parts(apply_maps(parts, maps))
        normalized = standardize_cameras(Embeddings(vectors, np.ones(len(vectors), np.int64), site.camera_ids)).vectors
        links = tracks.link(normalized)
        if not len(links.pairs):
            raise DataError(f"no link between cameras has a probability of {LEAST} or more")
        rounds.append(tracks.measure(links))
        maps = learn_maps(parts, site.camera_ids, _join(tracks, links.pairs, len(parts)), method=METHOD)
    assert maps is not None
    return maps, rounds


def _join(tracks: SiteTracks, pairs: IntArray, count: int) -> IntArray:
    """Return the (N,) groups of crops after both tracks of each link are joined."""
    joined = UnionFind(len(tracks.camera_ids))
    for first, second in pairs.tolist():
        joined.join(first, second)
    groups = np.full(count, UNKNOWN, np.int64)
    groups[tracks.rows] = joined.roots()[tracks.labels]
    return groups
