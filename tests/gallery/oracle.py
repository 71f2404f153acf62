"""Exact search over a list of sightings: the oracle of every store."""

import numpy as np

from passerby.gallery.stores.exact_distances import exact_distances


def select(sightings, where):
    """The sightings that pass a filter, by the text of its documentation, one condition at a time."""
    left = list(sightings)
    if where.cameras is not None:
        left = [s for s in left if s.camera in where.cameras]
    left = [s for s in left if s.camera not in where.not_cameras]
    if where.since is not None:
        left = [s for s in left if s.time is not None and s.time >= where.since]
    if where.until is not None:
        left = [s for s in left if s.time is not None and s.time < where.until]
    if where.labels is not None:
        left = [s for s in left if s.label in where.labels]
    if where.labeled:
        left = [s for s in left if s.label is not None]
    if where.ids is not None:
        left = [s for s in left if s.id in where.ids]
    if where.sources is not None:
        left = [s for s in left if s.source in where.sources or s.source.split("::")[0] in where.sources]
    if where.enrolled_before is not None:
        left = [s for s in left if s.enrolled is not None and s.enrolled < where.enrolled_before]
    return left


def brute_force(query, sightings, top):
    """(id, distance) of the nearest, in float64 and rounded to float32; equal distances in the order of their ids."""
    distance = {s.id: 1 - float(query.astype(float) @ s.vector.astype(float)) for s in sightings}
    rounded = {name: (np.float32(max(value, 0)) if value > 1e-7 else np.float32(0)) for name, value in distance.items()}
    return sorted(rounded.items(), key=lambda pair: (pair[1], pair[0]))[:top]


def exact_search(query, sightings, *, top, where):
    """(id, distance) of the nearest sightings that pass a filter, with this package's distances to the bit."""
    left = select(sightings, where)
    unit = (query.astype(float) / np.linalg.norm(query.astype(float))).astype(np.float32)
    vectors = np.stack([s.vector for s in left]) if left else np.empty((0, len(query)), np.float32)
    pairs = zip(exact_distances(unit, vectors).tolist(), (s.id for s in left), strict=True)
    return [(name, distance) for distance, name in sorted(pairs)[:top]]
