"""Gallery with the model that makes its vectors: takes images, returns identities."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from passerby.data.formats import read_bytes
from passerby.data.images import decode_image, read_image
from passerby.errors import DataError, GalleryError
from passerby.extras import require_extra
from passerby.gallery.card import Keep, check_card
from passerby.gallery.crops import Crop
from passerby.gallery.embedding_model import load_model, read_calibration
from passerby.gallery.filters import EVERYTHING, Filter
from passerby.gallery.forget import expire, forget
from passerby.gallery.results import (
    AuditEntry,
    ClusterResult,
    EnrollResult,
    GalleryStats,
    IdentifyResult,
    LabelConflict,
)
from passerby.gallery.sightings import Hit, Sighting, SightingInfo, make_sighting_id
from passerby.gallery.stored_crops import encode_stored_crop
from passerby.gallery.stores.opening import open_gallery
from passerby.gallery.stores.protocol import GalleryStore
from passerby.openset.calibration import Calibration
from passerby.progress import ProgressOption, open_progress
from passerby.types import DEFAULT, FloatArray, Sample

if TYPE_CHECKING:
    from passerby.gallery.camera_search import CameraViews
    from passerby.model.embed import Embedder, ImageLike

logger = logging.getLogger(__name__)

IDENTIFY_HITS = 100
"""Nearest labeled sightings from which `identify` computes probabilities."""


class Gallery:
    """Searchable gallery of people, with identification, clustering, retention and erasure.

    Args:
        where: Folder, `memory`, or `milvus://host:port/name`.
        model: Folder of a run, or `default`: makes the gallery if it is missing, and is compared with the gallery's
            model otherwise. None opens an existing gallery with its own model.
        keep: What is stored of crops, fixed when the gallery is made: `vectors` (nothing), `thumbnails` (default, at
            most 64 x 128 pixels) or `crops`.
        retention: Days that a sighting is kept, fixed likewise; None keeps it.
        user: Name in the audit log; None is the user of this process.
        device: `auto`, `cpu`, `cuda` or `mps`: where images are embedded.
        confirm_erase: Erase what is past its retention even if it is most of the gallery; see `open_gallery`.

    Attributes:
        store: Store of the gallery, which also takes vectors (`Sighting`).

    Raises:
        NoGalleryError: If the gallery is missing and no model is given.
        GalleryError: If the gallery contains another model's vectors, or cannot be opened.
        WeightsError: If `model` is not a trained model.

    Example:
        >>> from passerby.gallery.crops import list_crops
        >>> with Gallery("ours", model="runs/m") as gallery:
        ...     result = gallery.enroll(list_crops("crops", folders="camera"))
        ...     hits = gallery.search("a.jpg", top=3)
        >>> result.new == len(list(Path("crops").rglob("*.jpg")))
        True
        >>> len(hits[0])
        3
    """

    def __init__(
        self,
        where: str | Path,
        *,
        model: str | Path | None = None,
        keep: Keep | None = None,
        retention: float | None = None,
        user: str | None = None,
        device: str = "auto",
        confirm_erase: bool = False,
    ) -> None:
        self._where, self._device = str(where), device
        self._views: CameraViews | None = None
        self._calibration: tuple[object, Calibration] | None = None
        record = None
        if model is not None:
            source = DEFAULT if model == DEFAULT else str(Path(model).expanduser().resolve())
            self.embedder, record = load_model(source, device)  # replaces the property
        self.store: GalleryStore = open_gallery(
            where, model=record, keep=keep, retention=retention, user=user, confirm_erase=confirm_erase
        )

    def __repr__(self) -> str:
        return f"Gallery({self._where!r})"

    @cached_property
    def embedder(self) -> Embedder:
        """The gallery's model, loaded when an image is first embedded.

        Raises:
            GalleryError: If its folder is unknown or missing, or contains another model.
        """
        source = self.store.card.model.source
        if source is None:
            raise GalleryError(f"{self._where}: its model's folder is unknown; name that of {self.store.card.model}")
        if source != DEFAULT and not Path(source).is_dir():
            raise GalleryError(f"{self._where}: its model's folder {source} is missing; name its present folder")
        embedder, record = load_model(source, self._device)
        check_card(self.store.card, self._where, model=record, keep=None, retention=None)
        return embedder

    def enroll(self, crops: Sequence[Crop], *, batch: int = 64, progress: ProgressOption = False) -> EnrollResult:
        """Add crops. Each batch is durable before the next begins, so a call that was interrupted can be repeated.

        Args:
            crops: As `list_crops` or `list_data_crops` returns them.
            batch: Crops embedded and written at a time.
            progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

        Returns:
            Numbers of added and of known crops, the images that could not be read or stored, and the known crops that
            now have another label: the stored label stays, `label` changes it.

        Raises:
            GalleryError: As `GalleryStore.add`.

        Example:
            >>> from passerby.gallery.crops import Crop
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     gallery.enroll([Crop(image=Path("a.jpg"), camera="north", label="Ada")])
            EnrollResult(new=1, known=0, unreadable=0)
        """
        new = known = 0
        unreadable: list[tuple[str, str]] = []
        conflicts: list[LabelConflict] = []
        with open_progress(progress) as report:
            for start in range(0, len(crops), batch):
                part = crops[start : start + batch]
                ids = [make_sighting_id(crop.source, crop.camera, crop.time) for crop in part]
                by_id = dict(zip(reversed(ids), reversed(part), strict=True))  # the first of equal ids
                stored = self.store.stored_labels(list(by_id))
                labels = {name: crop.label for name, crop in by_id.items()} | stored
                conflicts += [
                    LabelConflict(crop.source, labels[name], crop.label)
                    for name, crop in zip(ids, part, strict=True)
                    if crop.label is not None and crop.label != labels[name]
                ]
                images = []
                for crop in (by_id[name] for name in dict.fromkeys(ids) if name not in stored):
                    try:
                        images.append((crop, *_read_crop(crop, self.store.card.keep)))
                    except (DataError, GalleryError) as error:
                        unreadable.append((crop.source, str(error)))
                vectors = self.embedder.embed([pixels for _, pixels, _ in images], batch=batch)
                added = self.store.add(
                    [
                        _make_sighting(crop, vector, kept)
                        for (crop, _, kept), vector in zip(images, vectors, strict=True)
                    ]
                )
                new += len(added.new)
                known += len(stored) + len(added.known) + len(part) - len(by_id)
                report("enroll", start + len(part), len(crops))
        return EnrollResult(new, known, tuple(unreadable), tuple(conflicts))

    def search(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        top: int = 10,
        where: Filter = EVERYTHING,
        seen_by: str | None = None,
    ) -> list[list[Hit]]:
        """Find the nearest sightings of each image.

        Args:
            images: One image or several: files, samples, Pillow images or (H, W, 3) uint8 RGB arrays.
            top: Hits per image.
            where: Sightings to search.
            seen_by: Camera of the images. Vectors are then normalized per camera, by statistics of the gallery's
                sightings (`search_across`); these distances differ from those of other searches.

        Returns:
            Hits of each image, nearest first.

        Raises:
            DataError: For an image that cannot be read.
            GalleryError: For a camera without sightings, or fewer than ten sightings for its statistics.

        Example:
            >>> from passerby.gallery.crops import list_crops
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     _ = gallery.enroll(list_crops("a.jpg", camera="north"))
            ...     [[hit]] = gallery.search("a.jpg")
            >>> hit.camera, round(hit.distance, 3)
            ('north', 0.0)
        """
        vectors = self.embedder.embed(images)
        if seen_by is None:
            return self.store.search(vectors, top=top, where=where)
        from passerby.gallery.camera_search import search_across

        views = self._estimate_views(seen_by)
        return search_across(self.store, views, vectors, seen_by=seen_by, top=top, where=where)

    def _estimate_views(self, camera: str) -> CameraViews:
        """Return the cameras' statistics, estimated again if the gallery has changed much or lacks `camera`."""
        from passerby.gallery.camera_search import GROWTH, CameraViews

        views = self._views
        if views is None or camera not in views or abs(self.store.count() / views.sightings - 1) > GROWTH:
            self._views = views = CameraViews(self.store)
        return views

    def identify(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        where: Filter = EVERYTHING,
        unknown: float = 0.5,
        at_least: float = 0.5,
        seen_by: str | None = None,
    ) -> list[IdentifyResult]:
        """Identify the person on each image, or return unknown; see `identify_hits` for the probabilities.

        Args:
            images: One image or several, as for `search`.
            where: Sightings to search; those without a label do not count.
            unknown: Prior probability that an image shows none of the labels, between 0 and 1.
            at_least: Least probability for naming a label, 0 to 1.
            seen_by: Camera of the images, as for `search`.

        Returns:
            The result of each image.

        Raises:
            GalleryError: If the model is not calibrated, or a probability is outside its range; as `search`.
            DataError: For an image that cannot be read.

        Example:
            >>> from passerby.gallery.crops import list_crops
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     _ = gallery.enroll(list_crops("a.jpg", camera="north", label="Ada"))
            ...     [result] = gallery.identify("a.jpg")
            >>> result.label
            'Ada'
        """
        from passerby.gallery.identify import identify_hits

        calibration = self.calibration if seen_by is None else self.calibration.cameras
        line = None if calibration is None else calibration.identification
        if line is None:
            raise GalleryError(
                f"{self._where}: its model's calibration is of an earlier version, without identification; calibrate "
                "the model again"
            )
        labeled = replace(where, labeled=True)
        hits = self.search(images, top=IDENTIFY_HITS, where=labeled, seen_by=seen_by)
        labels = self.store.count_labels(labeled)
        if not labels:
            logger.warning("%s: no sighting that is searched has a label, so that every image is unknown", self._where)
        return [
            identify_hits(nearest, labels=labels, line=line, unknown=unknown, at_least=at_least) for nearest in hits
        ]

    def cluster(
        self, *, where: Filter = EVERYTHING, threshold: float | None = None, prior: float = 0.01
    ) -> ClusterResult:
        """Group sightings by identity, without labels; see `cluster_vectors`.

        Tracks of one camera that overlap in time are never in one cluster.

        Args:
            where: Sightings to group.
            threshold: Largest mean cosine distance within a cluster; None computes it from the calibration and `prior`.
            prior: Prior probability that a pair of sightings shows one identity, between 0 and 1.

        Returns:
            The clusters, with B-cubed precision and recall if there are labels.

        Raises:
            GalleryError: If there is neither a threshold nor a calibration, or a component is too large.
            MissingExtraError: Without the extra `eval`.

        Example:
            >>> from passerby.gallery.crops import list_crops
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     _ = gallery.enroll(list_crops("crops", folders="camera"))
            ...     result = gallery.cluster(threshold=2.0)
            >>> len(result.clusters)
            1
        """
        from passerby.gallery.cluster import b_cubed, cluster_vectors, find_pair_threshold, find_simultaneous_tracks

        limit = find_pair_threshold(self.calibration, prior=prior) if threshold is None else threshold
        sightings: list[SightingInfo] = []
        vectors: list[FloatArray] = []
        for batch in self.store.walk(where, crops=False):
            sightings += [SightingInfo(**sighting.info) for sighting in batch]
            vectors += [sighting.vector for sighting in batch]
        if not sightings:
            return ClusterResult((), limit)
        numbers = cluster_vectors(np.stack(vectors), threshold=limit, excluded=find_simultaneous_tracks(sightings))
        clusters: list[list[SightingInfo]] = [[] for _ in range(int(numbers.max()) + 1)]
        for number, sighting in zip(numbers.tolist(), sightings, strict=True):
            clusters[number].append(sighting)
        clusters.sort(key=lambda cluster: (-len(cluster), min(sighting.id for sighting in cluster)))
        labels = [sighting.label for sighting in sightings]
        scores = b_cubed(numbers, labels) if any(label is not None for label in labels) else (None, None)
        return ClusterResult(tuple(tuple(sorted(cluster, key=_by_time)) for cluster in clusters), limit, *scores)

    def stats(self) -> GalleryStats:
        """Return size, contents and settings.

        Example:
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     gallery.stats()
            GalleryStats('memory', sightings=0, labels=0, cameras=0)
        """
        return self.store.stats()

    def audit(self) -> list[AuditEntry]:
        """Return the audit log, oldest entry first.

        Example:
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     [entry.action for entry in gallery.audit()]
            ['create']
        """
        return self.store.audit()

    def label(self, name: str | None, *, where: Filter) -> int:
        """Set the label of the sightings that pass a filter, None to remove it; return their number.

        Raises:
            GalleryError: As `GalleryStore.relabel`.

        Example:
            >>> from passerby.gallery.filters import Filter
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     gallery.label("Ada", where=Filter(ids=["s1"]))
            0
        """
        return self.store.relabel(where, name)

    def remove(self, *, where: Filter) -> int:
        """Remove the sightings that pass a filter; return their number. Use `forget` to erase them from the files.

        Raises:
            GalleryError: For a filter without conditions.

        Example:
            >>> from passerby.gallery.filters import Filter
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     gallery.remove(where=Filter(cameras=["north"]))
            0
        """
        return self.store.remove(where)

    def forget(
        self, *, label: str | None = None, ids: Sequence[str] | None = None, sources: Sequence[str] | None = None
    ) -> int:
        """Erase the sightings of a label, of ids, or from files, in the store's files too; return their number.

        Raises:
            GalleryError: As `passerby.gallery.forget.forget`.

        Example:
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     gallery.forget(label="Ada")
            0
        """
        return forget(self.store, label=label, ids=ids, sources=sources)

    def expire(self, *, days: float | None = None) -> int:
        """Erase the sightings enrolled more than `days` ago (None: the retention); return their number.

        Raises:
            GalleryError: As `passerby.gallery.forget.expire`.

        Example:
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     gallery.expire(days=30)
            0
        """
        return expire(self.store, days=days)

    def export(
        self,
        path: str | Path,
        *,
        where: Filter = EVERYTHING,
        progress: ProgressOption = False,
    ) -> int:
        """Write sightings with vectors and stored crops to a Parquet file; return their number.

        Args:
            path: File to write; an existing file is not replaced.
            where: Sightings to write.
            progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

        Raises:
            GalleryError: If the file exists or cannot be written.
            MissingExtraError: Without the extra `eval`.

        Example:
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     gallery.export("empty.parquet")
            0
        """
        require_extra("pyarrow")
        from passerby.gallery.parquet import export_gallery

        return export_gallery(self.store, path, where=where, progress=progress)

    def import_(self, path: str | Path, *, progress: ProgressOption = False) -> EnrollResult:
        """Add the sightings of a file that `export` wrote. `passerby.import_gallery` also makes the gallery.

        Args:
            path: Exported file of a gallery of the same model.
            progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

        Raises:
            GalleryError: If the file contains another model's vectors, or is not an exported gallery.
            MissingExtraError: Without the extra `eval`.

        Example:
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     _ = gallery.export("moved.parquet")
            ...     gallery.import_("moved.parquet")
            EnrollResult(new=0, known=0, unreadable=0)
        """
        require_extra("pyarrow")
        from passerby.gallery.parquet import import_sightings

        return import_sightings(self.store, path, progress=progress)

    @property
    def calibration(self) -> Calibration:
        """Calibration of the model's distances: the present one of its folder, or that of the gallery's card.

        Raises:
            GalleryError: If there is neither.
        """
        model = self.store.card.model
        content = model.calibration if model.source is None else read_calibration(model.source) or model.calibration
        if content is None:
            raise GalleryError(
                f"{self._where}: its model is not calibrated, so distances have no probabilities; run `passerby "
                f"calibrate {model.source or 'RUN'}`, or give a threshold where one is accepted"
            )
        if self._calibration is None or self._calibration[0] is not content:  # the file was read again
            self._calibration = content, Calibration.from_dict(content)
        return self._calibration[1]

    def close(self) -> None:
        """Release files and connections."""
        self.store.close()

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read_crop(crop: Crop, keep: Keep) -> tuple[NDArray[np.uint8], bytes | NDArray[np.uint8]]:
    """Decode an image once; return its pixels, and what the store encodes: the file for `crops`, else the pixels.

    Raises:
        DataError: If it cannot be read.
        GalleryError: If it cannot be stored, so that the other crops of its batch can.
    """
    if isinstance(crop.image, Sample) and crop.image.key is not None:
        pixels = read_image(crop.image)
        return pixels, pixels
    path = crop.image.path if isinstance(crop.image, Sample) else crop.image
    content = read_bytes(path)
    pixels = decode_image(content, str(path))
    if keep != "crops":
        return pixels, pixels
    encode_stored_crop(content, keep, name=f"crop {path}")
    return pixels, content


def _make_sighting(crop: Crop, vector: FloatArray, content: bytes | NDArray[np.uint8]) -> Sighting:
    return Sighting(
        vector=vector,
        crop=content,
        camera=crop.camera,
        time=crop.time,
        label=crop.label,
        source=crop.source,
        attributes=crop.attributes,
    )


def _by_time(sighting: SightingInfo) -> tuple[float, str, str]:
    return (np.inf if sighting.time is None else sighting.time, sighting.camera, sighting.id)
