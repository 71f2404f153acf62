"""From embeddings to rank lists: cosine distances, query expansion, sets of images, re-ranking, fusion of models.

Q queries   G gallery items
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

import numpy as np

from passerby.data.datasets.public_spec import hide_folders
from passerby.errors import DataError, argument
from passerby.openset.calibration import Calibration
from passerby.ranking.blocks import DistanceBlocks, iter_distances
from passerby.ranking.camera_normalization import normalize_cameras
from passerby.ranking.expand import expand_queries
from passerby.ranking.fuse import Fusion, fuse_blocks
from passerby.ranking.rerank import rerank_blocks
from passerby.ranking.sets import Pooling, SetDistance, compare_sets, group_images, label_sets, pool
from passerby.types import Embeddings, IntArray, Labels, Sample

logger = logging.getLogger(__name__)

Rerank = Literal["k-reciprocal"]
Expansion = Literal["average", "alpha"]
ALPHA = 3.0
"""Exponent of alpha query expansion (Radenovic et al. 2018)."""
CHOICES = {
    "rerank": get_args(Rerank),
    "expand": get_args(Expansion),
    "sets": (*get_args(Pooling), *get_args(SetDistance)),
    "fuse_by": get_args(Fusion),
}


@dataclass(frozen=True)
class RankingMethod:
    """From embeddings to rank lists. The default is cosine distance.

    Attributes:
        cameras: Camera-wise normalization first, which uses the test cameras' unlabeled images; None is the recipe's
            choice.
        rerank: `k-reciprocal` re-ranks every list (Zhong et al. 2017) with the next three; None does not.
        k1: Neighbors of the reciprocity test, 1 to G.
        k2: Neighbors that are averaged, 1 to k1 + 1.
        lambda_: Weight of the original distance, 0 to 1.
        expand: Query expansion by the first 10 items: `average` (AQE) or `alpha` (alpha-QE).
        sets: All images of an identity in a camera as one item: `mean` or `attention` (one vector), or `best`,
            `average` or `hausdorff` (one distance).
        fuse_by: Fusion of the lists of several models: `reciprocal`, `average` or `borda`.
        models: Names of the models beside the first one.
        calibrated: Fusion by `average` uses the models' calibrated probabilities, not standardized distances.

    Raises:
        DataError: For an unknown name, a value out of range, or a combination that is not defined.

    Example:
        >>> RankingMethod(rerank="k-reciprocal", expand="alpha").title
        'query expansion (alpha), re-ranked (k-reciprocal, 20, 6, 0.3)'
    """

    cameras: bool | None = None
    rerank: Rerank | None = None
    k1: int = 20
    k2: int = 6
    lambda_: float = 0.3
    expand: Expansion | None = None
    sets: Pooling | SetDistance | None = None
    fuse_by: Fusion = "reciprocal"
    models: tuple[str, ...] = ()
    calibrated: bool = False

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if (value := getattr(self, name)) is not None and value not in choices:
                raise DataError(f"{argument(name)}: got {value!r}, expected one of {', '.join(choices)}")
        for name, holds, expected in (
            ("k1", self.k1 >= 1, "1 or more"),
            ("k2", 1 <= self.k2 <= self.k1 + 1, f"1 to {argument('k1')} + 1 = {self.k1 + 1}"),
            ("lambda_", 0 <= self.lambda_ <= 1, "0 to 1"),
        ):
            if not holds:
                raise DataError(f"{argument(name)}: got {getattr(self, name)}, expected {expected}")
        if self.sets in get_args(SetDistance) and (self.rerank or self.expand):
            raise DataError(
                f"{argument('sets')}: {self.sets!r} gives distances and no vectors, which re-ranking and expansion "
                f"need; use {' or '.join(get_args(Pooling))}"
            )
        if self.calibrated and (self.fuse_by != "average" or not self.plain):
            raise DataError(
                "calibrated: a calibration applies to cosine distances between two images; leave it out with "
                "re-ranking, expansion, sets or camera-wise normalization, and fuse by average"
            )

    @property
    def plain(self) -> bool:
        """Whether each model's lists are those of cosine distance."""
        return not (self.rerank or self.expand or self.sets or self.cameras)

    def resolve(self, *, cameras: bool, models: tuple[str, ...], calibrated: bool) -> RankingMethod:
        """Return the method with a recipe's camera-wise normalization where none is chosen, and with its models.

        Args:
            cameras: The recipe's choice.
            models: Names of the models beside the first one.
            calibrated: Whether all models have a calibration, which fusion by `average` then uses.
        """
        method = replace(self, cameras=cameras if self.cameras is None else self.cameras, models=models)
        return replace(method, calibrated=calibrated and method.fuse_by == "average" and method.plain)

    def of_tracks(self) -> RankingMethod:
        """Return the method for data sets of tracks: `sets` applies to tracks, and is `mean` if none is chosen."""
        return replace(self, sets=self.sets or "mean", calibrated=False)

    def limit(self, items: int) -> RankingMethod:
        """Return the method with neighbors of the re-ranking that a gallery has, with a warning where they are fewer.

        Args:
            items: Number of gallery items, images or sets.
        """
        if self.rerank is None or not 1 <= items < self.k1:
            return self
        k2 = min(self.k2, items + 1)
        logger.warning(
            "re-ranking: the gallery has %d items; k1 is %d in place of %d, and k2 is %d. "
            f"Choose them with {argument('k1')} and {argument('k2')}",
            items,
            items,
            self.k1,
            k2,
        )
        return replace(self, k1=items, k2=k2)

    @property
    def title(self) -> str:
        """Description for tables and `scores.json`; empty for cosine distance."""
        parts = ["camera-wise normalization (the test cameras' unlabeled images)"] if self.cameras else []
        if self.models:
            averaged = f" of {'probabilities' if self.calibrated else 'standardized distances'}"
            fusion = f"{self.fuse_by}{averaged if self.fuse_by == 'average' else ''}"
            parts.append(f"fused with {', '.join(map(hide_folders, self.models))} ({fusion})")
        if self.sets:
            parts.append(f"sets of images ({self.sets})")
        if self.expand:
            parts.append(f"query expansion ({self.expand})")
        if self.rerank:
            parts.append(f"re-ranked ({self.rerank}, {self.k1}, {self.k2}, {self.lambda_:g})")
        return ", ".join(parts)


@dataclass(frozen=True)
class RankLists:
    """The items to rank and their distances.

    Attributes:
        query: Labels of the Q rows.
        gallery: Labels of the G columns.
        query_images: (Q,) index of an image of each row.
        gallery_images: (G,) index of an image of each column.
        blocks: The distances, block by block.
    """

    query: Labels
    gallery: Labels
    query_images: IntArray
    gallery_images: IntArray
    blocks: DistanceBlocks


Tracks = tuple[IntArray | None, IntArray | None]
"""(Q,) and (G,) number of the track of each image, 0 to the number of tracks - 1; None for single images."""


def number_tracks(samples: Sequence[Sample]) -> IntArray | None:
    """Number the tracks of samples in order of first appearance; None if a sample has no track.

    Returns:
        (N,) track of each sample.

    Example:
        >>> from pathlib import Path
        >>> number_tracks([Sample(Path("a.jpg"), 1, 0, track=9), Sample(Path("b.jpg"), 1, 1, track=4)]).tolist()
        [0, 1]
    """
    numbers: dict[int | None, int] = {}
    tracks = [numbers.setdefault(sample.track, len(numbers)) for sample in samples]
    return None if not samples or None in numbers else np.array(tracks, dtype=np.int64)


def rank_with(
    method: RankingMethod,
    pairs: Sequence[tuple[Embeddings, Embeddings]],
    calibrations: Sequence[Calibration] = (),
    *,
    tracks: Tracks = (None, None),
    device: str = "cpu",
) -> RankLists:
    """Compute the distances of rank lists from one or several models' embeddings of the same images.

    Args:
        method: From embeddings to lists.
        pairs: (query, gallery) of each model, unit vectors with the same labels.
        calibrations: Calibrations of each model, for a `calibrated` method.
        tracks: Tracks of query and gallery, the sets of a method with `sets`; else all images of an identity in a
            camera are a set.
        device: `cpu`, or a CUDA device for distances between vectors. Re-ranking and sets run on the CPU.
    """
    sides = [_index_items(side, method, numbers) for side, numbers in zip(pairs[0], tracks, strict=True)]
    if method.cameras:
        pairs = [normalize_cameras(*pair) for pair in pairs]
    single = len(pairs) == 1  # fusion sorts each list, on the CPU
    lists = [_compute_distances(*pair, method, tracks, device=device if single else "cpu") for pair in pairs]
    probabilities = [calibration.probability for calibration in calibrations] if method.calibrated else None
    blocks = lists[0] if single else fuse_blocks(lists, method=method.fuse_by, calibrations=probabilities)
    (query, query_images), (gallery, gallery_images) = sides
    return RankLists(query, gallery, query_images, gallery_images, blocks)


def count_items(side: Embeddings, method: RankingMethod, tracks: IntArray | None = None) -> int:
    """Count the items of a method, images or sets of images."""
    return len(_index_items(side, method, tracks)[1])


def _index_items(side: Embeddings, method: RankingMethod, tracks: IntArray | None) -> tuple[Labels, IntArray]:
    """Return the labels of the items to rank, images or sets, and the index of an image of each."""
    if method.sets is None:
        return Labels(side.person_ids, side.camera_ids), np.arange(len(side))
    sets = group_images(side) if tracks is None else tracks
    return label_sets(side, sets), np.unique(sets, return_index=True)[1]


def _compute_distances(
    query: Embeddings, gallery: Embeddings, method: RankingMethod, tracks: Tracks, *, device: str
) -> DistanceBlocks:
    """Compute one model's distances."""
    if method.sets is not None:
        query_sets, gallery_sets = (
            group_images(side) if numbers is None else numbers
            for side, numbers in zip((query, gallery), tracks, strict=True)
        )
        if method.sets in get_args(SetDistance):
            distance = cast("SetDistance", method.sets)
            return compare_sets(query, gallery, query_sets=query_sets, gallery_sets=gallery_sets, method=distance)
        pooling = cast("Pooling", method.sets)
        query, gallery = pool(query, query_sets, method=pooling), pool(gallery, gallery_sets, method=pooling)
    if method.expand:
        query = expand_queries(query, gallery, alpha=ALPHA if method.expand == "alpha" else None)
    if method.rerank:
        return rerank_blocks(query, gallery, k1=method.k1, k2=method.k2, lambda_=method.lambda_)
    return iter_distances(query, gallery, device=device)
