"""Query expansion: average a query with its nearest gallery items."""

from __future__ import annotations

import numpy as np

from passerby.errors import DataError
from passerby.ranking.rank import rank
from passerby.types import Embeddings


def expand_queries(
    query: Embeddings, gallery: Embeddings, *, top: int = 10, alpha: float | None = None, device: str = "auto"
) -> Embeddings:
    """Replace each query by the normalized weighted mean of itself and its nearest gallery items.

    Identities and cameras are not used. With the gallery as its own query, the function is database-side augmentation:
    the nearest item of each item is the item itself, which then counts twice.

    Args:
        query: Q embeddings; all vectors, also those of the gallery, are normalized to length 1 first.
        gallery: G embeddings.
        top: Number of gallery items in the mean, 1 to G.
        alpha: None: equal weights (average query expansion, Chum et al. 2007). A number, at least 0: the weight of an
            item is its cosine to the power of alpha, and 0 for a negative cosine (alpha-QE, Radenovic et al. 2018, who
            use 3). The weight of the query is 1.
        device: As for `passerby.score`.

    Returns:
        Q embeddings of length 1 in the dtype of the queries, with their identities and cameras.

    Raises:
        DataError: Naming the argument; see also `distance_blocks`.

    Example:
        >>> query = passerby.Embeddings([[1.0, 0.0]], [1], [0])
        >>> gallery = passerby.Embeddings([[0.0, 1.0], [-1.0, 0.1]], [1, 2], [1, 1])
        >>> passerby.expand_queries(query, gallery, top=1).vectors.round(2).tolist()
        [[0.71, 0.71]]
    """
    if not 1 <= top <= len(gallery):
        raise DataError(f"top: got {top}, expected 1 to {len(gallery)}, the size of the gallery")
    if alpha is not None and not 0 <= alpha < np.inf:
        raise DataError(f"alpha: got {alpha}, expected a finite number of at least 0, or None for equal weights")
    nearest = rank(query, gallery, top=top, drop_same_camera=False, device=device)
    weights = np.ones(nearest.indices.shape)
    if alpha is not None:
        weights = np.maximum(1.0 - nearest.distances.astype(np.float64), 0.0) ** alpha  # (Q, top)
    sums = query.vectors.astype(np.float64)
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    for column in range(top):
        items = gallery.vectors[nearest.indices[:, column]].astype(np.float64)  # (Q, D)
        sums += items * (weights[:, column] / np.linalg.norm(items, axis=1))[:, None]
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    if not (lengths > 1e-9).all():
        raise DataError(f"query: row {np.argmin(lengths)} and its nearest items sum to zero; change top")
    return Embeddings((sums / lengths).astype(query.vectors.dtype), query.person_ids, query.camera_ids)
