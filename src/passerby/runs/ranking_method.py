"""How rank lists are made of embeddings: plain distances, expansion, sets, re-ranking, fusion of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np

from passerby.errors import DataError
from passerby.openset.calibration import Calibration
from passerby.ranking.blocks import DistanceBlocks, iter_distances
from passerby.ranking.camera_normalization import normalize_cameras
from passerby.ranking.expand import expand_queries
from passerby.ranking.fuse import Fusion, fuse_blocks
from passerby.ranking.rerank import rerank_blocks
from passerby.ranking.sets import (
    Pooling,
    SetDistance,
    compare_sets,
    group_images,
    label_sets,
    pool,
)
from passerby.types import Embeddings, IntArray, Labels

Rerank = Literal["k-reciprocal"]
Expansion = Literal["average", "alpha"]
SETS = (*get_args(Pooling), *get_args(SetDistance))


@dataclass(frozen=True)
class Method:
    """What happens between embeddings and rank lists; the default is cosine distances and nothing else.

    Attributes:
        cameras: Camera-wise normalization first, which uses the test cameras' unlabeled images.
        rerank: `k-reciprocal`, with `k1`, `k2` and `lambda_`.
        expand: Query expansion before anything else: `average` (AQE) or `alpha` (alpha-QE) over the first 10.
        sets: All images of a person in a camera as one: `mean` or `attention` (one vector), or `best`, `average`,
            `hausdorff` (one distance).
        fuse: How the lists of several models become one: `reciprocal`, `average` or `borda`.
        models: Names of the models beside the run's own.
        calibrated: Fusion by `average` is of the models' calibrated probabilities, not of standardized distances.

    Raises:
        DataError: For a name that is not known, or two that cannot go together.
    """

    rerank: Rerank | None = None
    expand: Expansion | None = None
    sets: Pooling | SetDistance | None = None
    fuse: Fusion = "reciprocal"
    models: tuple[str, ...] = ()
    calibrated: bool = False
    k1: int = 20
    k2: int = 6
    lambda_: float = 0.3
    cameras: bool = False

    def __post_init__(self) -> None:
        known = {"rerank": get_args(Rerank), "expand": get_args(Expansion), "sets": SETS, "fuse": get_args(Fusion)}
        for name, words in known.items():
            if (value := getattr(self, name)) is not None and value not in words:
                raise DataError(f"{name}: got {value!r}, expected one of {', '.join(words)}")
        if self.sets in get_args(SetDistance) and (self.rerank or self.expand):
            raise DataError(
                f"sets: {self.sets!r} compares images pair by pair, which leaves no vectors to re-rank or expand; use "
                f"{' or '.join(get_args(Pooling))}"
            )
        if self.calibrated and (self.fuse != "average" or self.rerank or self.expand or self.sets or self.cameras):
            raise DataError(
                "calibrated: a calibration is of plain distances between two images; leave it out with re-ranking, "
                "expansion, sets or camera-wise normalization, and fuse by average"
            )

    @property
    def title(self) -> str:
        """What a figure must say of it; empty when there is nothing to say."""
        words = ["camera-wise normalization (the test cameras' unlabeled images)"] if self.cameras else []
        if self.models:
            averaged = f" of {'probabilities' if self.calibrated else 'standardized distances'}"
            words.append(
                f"fused with {', '.join(self.models)} ({self.fuse}{averaged if self.fuse == 'average' else ''})"
            )
        if self.sets:
            words.append(f"sets of images ({self.sets})")
        if self.expand:
            words.append(f"query expansion ({self.expand})")
        if self.rerank:
            words.append(f"re-ranked ({self.rerank}, {self.k1}, {self.k2}, {self.lambda_:g})")
        return ", ".join(words)


@dataclass(frozen=True)
class Lists:
    """What is ranked: labels of the Q and G rows and columns, an image that stands for each, and the distances."""

    query: Labels
    gallery: Labels
    query_images: IntArray
    gallery_images: IntArray
    strips: DistanceBlocks


def make_lists(
    pairs: Sequence[tuple[Embeddings, Embeddings]],
    method: Method,
    calibrations: Sequence[Calibration] = (),
    *,
    device: str = "cpu",
) -> Lists:
    """Rank lists of one or several models' embeddings of the same query and gallery images.

    Args:
        pairs: (query, gallery) of each model, unit vectors; the ids are alike in all.
        method: How.
        calibrations: Of each model; for a `calibrated` method.
        device: `cpu`, or a CUDA device for distances between vectors; re-ranking and sets are made on the CPU.
    """
    query, gallery = pairs[0]
    if method.sets is None:
        sides: list[tuple[Labels, IntArray]] = [
            (Labels(side.person_ids, side.camera_ids), np.arange(len(side))) for side in (query, gallery)
        ]
    else:
        numbers = [group_images(side) for side in (query, gallery)]
        sides = [
            (label_sets(side, sets), np.unique(sets, return_index=True)[1])
            for side, sets in zip((query, gallery), numbers, strict=True)
        ]
    one = len(pairs) == 1  # fusion sorts each list, on the CPU
    if method.cameras:
        pairs = [normalize_cameras(*pair) for pair in pairs]
    lists = [_strips(*pair, method, device=device if one else "cpu") for pair in pairs]
    known = [calibration.probability for calibration in calibrations] if method.calibrated else None
    strips = lists[0] if one else fuse_blocks(lists, method=method.fuse, calibrations=known)
    (query_labels, query_images), (gallery_labels, gallery_images) = sides
    return Lists(query_labels, gallery_labels, query_images, gallery_images, strips)


def _strips(query: Embeddings, gallery: Embeddings, method: Method, *, device: str) -> DistanceBlocks:
    """One model's distances."""
    if method.sets is not None:
        sets = [group_images(side) for side in (query, gallery)]
        if method.sets in get_args(SetDistance):
            how = cast("SetDistance", method.sets)
            return compare_sets(query, gallery, query_sets=sets[0], gallery_sets=sets[1], method=how)
        pooling: Any = method.sets
        query, gallery = pool(query, sets[0], method=pooling), pool(gallery, sets[1], method=pooling)
    if method.expand:
        query = expand_queries(query, gallery, alpha=3.0 if method.expand == "alpha" else None)
    if method.rerank:
        return rerank_blocks(query, gallery, k1=method.k1, k2=method.k2, lambda_=method.lambda_)
    return iter_distances(query, gallery, device=device)
