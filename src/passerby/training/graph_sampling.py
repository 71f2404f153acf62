"""Nearest identities under the current network, for batches of similar identities (graph sampling)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from passerby.distributed import Process, from_first
from passerby.model.convnext_ap import ReID
from passerby.model.torch_encoder import embed_batches
from passerby.ranking.neighbors import find_neighbors
from passerby.training.loader import TrainingLoader
from passerby.types import IntArray

_CANDIDATES = 4
"""Neighbors kept for each that a group needs: toward the end of an epoch the nearest have been drawn already."""


def find_similar_identities(
    network: nn.Module, loader: TrainingLoader, epoch: int, *, process: Process, precision: torch.dtype | None
) -> IntArray:
    """Find the nearest identities of each identity, by one image of each (Liao and Shao 2022, section 3.2).

    Args:
        network: A `ReID`; its modules keep their modes.
        loader: Its training set has I identities; its sampler draws `alike` identities together.
        epoch: Selects the image of each identity.
        process: All processes get the result of the first, so that their batches agree.
        precision: Half precision for the network, or None.

    Returns:
        (I, n) identities, nearest first, without the identity itself; n is 4 (alike - 1), at most I - 1.
    """
    assert isinstance(network, ReID)
    with torch.autocast(process.device.type, precision, enabled=precision is not None):
        vectors = embed_batches(network, loader.identity_images(epoch), device=process.device)
    count = min(_CANDIDATES * (loader.sampler.alike - 1), len(vectors) - 1)
    indices = find_neighbors(vectors, k=count + 1).indices  # (I, n + 1)
    # with equal vectors an identity need not be its own nearest
    others = np.array([row[row != identity][:count] for identity, row in enumerate(indices)])
    return from_first(others, process)
