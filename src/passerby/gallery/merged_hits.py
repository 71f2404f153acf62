"""Hits of several galleries as those of one: weeks, shards by camera, or replicas. Q queries."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import merge
from itertools import islice

from passerby.errors import GalleryError
from passerby.gallery.sightings import Hit


def merge_hits(answers: Sequence[Sequence[Sequence[Hit]]], *, top: int) -> list[list[Hit]]:
    """Merge the answers of searches with the same queries, as if all sightings were in one gallery.

    All stores compute the same exact distances, so that the result equals that of one gallery with all sightings if
    each answer holds the nearest `top` of its gallery. A sighting that several galleries hold, as replicas do, is there
    once. The galleries need vectors of one model and width. Distances under camera-wise normalization (`seen_by`)
    depend on the sightings of the gallery and cannot be merged.

    Args:
        answers: For each gallery the hits of its Q queries, as `Gallery.search` returns them.
        top: Hits per query.

    Returns:
        Hits of each query, nearest first, equal distances in the order of their ids.

    Raises:
        GalleryError: If the galleries answered different numbers of queries, or `top` is below 1.

    Example:
        >>> galleries = [passerby.Gallery("memory", model="runs/m") for _ in range(2)]
        >>> for gallery, image in zip(galleries, ("a.jpg", "b.jpg"), strict=True):
        ...     _ = gallery.enroll(passerby.list_crops(image, camera="north"))
        >>> [hits] = merge_hits([gallery.search("a.jpg", top=5) for gallery in galleries], top=5)
        >>> [Path(hit.source).name for hit in hits]
        ['a.jpg', 'b.jpg']
    """
    if top < 1:
        raise GalleryError(f"top: got {top}, expected at least 1")
    counts = sorted({len(answer) for answer in answers})
    if len(counts) > 1:
        raise GalleryError(f"answers of {counts[0]} and of {counts[-1]} queries; expected those of the same queries")
    merged = []
    for lists in zip(*answers, strict=True):
        distinct: dict[str, Hit] = {}
        for hit in merge(*lists, key=lambda hit: (hit.distance, hit.id)):
            distinct.setdefault(hit.id, hit)
        merged.append([*islice(distinct.values(), top)])
    return merged
