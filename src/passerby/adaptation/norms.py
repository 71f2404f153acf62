"""Statistics of batch norms of a site: estimated within each camera, and averaged over the cameras.

Source: Li, Wang, Shi, Liu and Hou, "Revisiting Batch Normalization For Practical Domain Adaptation" (2016), for one
target; batches of one camera as in Zhuang et al., "Rethinking the Distribution Gap of Person Re-identification with
Camera-based Batch Normalization" (2020). Statistics of each camera apart would need the camera of an image wherever it
is embedded; their mean needs no camera, and the camera-wise normalization of the embeddings removes the rest.

N crops   H W image height and width
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from passerby.adaptation.adapt_result import Rung
from passerby.adaptation.groups import Groups
from passerby.adaptation.ladder import Start, judge_rung
from passerby.adaptation.rendered import RenderedPeople
from passerby.adaptation.site import Site
from passerby.adaptation.start_model import StartModel
from passerby.types import IntArray

if TYPE_CHECKING:
    from torch import nn

    from passerby.model.convnext_ap import ReID

NAME = "norms"
BATCH = 64
"""Largest number of crops of a batch, all of one camera."""
BATCHES = 8
"""Largest number of batches of a camera. Cameras with fewer crops repeat theirs, so that all have the same weight."""


def try_norms(
    model: StartModel, site: Site, groups: Groups, people: RenderedPeople, *, start: Start, seed: int
) -> tuple[Rung, ReID | None]:
    """Estimate the statistics of the batch norms in a copy of the network and compare it with the start.

    Args:
        model: The start.
        site: The crops.
        groups: With a judge.
        people: The synthetic people.
        start: Embeddings of the start.
        seed: Seed of the draw of crops.

    Returns:
        The rung, and its network; None if the model has no batch norms that can be changed.
    """
    from passerby.model.torch_encoder import TorchEncoder

    if not model.trainable:
        return Rung(NAME, note="not applicable: the weights of an ONNX or OpenVINO file are fixed"), None
    network = copy.deepcopy(model.embedder.network)
    if not find_batch_norms(network):
        return Rung(NAME, note="not applicable: the network has no batch norms with running statistics"), None
    encoder = TorchEncoder(network, model.embedder.preprocessing, device=model.embedder.device)
    estimate_norms(network, site, normalize=encoder.normalize, seed=seed)
    crops, rendered = (model.embed_with(network, pixels) for pixels in (site.pixels, people.pixels))
    if not np.isfinite(crops).all():
        return Rung(NAME, note="the embeddings are not finite"), None
    return judge_rung(NAME, crops, rendered, start=start, groups=groups, people=people), network


def find_batch_norms(network: nn.Module) -> list[Any]:
    """List the batch norms of a network that normalize by running statistics."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]


def draw_camera_batches(camera_ids: IntArray, *, seed: int) -> list[IntArray]:
    """Draw batches of crops of one camera each, as many of each camera, cameras in turn.

    Args:
        camera_ids: (N,).
        seed: Seed of the draw.

    Example:
        >>> [sorted(batch.tolist()) for batch in draw_camera_batches(np.array([0, 1, 0]), seed=0)]
        [[0, 2], [1]]
    """
    rng = np.random.default_rng(seed)
    cameras = [rng.permutation(np.flatnonzero(camera_ids == camera)) for camera in np.unique(camera_ids)]
    count = min(BATCHES, max(-(-len(rows) // BATCH) for rows in cameras))
    return [
        rows[np.arange(number * BATCH, number * BATCH + min(BATCH, len(rows))) % len(rows)]
        for number in range(count)
        for rows in cameras
    ]


def estimate_norms(network: nn.Module, site: Site, *, normalize: Any, seed: int) -> None:
    """Replace the running statistics of the batch norms of a network by those of a site, in place.

    Each batch is normalized by its own statistics in all layers; running statistics are their mean over the batches.

    Args:
        network: In evaluation mode; every other module stays in it.
        site: The crops.
        normalize: Function from (B, H, W, 3) uint8 pixels to the network's input.
        seed: Seed of the draw of crops.
    """
    import torch

    norms = find_batch_norms(network)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's cumulative average
        norm.train()
    try:
        with torch.no_grad():
            for rows in draw_camera_batches(site.camera_ids, seed=seed):
                if len(rows) > 1:  # one crop has no variance
                    network(normalize(site.pixels[rows]))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
