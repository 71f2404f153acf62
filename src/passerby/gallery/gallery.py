"""Gallery with the model that makes its vectors: takes images, returns identities."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from passerby.extras import require_extra
from passerby.gallery.card import Keep, Precision, check_keep_and_retention
from passerby.gallery.contents import GalleryContents
from passerby.gallery.crops import Crop
from passerby.gallery.embedding_model import EmbeddingModel, load_given_model
from passerby.gallery.enrollment import enroll_crops
from passerby.gallery.filters import EVERYTHING, Filter
from passerby.gallery.results import ClusterResult, EnrollResult, IdentifyResult
from passerby.gallery.sightings import Hit
from passerby.gallery.stores.opening import open_gallery
from passerby.openset.calibration import Calibration
from passerby.progress import ProgressOption
from passerby.reviewing.defaults import ERROR_RATE, PAIR_PRIOR

if TYPE_CHECKING:
    from passerby.gallery.camera_search import CameraSearch
    from passerby.gallery.review import Review
    from passerby.runtime.embedder import Embedder
    from passerby.runtime.read_ahead import ImageLike

logger = logging.getLogger(__name__)

IDENTIFY_HITS = 100
"""Nearest labeled sightings from which `identify` computes probabilities."""


class Gallery(GalleryContents):
    """Searchable gallery of people, with identification, clustering, retention and erasure.

    Args:
        where: Folder, `memory`, or `milvus://host:port/name`.
        model: Folder of a run, or `default`: makes the gallery if it is missing, and is compared with the gallery's
            model otherwise. None opens an existing gallery with its own model.
        keep: What is stored of crops, fixed when the gallery is made: `vectors` (nothing), `thumbnails` (default, at
            most 64 x 128 pixels) or `crops`.
        retention: Days that a sighting is kept, of a new gallery; None keeps it. `set_retention` changes it.
        flip: Average each vector with that of the mirrored image, which doubles the time; fixed like `keep`. None is
            yes for a new gallery. `embedder.embed` follows it.
        precision: In which vectors are computed, fixed likewise: `fp32` (default), or `bf16`, which needs the extra
            `openvino` and a processor that has it.
        accept_drift: Accept a `model` or `precision` that differs by rounding alone; the gallery's card records it.
        dims: Width of the vectors of a new gallery, below the model's; see `passerby.calibrate`.
        user: Name in the audit log; None is the user of this process.
        device: `auto`, `cpu`, `cuda` or `mps`: where images are embedded.
        confirm_erase: See `open_gallery`.

    Attributes:
        store: Store of the gallery, which also takes vectors (`Sighting`).

    Raises:
        NoGalleryError: If the gallery is missing and no model is given.
        GalleryError: If the gallery contains another model's vectors, or cannot be opened.
        WeightsError: If `model` is not a trained model.

    Example:
        >>> with Gallery("ours", model="runs/m") as gallery:
        ...     result = gallery.enroll(passerby.list_crops("crops", folders="camera"))
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
        flip: bool | None = None,
        precision: Precision | None = None,
        accept_drift: bool = False,
        dims: int | None = None,
        user: str | None = None,
        device: str = "auto",
        confirm_erase: bool = False,
    ) -> None:
        check_keep_and_retention(keep, retention)
        embedder, record = load_given_model(
            where, model, device=device, precision=precision, flip=flip, accept_drift=accept_drift, dims=dims
        )
        store = open_gallery(
            where,
            model=record,
            keep=keep,
            retention=retention,
            flip=flip,
            precision=precision,
            accept_drift=accept_drift,
            user=user,
            confirm_erase=confirm_erase,
        )
        super().__init__(store)
        self._where = str(where)
        try:
            self._model = EmbeddingModel(self._where, store.card, device=device, embedder=embedder)
        except BaseException:
            store.close()
            raise
        self._camera_search: CameraSearch | None = None

    def __repr__(self) -> str:
        return f"Gallery({self._where!r})"

    @property
    def embedder(self) -> Embedder:
        """The gallery's model, loaded when an image is first embedded.

        Raises:
            GalleryError: If its folder is unknown or missing, or contains another model.
        """
        return self._model.embedder

    @property
    def calibration(self) -> Calibration:
        """Calibration of the model's distances: the present one of its folder, or that of the gallery's card.

        Raises:
            GalleryError: If there is neither.
        """
        return self._model.calibration

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
        embed = partial(self.embedder.embed, batch=batch)
        return enroll_crops(self.store, crops, embed=embed, batch=batch, progress=progress)

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
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     _ = gallery.enroll(passerby.list_crops("a.jpg", camera="north"))
            ...     [[hit]] = gallery.search("a.jpg")
            >>> hit.camera, round(hit.distance, 3)
            ('north', 0.0)
        """
        return self.search_vectors(self.embedder.embed(images), top=top, where=where, seen_by=seen_by)

    def search_vectors(
        self, vectors: ArrayLike, *, top: int = 10, where: Filter = EVERYTHING, seen_by: str | None = None
    ) -> list[list[Hit]]:
        """Find the nearest sightings of each vector; see `search`.

        Args:
            vectors: (Q, D) or (D,) floating point that the gallery's model made.
            top: Hits per vector.
            where: Sightings to search.
            seen_by: Camera of the images.

        Raises:
            GalleryError: For vectors of another shape; as `search`.

        Example:
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     _ = gallery.enroll(passerby.list_crops("a.jpg", camera="north"))
            ...     [[hit]] = gallery.search_vectors(gallery.embedder.embed("a.jpg"))
            >>> hit.camera
            'north'
        """
        if seen_by is None:
            return self.store.search(vectors, top=top, where=where)
        if self._camera_search is None:
            from passerby.gallery.camera_search import CameraSearch

            self._camera_search = CameraSearch(self.store)
        return self._camera_search.search(vectors, seen_by=seen_by, top=top, where=where)

    def identify(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        where: Filter = EVERYTHING,
        unknown: float = 0.5,
        at_least: float = 0.5,
        seen_by: str | None = None,
    ) -> list[IdentifyResult]:
        """Identify the person on each image: a label, unknown or not sure; see `identify_hits` for the probabilities.

        Args:
            images: One image or several, as for `search`.
            where: Sightings to search; those without a label do not count.
            unknown: Prior probability that an image shows none of the labels, between 0 and 1.
            at_least: Least probability for an answer, a label or unknown, 0 to 1.
            seen_by: Camera of the images, as for `search`.

        Returns:
            The result of each image.

        Raises:
            GalleryError: If the model is not calibrated, or a probability is outside its range; as `search`.
            DataError: For an image that cannot be read.

        Example:
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     _ = gallery.enroll(passerby.list_crops("a.jpg", camera="north", label="Ada"))
            ...     [result] = gallery.identify("a.jpg")
            >>> result.label
            'Ada'
        """
        vectors = self.embedder.embed(images)
        return self.identify_vectors(vectors, where=where, unknown=unknown, at_least=at_least, seen_by=seen_by)

    def identify_vectors(
        self,
        vectors: ArrayLike,
        *,
        where: Filter = EVERYTHING,
        unknown: float = 0.5,
        at_least: float = 0.5,
        seen_by: str | None = None,
    ) -> list[IdentifyResult]:
        """Identify the person of each vector; see `identify`.

        Args:
            vectors: (Q, D) or (D,) floating point that the gallery's model made.
            where: Sightings to search; those without a label do not count.
            unknown: Prior probability that a vector shows none of the labels, between 0 and 1.
            at_least: Least probability for an answer, 0 to 1.
            seen_by: Camera of the images.

        Raises:
            GalleryError: For vectors of another shape; as `identify`.

        Example:
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     _ = gallery.enroll(passerby.list_crops("a.jpg", camera="north", label="Ada"))
            ...     [result] = gallery.identify_vectors(gallery.embedder.embed("a.jpg"))
            >>> result.answer
            'identified'
        """
        from passerby.gallery.identify import identify_hits

        line = self._model.identification(normalized=seen_by is not None)
        labeled = replace(where, labeled=True)
        hits = self.search_vectors(vectors, top=IDENTIFY_HITS, where=labeled, seen_by=seen_by)
        labels = self.store.count_labels(labeled)
        if not labels:
            logger.warning("%s: no sighting that is searched has a label, so that every image is unknown", self._where)
        identify = partial(identify_hits, labels=labels, line=line, unknown=unknown, at_least=at_least)
        return [identify(nearest) for nearest in hits]

    def cluster(
        self, *, where: Filter = EVERYTHING, threshold: float | None = None, prior: float = PAIR_PRIOR
    ) -> ClusterResult:
        """Group sightings by identity, without labels; see `cluster_vectors`.

        Tracks of one camera that overlap in time are never in one cluster. Answers that were given in a review hold.

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
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     _ = gallery.enroll(passerby.list_crops("crops", folders="camera"))
            ...     result = gallery.cluster(threshold=2.0)
            >>> len(result.clusters)
            1
        """
        from passerby.gallery.cluster import cluster_sightings, find_pair_threshold

        limit = find_pair_threshold(self.calibration, prior=prior) if threshold is None else threshold
        return cluster_sightings(self.store, where=where, threshold=limit)

    def review(self, *, prior: float = PAIR_PRIOR, error_rate: float = ERROR_RATE) -> Review:
        """Start a review: questions to a person, and the identities that follow from the answers.

        Args:
            prior: Prior probability that a pair of sightings shows one person, between 0 and 1.
            error_rate: Assumed fraction of wrong answers, above 0 and below 0.5.

        Raises:
            GalleryError: If the model is not calibrated, the store keeps no answers, or a number is outside its range.
            MissingExtraError: Without the extra `eval`.

        Example:
            >>> with Gallery("memory", model="runs/m") as gallery:
            ...     _ = gallery.enroll(passerby.list_crops("crops", folders="camera"))
            ...     questions = gallery.review().questions(3)
            >>> len(questions) <= 3
            True
        """
        require_extra("numba")
        from passerby.gallery.review import Review

        return Review(self.store, self.calibration, prior=prior, error_rate=error_rate)
