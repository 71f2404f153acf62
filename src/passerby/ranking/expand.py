"""Query expansion: what was found first says more about the person than the query alone."""

from __future__ import annotations

import numpy as np

from passerby.errors import DataError
from passerby.ranking.rank import rank
from passerby.types import Embeddings


def expand_queries(
    query: Embeddings, gallery: Embeddings, *, top: int = 10, alpha: float | None = None, device: str = "cpu"
) -> Embeddings:
    """Each query with the mean of itself and its nearest gallery items, brought to unit length.

    People and cameras are not looked at. With the gallery as its own query it becomes database-side augmentation: each
    item then finds itself first, and counts twice.

    Args:
        query: Q vectors; every vector, here and in the gallery, is brought to unit length first.
        gallery: G vectors.
        top: Gallery items that join, 1 to G.
        alpha: None: all weigh the same (average query expansion, Chum et al. 2007). A number, at least 0: an item
            weighs its cosine to the power of alpha, 0 below 0 (alpha-QE, Radenovic et al. 2018; they use 3); the query
            itself weighs 1.
        device: `cpu`, or a CUDA device for the search.

    Returns:
        Q vectors of length 1 in the queries' dtype, with the queries' ids.

    Raises:
        DataError: Naming the argument; see also `distance_blocks`.
    """
    if not 1 <= top <= len(gallery):
        raise DataError(f"top: got {top}, expected 1 to {len(gallery)}, the size of the gallery")
    if alpha is not None and not 0 <= alpha < np.inf:
        raise DataError(f"alpha: got {alpha}, expected a finite number of at least 0, or None for equal weights")
    found = rank(query, gallery, top=top, drop_same_camera=False, device=device)
    weights = np.ones(found.indices.shape)
    if alpha is not None:
        weights = np.maximum(1.0 - found.distances.astype(np.float64), 0.0) ** alpha  # (Q, top)
    own = query.vectors.astype(np.float64)
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    for place in range(top):
        items = gallery.vectors[found.indices[:, place]].astype(np.float64)  # (Q, D)
        own += items * (weights[:, place] / np.linalg.norm(items, axis=1))[:, None]
    lengths = np.linalg.norm(own, axis=1, keepdims=True)
    if not (lengths > 1e-9).all():
        raise DataError(f"query: row {np.argmin(lengths)} and its nearest items cancel each other out")
    return Embeddings((own / lengths).astype(query.vectors.dtype), query.person_ids, query.camera_ids)
