"""A gallery with the model that makes its vectors: images go in, people come out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from passerby.data.images import decode_image, read_bytes, read_image
from passerby.errors import DataError, GalleryError
from passerby.gallery.card import Pictures, calibration_of, check_card, load_model
from passerby.gallery.crops import Crop
from passerby.gallery.forget import expire, forget
from passerby.gallery.sightings import EVERYTHING, Description, Facts, Filter, Hit, Sighting, facts, sighting_id
from passerby.gallery.stores.opening import open_gallery
from passerby.gallery.stores.protocol import GalleryStore
from passerby.openset.calibration import Calibration
from passerby.progress import ProgressOption, open_progress
from passerby.types import DEFAULT, FloatArray, Sample

if TYPE_CHECKING:
    from passerby.gallery.camera_search import CameraViews
    from passerby.gallery.identify import Identity
    from passerby.model.embed import Embedder, ImageLike

DEPTH = 100
"""Nearest labeled sightings that `identify` looks at."""


@dataclass(frozen=True)
class EnrollResult:
    """What `enroll` did.

    Attributes:
        new: Sightings taken in.
        known: Crops that were there before: same file, camera and time.
        unreadable: (source, why) of images that could not be read; all others are in.
    """

    new: int
    known: int
    unreadable: tuple[tuple[str, str], ...]


class Gallery:
    """People that are remembered: enroll images, search and identify others, group, forget.

    Args:
        where: A folder, `memory`, or `milvus://host:port/name`.
        model: The folder of a run, or `default` for the model of the package: makes the gallery when it is not there,
            and is compared with the gallery's own when it is. None opens a gallery with the model that it remembers.
        pictures: What is kept of crops when it is made: `vectors`, `thumbnails` (default), `crops`.
        retention: Days that a sighting is kept, when it is made; None keeps it.
        who: Who is written into the audit log; None is the user of this process.
        device: Where images are embedded.

    Raises:
        NoGalleryError: When there is no gallery and no model to make one.
        GalleryError: When the gallery holds another model's vectors, or cannot be reached.
        WeightsError: When `model` is no trained model.
    """

    def __init__(
        self,
        where: str | Path,
        *,
        model: str | Path | None = None,
        pictures: Pictures | None = None,
        retention: float | None = None,
        who: str | None = None,
        device: str = "cpu",
    ) -> None:
        self._where, self._device = str(where), device
        self._views: CameraViews | None = None
        made = None
        if model is not None:
            source = "" if model == DEFAULT else str(Path(model).expanduser().resolve())
            self.embedder, made = load_model(source, device)  # in place of the property
        self.store: GalleryStore = open_gallery(where, model=made, pictures=pictures, retention=retention, who=who)

    @cached_property
    def embedder(self) -> Embedder:
        """The gallery's model, loaded when an image is first embedded.

        Raises:
            GalleryError: When nobody knows where it is, or it is not the one that made the vectors.
        """
        source = self.store.card.model.source
        if source is None:
            raise GalleryError(
                f"{self._where}: does not say where its model lies; name the folder of {self.store.card.model}"
            )
        if source and not Path(source).is_dir():
            raise GalleryError(
                f"{self._where}: its model lay in {source}, which is gone; name the folder where it is now"
            )
        embedder, found = load_model(source, self._device)
        check_card(self.store.card, self._where, model=found, pictures=None, retention=None)
        return embedder

    def enroll(self, crops: Sequence[Crop], *, batch: int = 64, progress: ProgressOption = False) -> EnrollResult:
        """Take crops in, a batch at a time, each durable when the next begins; cut off, the same call goes on.

        Args:
            crops: See `crops_of`.
            batch: Crops embedded and written at a time.
            progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

        Raises:
            GalleryError: As `GalleryStore.add`.
        """
        new = known = 0
        unreadable: list[tuple[str, str]] = []
        with open_progress(progress) as report:
            for start in range(0, len(crops), batch):
                some = {sighting_id(each.source, each.camera, each.time): each for each in crops[start : start + batch]}
                there = {each.id for rows in self.store.walk(Filter(ids=list(some))) for each in rows}
                read = []
                for name, crop in some.items():
                    if name not in there:
                        try:
                            read.append((crop, *_read(crop)))
                        except DataError as error:
                            unreadable.append((crop.source, str(error)))
                vectors = self.embedder.embed([pixels for _, pixels, _ in read], batch=batch)
                added = self.store.add(
                    [_sighting(crop, vector, picture) for (crop, _, picture), vector in zip(read, vectors, strict=True)]
                )
                new += len(added.new)
                known += len(there) + len(added.known) + len(crops[start : start + batch]) - len(some)
                report("enroll", min(start + batch, len(crops)), len(crops))
        return EnrollResult(new, known, tuple(unreadable))

    def search(
        self,
        images: ImageLike | Sequence[ImageLike],
        *,
        top: int = 10,
        where: Filter = EVERYTHING,
        seen_by: str | None = None,
    ) -> list[list[Hit]]:
        """The nearest sightings of each image, nearest first; see `GalleryStore.search`.

        Args:
            images: One or several.
            top: Hits per image.
            where: Which sightings count.
            seen_by: The camera that saw the images: what each camera does to all of its vectors is then taken out, by
                the gallery's own unlabeled sightings (`search_across`). Its distances are no other search's.

        Raises:
            DataError: For an image that cannot be read.
            GalleryError: For a camera that the gallery does not know, or fewer than ten sightings to learn from.
        """
        vectors = self._embed(images)
        if seen_by is None:
            return self.store.search(vectors, top=top, where=where)
        from passerby.gallery.camera_search import search_across

        views = self._learn_cameras(seen_by)
        return search_across(self.store, views, vectors, seen_by=seen_by, top=top, where=where)

    def _learn_cameras(self, needed: str) -> CameraViews:
        """What cameras do, learned again when the gallery has changed by a tenth or lacks the one that is needed."""
        from passerby.gallery.camera_search import GROWN, CameraViews

        known = self._views
        if known is None or needed not in known or abs(self.store.count() / known.sightings - 1) > GROWN:
            self._views = known = CameraViews(self.store)
        return known

    def identify(
        self,
        images: ImageLike | Sequence[ImageLike],
        *,
        where: Filter = EVERYTHING,
        unknown: float = 0.5,
        at_least: float = 0.5,
        seen_by: str | None = None,
    ) -> list[Identity]:
        """Who each image shows, or nobody with a label; see `identify_hits`.

        Args:
            images: One or several.
            where: Which labeled sightings count.
            unknown: Share of images that show nobody with a label, between 0 and 1.
            at_least: A name is given from this probability on.
            seen_by: The camera that saw the images, as for `search`.

        Raises:
            GalleryError: When the model is not calibrated, or for a probability out of its range; as `search`.
            DataError: For an image that cannot be read.
        """
        from passerby.gallery.identify import identify_hits

        calibration = self.calibration if seen_by is None else self.calibration.cameras
        line = None if calibration is None else calibration.identification
        if line is None:
            raise GalleryError(
                f"{self._where}: the calibration of its model is of an earlier version, which did not tell people from "
                "nobody; calibrate the model again"
            )
        named = replace(where, labeled=True)
        found = self.search(images, top=DEPTH, where=named, seen_by=seen_by)
        labels = self.store.labels(named)
        return [identify_hits(hits, labels=labels, line=line, unknown=unknown, at_least=at_least) for hits in found]

    def cluster(
        self, *, where: Filter = EVERYTHING, threshold: float | None = None, prior: float = 0.01
    ) -> list[list[Facts]]:
        """Who is who, without labels: each person's sightings by time, the most often seen person first; see `join`.

        Tracks that one camera saw at the same time are never the same person.

        Args:
            where: Which sightings are grouped.
            threshold: Largest mean distance within a person; None takes it from the calibration and `prior`.
            prior: Share of pairs of sightings that show one person, between 0 and 1.

        Raises:
            GalleryError: When there is neither a threshold nor a calibration, or too many hang together.
        """
        from passerby.gallery.cluster import join, never_together, threshold_of

        limit = threshold_of(self.calibration, prior=prior) if threshold is None else threshold
        everybody: list[Facts] = []
        vectors: list[FloatArray] = []
        for rows in self.store.walk(where):
            everybody += [Facts(**facts(each)) for each in rows]
            vectors += [each.vector for each in rows]
        if not everybody:
            return []
        numbers = join(np.stack(vectors), threshold=limit, apart=never_together(everybody))
        groups: list[list[Facts]] = [[] for _ in range(int(numbers.max()) + 1)]
        for number, each in zip(numbers.tolist(), everybody, strict=True):
            groups[number].append(each)
        ordered = sorted(groups, key=lambda group: (-len(group), min(each.id for each in group)))
        return [sorted(group, key=_when) for group in ordered]

    def stats(self) -> Description:
        """The gallery in numbers."""
        return self.store.describe()

    def label(self, name: str | None, *, where: Filter) -> int:
        """Say who is on the sightings that pass, None for nobody knows; see `GalleryStore.relabel`."""
        return self.store.relabel(where, name)

    def remove(self, *, where: Filter) -> int:
        """Take out the sightings that pass; see `GalleryStore.remove`."""
        return self.store.remove(where)

    def forget(
        self, *, label: str | None = None, ids: Sequence[str] | None = None, sources: Sequence[str] | None = None
    ) -> int:
        """Erase one person, some sightings or files, out of the files too; see `passerby.gallery.forget.forget`."""
        return forget(self.store, label=label, ids=ids, sources=sources)

    def expire(self, *, days: float | None = None) -> int:
        """Erase what was enrolled long ago; see `passerby.gallery.forget.expire`."""
        return expire(self.store, days=days)

    def export(self, path: str | Path, *, where: Filter = EVERYTHING) -> int:
        """Write sightings into a Parquet file; see `passerby.gallery.parquet.export_gallery`."""
        from passerby.gallery.parquet import export_gallery  # and pyarrow

        return export_gallery(self.store, path, where=where)

    @property
    def calibration(self) -> Calibration:
        """What distances mean: the model's calibration as it is now, or as it was when the gallery was made.

        Raises:
            GalleryError: When there is neither.
        """
        model = self.store.card.model
        known = model.calibration if model.source is None else calibration_of(model.source) or model.calibration
        if known is None:
            raise GalleryError(
                f"{self._where}: its model is not calibrated, so distances are no probabilities; run `passerby "
                f"calibrate {model.source or 'RUN'}`, or give a threshold where one is taken"
            )
        return Calibration.from_dict(known)

    def _embed(self, images: ImageLike | Sequence[ImageLike]) -> FloatArray:
        single = isinstance(images, str | Path | Sample | Image.Image | np.ndarray)
        several: Any = [images] if single else images
        return self.embedder.embed(several)

    def close(self) -> None:
        """Let go of files and connections."""
        self.store.close()

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read(crop: Crop) -> tuple[Any, bytes]:
    """Pixels, and the picture as an encoded image."""
    if isinstance(crop.image, Sample) and crop.image.key is not None:
        pixels = read_image(crop.image)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
        return pixels, out.getvalue()
    path = crop.image.path if isinstance(crop.image, Sample) else crop.image
    data = read_bytes(path)
    return decode_image(data, str(path)), data


def _sighting(crop: Crop, vector: FloatArray, picture: bytes) -> Sighting:
    return Sighting(
        vector=vector,
        picture=picture,
        camera=crop.camera,
        time=crop.time,
        label=crop.label,
        source=crop.source,
        attributes=crop.attributes,
    )


def _when(sighting: Facts) -> tuple[float, str, str]:
    return (np.inf if sighting.time is None else sighting.time, sighting.camera, sighting.id)
