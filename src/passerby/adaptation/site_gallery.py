"""Crops of a site from a gallery that keeps them: tracks, answers of a review, and labels where they are to be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from passerby.adaptation.site import NamedLink, SiteCrop
from passerby.data.images import decode_image
from passerby.errors import DataError, argument
from passerby.gallery.cluster import find_simultaneous_tracks
from passerby.gallery.sightings import Sighting, SightingInfo
from passerby.gallery.stores.protocol import GalleryStore
from passerby.reviewing.answers import to_arrays
from passerby.reviewing.links import count_votes

TRACK_COLUMN = "track"
"""Attribute of sightings that were enrolled from a table with this column: crops of one camera with one value are of
one track."""
THUMBNAIL_LOSS = "by which mAP on CUHK01 is 2.0 points lower than by the crops (39.4 and 41.4, normalized per camera)"
"""Loss by images of the size and quality of thumbnails, measured on training people with the default model."""


def list_gallery_crops(
    store: GalleryStore, *, where: str | Path, labels: bool
) -> tuple[list[SiteCrop], list[NamedLink]]:
    """List the stored crops of a gallery, and the links between them.

    Args:
        store: Store of the gallery.
        where: Its address, for messages.
        labels: Use the labels of the sightings.

    Returns:
        Crops, with the ids of the sightings as names, and must-links and cannot-links: answers of a review, and tracks
        of one camera that overlap in time.

    Raises:
        DataError: For a gallery that keeps vectors or thumbnails, without crops, or without labels where they are to be
            used.
    """
    keep = store.card.keep
    if keep != "crops":
        kept = "no crops" if keep == "vectors" else f"thumbnails, {THUMBNAIL_LOSS}"
        raise DataError(
            f"{where}: keeps {kept}; adapting needs the crops: enroll the images into a gallery that was made with "
            "keep=crops, or give them as a folder"
        )
    sightings = [sighting for batch in store.walk() for sighting in batch if sighting.crop is not None]
    if not sightings:
        raise DataError(f"{where}: holds no crops; enroll some first")
    if labels and not any(sighting.label for sighting in sightings):
        raise DataError(f"{where}: no sighting has a label; label some, or leave {argument('labels')} out")
    return [_to_crop(sighting, labels=labels) for sighting in sightings], _find_links(store, sightings)


def _to_crop(sighting: Sighting, *, labels: bool) -> SiteCrop:
    crop = sighting.crop
    track = sighting.attributes.get(TRACK_COLUMN)
    return SiteCrop(
        image=decode_image(crop, f"sighting {sighting.id}") if isinstance(crop, bytes) else crop,  # type: ignore[arg-type]
        camera=sighting.camera,
        track=None if track is None else str(track),
        person=sighting.label if labels else None,
        name=sighting.id,
    )


def _find_links(store: GalleryStore, sightings: Sequence[SightingInfo]) -> list[NamedLink]:
    ids = [sighting.id for sighting in sightings]
    links = [NamedLink(ids[a], ids[b], same=False) for a, b in find_simultaneous_tracks(sightings)]
    if not store.keeps_answers:
        return links
    votes = count_votes(*to_arrays(store.answers.read(), ids))
    return links + [
        NamedLink(ids[a], ids[b], same=net > 0)
        for (a, b), net in zip(votes.pairs.tolist(), votes.net.tolist(), strict=True)
        if net
    ]
