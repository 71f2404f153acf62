"""Enrollment of crops: decode, embed and add them, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from passerby.data.images import decode_image, read_image
from passerby.errors import DataError, GalleryError
from passerby.files import read_bytes
from passerby.gallery.card import Keep
from passerby.gallery.crops import Crop
from passerby.gallery.results import EnrollResult, LabelConflict
from passerby.gallery.sightings import Sighting, make_sighting_id
from passerby.gallery.stores.protocol import GalleryStore
from passerby.progress import ProgressOption, open_progress
from passerby.runtime.read_ahead import require_batch
from passerby.types import FloatArray, Sample

_Pixels = NDArray[np.uint8]  # (H, W, 3) RGB


def enroll_crops(
    store: GalleryStore,
    crops: Sequence[Crop],
    *,
    embed: Callable[[list[_Pixels]], FloatArray],
    batch: int,
    progress: ProgressOption,
) -> EnrollResult:
    """Add crops to a store; see `Gallery.enroll`.

    Args:
        store: Store of the gallery.
        crops: Crops to add.
        embed: Returns the (N, D) vectors of N images.
        batch: Crops embedded and written at a time.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.
    """
    require_batch(batch)
    new = known = 0
    unreadable: list[tuple[str, str]] = []
    conflicts: list[LabelConflict] = []
    with open_progress(progress) as report:
        for start in range(0, len(crops), batch):
            part = crops[start : start + batch]
            ids = [make_sighting_id(crop.source, crop.camera, crop.time) for crop in part]
            by_id = dict(zip(reversed(ids), reversed(part), strict=True))  # the first of equal ids
            stored = store.stored_labels(list(by_id))
            labels = {name: crop.label for name, crop in by_id.items()} | stored
            conflicts += [
                LabelConflict(crop.source, labels[name], crop.label)
                for name, crop in zip(ids, part, strict=True)
                if crop.label is not None and crop.label != labels[name]
            ]
            images = []
            for crop in (by_id[name] for name in dict.fromkeys(ids) if name not in stored):
                try:
                    images.append((crop, *_read_crop(crop, store.card.keep)))
                except (DataError, GalleryError) as error:
                    unreadable.append((crop.source, str(error)))
            vectors = embed([pixels for _, pixels, _ in images])
            added = store.add(
                [_make_sighting(crop, vector, kept) for (crop, _, kept), vector in zip(images, vectors, strict=True)]
            )
            new += len(added.new)
            known += len(stored) + len(added.known) + len(part) - len(by_id)
            report("enroll", start + len(part), len(crops))
    return EnrollResult(new, known, tuple(unreadable), tuple(conflicts))


def _read_crop(crop: Crop, keep: Keep) -> tuple[_Pixels, bytes | _Pixels]:
    """Decode an image once; return its pixels, and what the store encodes: the file for `crops`, else the pixels.

    Raises:
        DataError: If it cannot be read.
    """
    if isinstance(crop.image, Sample) and crop.image.key is not None:
        pixels = read_image(crop.image)
        return pixels, pixels
    path = crop.image.path if isinstance(crop.image, Sample) else crop.image
    content = read_bytes(path)
    pixels = decode_image(content, str(path))
    return pixels, content if keep == "crops" else pixels


def _make_sighting(crop: Crop, vector: FloatArray, content: bytes | _Pixels) -> Sighting:
    return Sighting(
        vector=vector,
        crop=content,
        camera=crop.camera,
        time=crop.time,
        label=crop.label,
        source=crop.source,
        attributes=crop.attributes,
    )
