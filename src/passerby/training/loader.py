"""Augmented training batches, equal for any number of worker processes.

The unit of work is a whole batch: a job (epoch, number, indices) goes to a worker, which returns finished tensors. The
worker seeds torch's generator for every image from (seed, epoch, batch number, position in the global batch), so that
a batch does not depend on earlier work of the worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from passerby.data.samplers import PKSampler
from passerby.data.training_set import TrainingSet
from passerby.errors import DataError
from passerby.model.image_batches import build_batch_loader, build_normalization, count_cores, read_tensor, unwrap_batch
from passerby.progress import ProgressCallback, no_progress
from passerby.training.backgrounds import BackgroundExchange
from passerby.training.image_cache import CacheRule, cache_images, should_cache
from passerby.training.transforms import TransformSettings, build_training_transform

_AUGMENTATION = 1
"""Separates these random numbers from others drawn from the same seed."""

_Tensors = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Batch:
    """P x K images, ready for the network.

    Attributes:
        images: (B, 3, H, W) float32, normalized.
        labels: (B,) int64 class of each image among the training identities, 0-based.
        camera_ids: (B,) int64.
        indices: (B,) int64 index of each image in the list of training samples.
    """

    images: Tensor
    labels: Tensor
    camera_ids: Tensor
    indices: Tensor


@dataclass(frozen=True)
class LoaderSettings:
    """Settings of the training batches.

    Attributes:
        transform: Size, normalization and augmentation of the images.
        persons: P, identities in the global batch.
        images_per_person: K, images of each identity.
        alike: Identities of a batch that are neighbors of each other, see `PKSampler`.
        workers: Processes that make batches, at most one per CPU core; 0 makes them in this process.
        prefetch: Batches that each worker keeps ready.
        cache: Keep the resized images in memory: `always`, `never`, or `auto`, if they take at most a quarter of the
            available memory.
        background: Probability that an image gets the background of another one; rendered people only.
        seed: Seed of the run, at least 0.
    """

    transform: TransformSettings
    persons: int
    images_per_person: int
    alike: int = 1
    workers: int = 0
    prefetch: int = 2
    cache: CacheRule = "auto"
    background: float = 0.0
    seed: int = 0


class _Job(NamedTuple):
    """A batch to make: `indices` are the images of this rank."""

    epoch: int
    number: int
    indices: list[int]


class TrainingLoader:
    """Augmented P x K batches of a training set, by epoch.

    The batches depend on the data, the transform, the sizes and `seed`, and not on `workers`, `prefetch` or `cache`.
    With several processes, each gets its own identities of the same global batch, see `PKSampler`.

    Args:
        training_set: The training images. They are decoded here when the cache is used.
        settings: Settings of the batches.
        rank: Number of this process, from 0.
        world: Number of processes that share a batch.
        progress: Callback that receives the number of decoded images while the cache is filled, as task `decode`.

    Raises:
        DataError: As `PKSampler` and `BackgroundExchange`, and naming the file for an image that cannot be read.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        settings: LoaderSettings,
        *,
        rank: int = 0,
        world: int = 1,
        progress: ProgressCallback = no_progress,
    ) -> None:
        samples, transform = training_set.samples, settings.transform
        self.sampler = PKSampler(
            training_set.labels,
            persons=settings.persons,
            images=settings.images_per_person,
            seed=settings.seed,
            alike=settings.alike,
            rank=rank,
            world=world,
        )
        workers = min(settings.workers, count_cores())
        decoded = (
            cache_images(samples, size=transform.size, threads=workers, progress=progress)
            if should_cache(settings.cache, len(samples), size=transform.size, processes=world)
            else None
        )
        self.cached = decoded is not None
        self._jobs = _Jobs(self.sampler)
        self._normalize = build_normalization(mean=transform.mean, std=transform.std)
        self._batches = _TrainingBatches(training_set, decoded, settings, rank=rank, world=world)
        self._loader = build_batch_loader(
            self._batches, self._jobs, workers=workers, prefetch=settings.prefetch, persistent=True
        )

    def __len__(self) -> int:
        """Return the number of batches in an epoch, which is the same in every epoch."""
        return len(self.sampler)

    def identity_images(self, epoch: int, *, batch: int = 128) -> Iterator[Tensor]:
        """Yield one image of each identity without augmentation, in the order of the labels.

        Args:
            epoch: Selects the images; another epoch has other images.
            batch: Images in a batch; the last batch may have fewer.

        Yields:
            (B, 3, H, W) float32, normalized.

        Raises:
            DataError: While iterating, naming the file of an image that cannot be read.
        """
        indices = self.sampler.draw_one_per_identity(epoch).tolist()
        for start in range(0, len(indices), batch):
            pixels = [self._batches.read_pixels(index) for index in indices[start : start + batch]]
            yield self._normalize(torch.stack(pixels))

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """Return the batches of an epoch (from 0), from batch number `start` on. Ends an earlier iteration.

        Starting at n gives the same batches as starting at 0 and dropping n.

        Raises:
            DataError: While iterating, naming the file of an image that cannot be read.
        """
        assert 0 <= start <= len(self)
        self._jobs.select(epoch, start)
        return (Batch(*unwrap_batch(tensors)) for tensors in iter(self._loader))


class _Jobs(Sampler[_Job]):
    """The jobs of an epoch, in order."""

    def __init__(self, sampler: PKSampler) -> None:
        self.sampler = sampler
        self._epoch = self._start = 0

    def select(self, epoch: int, start: int) -> None:
        self._epoch, self._start = epoch, start

    def __iter__(self) -> Iterator[_Job]:
        self.sampler.set_epoch(self._epoch)
        for number, indices in islice(enumerate(self.sampler), self._start, None):
            yield _Job(self._epoch, number, indices)


class _TrainingBatches(Dataset[_Tensors | str]):
    """Map a job to the tensors of its batch, or to the message of a DataError (see `unwrap_batch`)."""

    def __init__(
        self, training_set: TrainingSet, decoded: Tensor | None, settings: LoaderSettings, *, rank: int, world: int
    ) -> None:
        self._samples = training_set.samples
        self._labels = torch.from_numpy(training_set.labels)
        self._cameras = torch.tensor([sample.camera_id for sample in training_set.samples])
        self._decoded = decoded  # (N, 3, H, W) uint8, or None
        self._transform = build_training_transform(settings.transform)
        self._size = settings.transform.size
        self._exchange = (
            BackgroundExchange(training_set.samples, settings.background, size=self._size)
            if settings.background > 0
            else None
        )
        self._seed = settings.seed
        self._global_batch = settings.persons * settings.images_per_person
        self._first = rank * self._global_batch // world  # position of this rank's images in the global batch

    def __getitem__(self, job: _Job) -> _Tensors | str:
        indices = torch.tensor(job.indices)
        images = torch.empty((len(indices), 3, *self._size))
        seeds = self._draw_seeds(job)
        try:
            with torch.random.fork_rng(devices=[]):  # without workers, the network draws from the same generator
                for position, index in enumerate(job.indices):
                    torch.default_generator.manual_seed(seeds[position])  # ten times faster than torch.manual_seed
                    exchange = self._exchange
                    pixels = self.read_pixels(index) if exchange is None else exchange(index, self.read_pixels)
                    images[position] = self._transform(pixels)
        except DataError as error:
            return str(error)
        return images, self._labels[indices], self._cameras[indices], indices

    def read_pixels(self, index: int) -> Tensor:
        """Return a resized training image, (3, H, W) uint8."""
        return read_tensor(self._samples[index], self._size) if self._decoded is None else self._decoded[index]

    def _draw_seeds(self, job: _Job) -> list[int]:
        """Draw a seed for each image of this rank, by its position in the global batch."""
        sequence = np.random.SeedSequence([self._seed, job.epoch, job.number], spawn_key=(_AUGMENTATION,))
        seeds = sequence.generate_state(self._global_batch)[self._first :][: len(job.indices)]
        return [int(seed) for seed in seeds]
