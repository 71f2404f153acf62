"""Training of a recipe with a metric: the network is frozen, and its reductions are learned in closed form."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from passerby.data.images import read_image
from passerby.metric.learn import learn_reductions
from passerby.model.torch_encoder import TorchEncoder
from passerby.model.weights import save_model
from passerby.progress import ProgressCallback, no_progress
from passerby.recipe import Recipe
from passerby.runs.assemble import training_state
from passerby.runs.manifest import warn_of_other_weights
from passerby.runtime.preprocessing import Preprocessing
from passerby.training.log import RunLog
from passerby.types import FloatArray, Sample

if TYPE_CHECKING:
    import torch

    from passerby.model.convnext_ap import ReID
    from passerby.runs.training_session import Session


def learn_metric(session: Session) -> ReID:
    """Learn the recipe's metric on the training images without augmentation, save the model and return its network.

    One record of the log has the number of images and the seconds.

    Raises:
        RecipeError: For a network that the metric cannot be folded into.
        DataError: For training images without pairs, naming the file for one that cannot be read.
    """
    recipe, folder = session.recipe, session.folder
    assert recipe.metric is not None
    network, _ = training_state(recipe, 0, session.process)
    if not session.process.first:
        return network
    warn_of_other_weights(recipe)
    started = time.monotonic()
    samples, device = session.training_set.samples, session.process.device
    pooled = pool_images(recipe, network, samples, device, progress=session.progress)
    method, ridge = recipe.metric.method, recipe.metric.ridge
    network.cpu()
    learn_reductions(network, pooled, session.training_set.labels, method=method, ridge=ridge)
    network.to(device)
    seconds = time.monotonic() - started
    if not folder.manifest.exists():  # after every check, so that a refused training leaves no run
        folder.write_settings(recipe, session.manifest)
    log = RunLog(folder.log, folder.tensorboard)
    log.write({"step": 1, "epoch": 1, "first_epoch": 1, "metric": method, "images": len(pooled), "seconds": seconds})
    log.close()
    save_model(folder.root, network, session.manifest)
    return network


def pool_images(
    recipe: Recipe,
    network: ReID,
    samples: Sequence[Sample],
    device: torch.device,
    *,
    progress: ProgressCallback = no_progress,
) -> FloatArray:
    """Compute (N, P, C) pooled vectors of images without augmentation."""
    images, batch = recipe.images, recipe.evaluation.batch
    preprocessing = Preprocessing(size=images.size, mean=images.mean, std=images.std)
    encoder = TorchEncoder(network, preprocessing, device=device)
    blocks = []
    for first in range(0, len(samples), batch):
        pixels = [read_image(sample, size=images.size) for sample in samples[first : first + batch]]
        blocks.append(encoder.pool(np.stack(pixels)))
        progress("metric", min(first + batch, len(samples)), len(samples))
    return np.concatenate(blocks)
