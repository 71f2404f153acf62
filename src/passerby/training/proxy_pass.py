"""One pass of fine-tuning with pseudo-labels: tracks as proxies, and synthetic people so that they are not forgotten.

B batch   N crops   T tracks   D embedding width   H W image height and width
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from passerby.data.images import Pixels
from passerby.data.samplers import PKSampler
from passerby.distributed import Process, average_gradients, gather
from passerby.errors import TrainingError
from passerby.losses.camera_proxy import camera_proxy_loss, update_proxies
from passerby.losses.supcon import supcon_loss
from passerby.model.full_precision import unit_vectors
from passerby.training.loop import seed_step
from passerby.training.optimizer import clip_gradients, set_learning_rate
from passerby.training.schedule import learning_rate
from passerby.training.state import TrainingState
from passerby.training.transforms import TransformSettings, build_training_transform
from passerby.types import IntArray

_AUGMENTATION = 2
"""Separates these random numbers from others drawn from the same seed."""


@dataclass(frozen=True)
class ProxySettings:
    """Settings of all passes.

    Attributes:
        transform: Augmentation of the crops.
        passes: Number of passes, for the schedule.
        tracks: Tracks of a batch, each with `images` crops.
        images: Crops of a track, and of a synthetic person, in a batch.
        rendered: Synthetic people of a batch.
        temperature: Temperature of the proxies.
        momentum: Weight of a proxy's old value when a batch moves it.
        lr_max: Highest learning rate.
        clip: Largest norm of the gradient.
        seed: Seed of batches and augmentation.
    """

    transform: TransformSettings
    passes: int
    tracks: int = 12
    images: int = 4
    rendered: int = 4
    temperature: float = 0.07
    momentum: float = 0.2
    lr_max: float = 3e-4
    clip: float = 5.0
    seed: int = 0


@dataclass(frozen=True)
class LabeledPixels:
    """Crops in memory with their classes, 0 to I - 1.

    Attributes:
        pixels: (N, H, W, 3) uint8 RGB.
        labels: (N,).
    """

    pixels: Pixels
    labels: IntArray


@dataclass(frozen=True)
class TrackProxies:
    """Proxies of the tracks of a pass.

    Attributes:
        vectors: (T, D) of unit length; moved during the pass.
        camera_ids: (T,).
        links: (T, cameras) linked track in each camera, -1 without one.
        unsure: (T, T) bool: tracks of one camera that may show one person; None for none.
    """

    vectors: Tensor
    camera_ids: Tensor
    links: Tensor
    unsure: Tensor | None = None


def run_pass(
    state: TrainingState,
    crops: LabeledPixels,
    rendered: LabeledPixels,
    proxies: TrackProxies,
    *,
    number: int,
    settings: ProxySettings,
    process: Process,
) -> Iterator[float]:
    """Train over all tracks once, and yield the loss after each step. A pass depends on its arguments alone.

    Each process embeds a part of the crops of a batch; all compute the loss of the whole batch.

    Args:
        state: With averaged weights. Norms of the necks keep their statistics.
        crops: Labels are tracks.
        rendered: Labels are synthetic people.
        proxies: Proxies of the tracks.
        number: Pass, from 0.
        settings: Settings of all passes.
        process: This process; all have the same arguments.

    Raises:
        TrainingError: When the loss is NaN or infinite; the weights are those of the step before.
    """
    assert state.ema is not None
    samplers = [
        PKSampler(
            part.labels, persons=min(count, int(part.labels.max()) + 1), images=settings.images, seed=settings.seed
        )
        for part, count in ((crops, settings.tracks), (rendered, settings.rendered))
    ]
    transform = build_training_transform(settings.transform)
    parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    state.network.train()
    necks: Any = state.network.part_necks
    necks.eval()
    steps = len(samplers[0])
    for sampler in samplers:
        sampler.set_epoch(number)
    people = _repeat(samplers[1], epoch=number)
    for position, indices in enumerate(samplers[0]):
        rate = learning_rate(
            number + position / steps, epochs=settings.passes, warmup_epochs=1, lr_init=2e-5,
            lr_max=settings.lr_max, lr_min=2e-5,
        )  # fmt: skip
        set_learning_rate(state.optimizer, rate)
        others = next(people)
        pixels = [crops.pixels[index] for index in indices] + [rendered.pixels[index] for index in others]
        seeds = augmentation_seeds(len(pixels), seed=(settings.seed, number, position))
        rows = _part(len(pixels), process)
        images = augment([pixels[row] for row in rows], transform, seeds=[seeds[row] for row in rows])
        seed_step(settings.seed, state.step, process.rank)
        state.optimizer.zero_grad(set_to_none=True)
        embedding = gather(state.network(images).embedding)[: len(pixels)]
        own = torch.from_numpy(crops.labels[indices])
        site, synthetic = embedding[: len(indices)], embedding[len(indices) :]
        loss = _proxy_loss(site, own, proxies, settings) + supcon_loss(
            synthetic, torch.from_numpy(rendered.labels[others]), temperature=0.1
        )
        if not torch.isfinite(loss):
            raise TrainingError(f"pass {number + 1}, step {position + 1}: the loss is {float(loss.detach())}")
        loss.backward()
        average_gradients(parameters, process)
        clip_gradients(parameters, settings.clip)
        state.optimizer.step()
        state.step += 1
        state.ema.update(state.network, step=state.step)
        update_proxies(proxies.vectors, unit_vectors(site.detach()), own, momentum=settings.momentum)
        yield float(loss.detach())


def _part(count: int, process: Process) -> list[int]:
    """Return the rows of a batch that this process embeds, equally many in all; the last row fills the last part."""
    share = -(-count // process.world)
    return [min(row, count - 1) for row in range(process.rank * share, (process.rank + 1) * share)]


def _proxy_loss(embedding: Tensor, own: Tensor, proxies: TrackProxies, settings: ProxySettings) -> Tensor:
    """Add the loss among the tracks of an image's camera and the mean loss of its links to other cameras."""

    def loss(rows: Tensor, targets: Tensor) -> Tensor:
        return camera_proxy_loss(
            embedding[rows],
            targets,
            proxies.vectors,
            proxies.camera_ids,
            temperature=settings.temperature,
            unsure=proxies.unsure,
        )

    within = loss(torch.arange(len(own)), own)
    rows, cameras = (proxies.links[own] >= 0).nonzero(as_tuple=True)
    if not len(rows):
        return within
    across = loss(rows, proxies.links[own[rows], cameras])
    return within + across * len(rows.unique()) / len(own)


def _repeat(sampler: PKSampler, *, epoch: int) -> Iterator[list[int]]:
    """Yield batches of a sampler without end, from an epoch of its own for each pass."""
    for repetition in range(10**6):
        sampler.set_epoch(1000 * epoch + repetition)
        yield from sampler


def augmentation_seeds(count: int, *, seed: tuple[int, ...]) -> list[int]:
    """Return a seed for the augmentation of each image of a batch."""
    sequence = np.random.SeedSequence(list(seed), spawn_key=(_AUGMENTATION,))
    return [int(number) for number in sequence.generate_state(count)]


def augment(pixels: Sequence[Pixels], transform: object, *, seeds: Sequence[int]) -> Tensor:
    """Augment (H, W, 3) images, each with a seed of its own: (B, 3, H, W)."""
    assert callable(transform)
    images = []
    with torch.random.fork_rng(devices=[]):
        for image, seed in zip(pixels, seeds, strict=True):
            torch.default_generator.manual_seed(seed)
            images.append(transform(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)))
    return torch.stack(images).contiguous(memory_format=torch.channels_last)
