"""Who looks like whom, as the network sees it now: batches of people who are hard to tell apart are made from it."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from passerby.distributed import Process, from_first
from passerby.model.convnext_ap import ReID
from passerby.model.embed import embed_batches
from passerby.ranking.neighbors import find_neighbors
from passerby.training.loader import TrainingLoader
from passerby.types import IntArray

_CANDIDATES = 4
"""How many times as many as a group takes: towards the end of an epoch the nearest have been drawn."""


def find_similar_identities(
    network: nn.Module, loader: TrainingLoader, epoch: int, *, process: Process, precision: torch.dtype | None
) -> IntArray:
    """The identities nearest to each, by one image of each as it is (Liao and Shao 2022, section 3.2).

    Args:
        network: A `ReID`; left in the modes that it was in.
        loader: Whose identities, of whom its sampler draws `alike` together.
        epoch: Chooses the images.
        process: Of many, all get what the first one found, so that their batches agree.
        precision: Half precision to embed in, or None.

    Returns:
        (I, n) identities, nearest first, without the identity itself; n is 4 (alike - 1), or I - 1 where that is less.
    """
    assert isinstance(network, ReID)
    with torch.autocast(process.device.type, precision, enabled=precision is not None):
        vectors = embed_batches(network, loader.identity_images(epoch), flip=False, device=process.device)
    count = min(_CANDIDATES * (loader.sampler.alike - 1), len(vectors) - 1)
    places = find_neighbors(vectors, k=count + 1).indices
    others = np.array([row[row != one][:count] for one, row in enumerate(places)])  # its equals may be before it
    return from_first(torch.from_numpy(others), process).numpy()
