"""From samples to batches, fast enough for a GPU, and the same batches however many processes work on them.

The unit of work is a whole batch: a job (epoch, number, indices) goes to a worker, finished tensors come back. A worker
seeds torch's generator for every image from (seed, epoch, batch number, place in the global batch), so that nothing
depends on which worker did what before.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from passerby.data.cache import CacheRule, Progress, cache_images, read_pixels, should_cache
from passerby.data.samplers import PKSampler
from passerby.data.training_set import TrainingSet
from passerby.data.transforms import Range, Transform, evaluation_transform, training_transform
from passerby.errors import DataError
from passerby.types import Batch, Sample

_AUGMENTATION = 1
"""Keeps these random numbers apart from those that others draw from the same seed."""

T = TypeVar("T")
_Tensors = tuple[Tensor, Tensor, Tensor, Tensor]


class _Job(NamedTuple):
    """A batch to be made: `indices` are this rank's images."""

    epoch: int
    number: int
    indices: list[int]


class TrainingLoader:
    """Augmented P x K batches of a training set, epoch by epoch.

    The batches depend on the data, the settings of images and batches, and `seed`; not on `workers`, `prefetch` or
    `cache`. With several processes each gets its own persons of the same global batch, as `PKSampler` says.

    Args:
        training_set: What to train on.
        size: (height, width) of the images in pixels; this and the next six are explained at `training_transform`.
        flip: Probability of a horizontal flip.
        pad: Border of pad-and-crop, pixels.
        erasing: Random erasing, or None.
        jitter: Color jitter, or None.
        mean: Per channel.
        std: Per channel.
        persons: P, identities in the global batch.
        images_per_person: K.
        alike: Persons of a batch that look like each other, once `set_alike` has said who does; see `PKSampler`.
        workers: Processes that make batches, at most one for each CPU core; 0 makes them in this process.
        prefetch: Batches that each worker keeps ready.
        cache: Keep the resized images in memory: `always`, `never`, or `auto`, when they take no more than a quarter
            of the available memory. They are read here, once.
        seed: Of the run, at least 0.
        rank: Which process this is.
        world: How many processes share a batch.
        progress: Called with (images read, images in all) while the cache is filled.

    Raises:
        DataError: As `PKSampler` does, and naming the file for an image that cannot be read.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        *,
        size: tuple[int, int],
        flip: float,
        pad: int,
        erasing: tuple[float, Range, Range] | None,
        jitter: tuple[float, float, float, float, float] | None,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        persons: int,
        images_per_person: int,
        alike: int = 1,
        workers: int = 0,
        prefetch: int = 2,
        cache: CacheRule = "auto",
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        progress: Progress | None = None,
    ) -> None:
        samples, labels = training_set.samples, training_set.labels
        self.sampler = PKSampler(
            labels, persons=persons, images=images_per_person, seed=seed, alike=alike, rank=rank, world=world
        )
        workers = min(workers, _cores())
        decoded = (
            cache_images(samples, size=size, threads=workers, progress=progress)
            if should_cache(cache, len(samples), size=size, processes=world)
            else None
        )
        self.cached = decoded is not None
        self._jobs = _Jobs(self.sampler)
        self._normalize = evaluation_transform(mean=mean, std=std)
        self._images = _TrainingBatches(
            training_set,
            decoded,
            transform=training_transform(
                size=size, flip=flip, pad=pad, erasing=erasing, jitter=jitter, mean=mean, std=std
            ),
            size=size,
            seed=seed,
            global_batch=persons * images_per_person,
            first_place=rank * persons * images_per_person // world,
        )
        self._loader = _loader(self._images, self._jobs, workers=workers, prefetch=prefetch, persistent=True)

    def __len__(self) -> int:
        """Batches in an epoch, the same in every one."""
        return len(self.sampler)

    def portraits(self, epoch: int, *, batch: int = 128) -> Iterator[Tensor]:
        """One image of each identity as it is, in the order of their labels: (B, 3, H, W) normalized.

        Another image in another epoch. `batch` is B, but for the last.

        Raises:
            DataError: While iterating, naming the file of an image that cannot be read.
        """
        chosen = self.sampler.one_of_each(epoch).tolist()
        for start in range(0, len(chosen), batch):
            pixels = [self._images.pixels(index) for index in chosen[start : start + batch]]
            yield self._normalize(torch.stack(pixels))

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (from 0), from batch number `start` on; ends what an earlier call still had to give.

        Starting at n gives the same batches as starting at 0 and dropping n.

        Raises:
            DataError: While iterating, naming the file of an image that cannot be read.
        """
        assert 0 <= start <= len(self)
        self._jobs.begin(epoch, start)
        return (Batch(*_whole(made)) for made in iter(self._loader))


def evaluation_batches(
    samples: Sequence[Sample],
    *,
    size: tuple[int, int],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    batch: int,
    workers: int = 0,
) -> Iterator[Tensor]:
    """Resized and normalized images in the order of `samples`: (B, 3, H, W) float32, the last batch perhaps smaller.

    Raises:
        DataError: While iterating, naming the file of an image that cannot be read.
    """
    starts = range(0, len(samples), batch)
    batches = _EvaluationBatches(samples, size=size, batch=batch, transform=evaluation_transform(mean=mean, std=std))
    loader = _loader(batches, starts, workers=min(workers, _cores(), len(starts)), prefetch=2, persistent=False)
    return (_whole(made) for made in iter(loader))


class _Jobs(Sampler[_Job]):
    """What the workers are told to make, in order."""

    def __init__(self, sampler: PKSampler) -> None:
        self.sampler = sampler
        self._epoch = self._start = 0

    def begin(self, epoch: int, start: int) -> None:
        self._epoch, self._start = epoch, start

    def __iter__(self) -> Iterator[_Job]:
        self.sampler.set_epoch(self._epoch)
        for number, indices in islice(enumerate(self.sampler), self._start, None):
            yield _Job(self._epoch, number, indices)


class _TrainingBatches(Dataset[_Tensors | str]):
    """Makes the batch of a job: its tensors, or the words of the DataError that prevented it.

    A worker hands over words because torch would bury the exception in the text of the worker's traceback.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        decoded: Tensor | None,
        *,
        transform: Transform,
        size: tuple[int, int],
        seed: int,
        global_batch: int,
        first_place: int,
    ) -> None:
        self._samples = training_set.samples
        self._labels = torch.from_numpy(training_set.labels)
        self._cameras = torch.tensor([sample.camera_id for sample in training_set.samples])
        self._decoded = decoded  # (N, 3, H, W) uint8, or None
        self._transform = transform
        self._size = size
        self._seed = seed
        self._global_batch = global_batch
        self._first_place = first_place

    def __getitem__(self, job: _Job) -> _Tensors | str:
        indices = torch.tensor(job.indices)
        images = torch.empty((len(indices), 3, *self._size))
        seeds = self._seeds(job)
        try:
            with torch.random.fork_rng(devices=[]):  # with no workers, this is the generator that the network uses
                for place, index in enumerate(job.indices):
                    pixels = self.pixels(index)
                    torch.default_generator.manual_seed(seeds[place])  # the CPU's alone, and ten times faster
                    images[place] = self._transform(pixels)
        except DataError as error:
            return str(error)
        return images, self._labels[indices], self._cameras[indices], indices

    def pixels(self, index: int) -> Tensor:
        """(3, H, W) uint8 of a training image, resized and no more."""
        return read_pixels(self._samples[index], self._size) if self._decoded is None else self._decoded[index]

    def _seeds(self, job: _Job) -> list[int]:
        """A seed for each image of this rank, from its place in the global batch."""
        sequence = np.random.SeedSequence([self._seed, job.epoch, job.number], spawn_key=(_AUGMENTATION,))
        seeds = sequence.generate_state(self._global_batch)[self._first_place :][: len(job.indices)]
        return [int(seed) for seed in seeds]


class _EvaluationBatches(Dataset[Tensor | str]):
    """Makes the batch that starts at a sample, or the words of the DataError that prevented it."""

    def __init__(self, samples: Sequence[Sample], *, size: tuple[int, int], batch: int, transform: Transform) -> None:
        self._samples = samples
        self._size = size
        self._batch = batch
        self._transform = transform

    def __getitem__(self, start: int) -> Tensor | str:
        try:
            pixels = [read_pixels(sample, self._size) for sample in self._samples[start : start + self._batch]]
        except DataError as error:
            return str(error)
        return self._transform(torch.stack(pixels))  # (B, 3, H, W)


def _whole(made: T | str) -> T:
    if isinstance(made, str):
        raise DataError(made)
    return made


def _loader(
    batches: Dataset[T], jobs: Iterable[Any], *, workers: int, prefetch: int, persistent: bool
) -> DataLoader[T]:
    """Torch's loader over whole batches; `generator` keeps it from drawing on the one that the network uses."""
    return DataLoader(
        batches,
        sampler=jobs,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        persistent_workers=persistent and workers > 0,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )


def _cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
