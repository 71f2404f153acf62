"""Batches of images as tensors: normalization, and the loader of batches.

B batch   H W image height and width
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from passerby.data.images import read_image
from passerby.errors import DataError
from passerby.types import Sample

Transform = Callable[[Tensor], Tensor]
T = TypeVar("T")


def build_normalization(*, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Transform:
    """Return a function from (..., 3, H, W) uint8 to normalized float32 of the same shape."""
    transform: Transform = v2.Compose(normalization_steps(mean, std))
    return transform


def normalization_steps(mean: tuple[float, float, float], std: tuple[float, float, float]) -> list[torch.nn.Module]:
    """Return the transforms that turn uint8 images into normalized float32 images."""
    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std, inplace=True)]


def read_tensor(sample: Sample, size: tuple[int, int]) -> Tensor:
    """Decode and resize one image: (3, H, W) uint8. Raises DataError naming the file."""
    return torch.tensor(read_image(sample, size=size)).permute(2, 0, 1)  # (3, H, W)


def unwrap_batch(batch: T | str) -> T:
    """Return a batch, or raise the DataError whose message a worker returned in its place.

    Workers return the message, because torch embeds an exception in the text of the worker's traceback.
    """
    if isinstance(batch, str):
        raise DataError(batch)
    return batch


def build_batch_loader(
    batches: Dataset[T], keys: Iterable[Any], *, workers: int, prefetch: int, persistent: bool
) -> DataLoader[T]:
    """Return a DataLoader that maps each key to a whole batch. It does not draw from torch's global generator."""
    return DataLoader(
        batches,
        sampler=keys,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        persistent_workers=persistent and workers > 0,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )


def count_cores() -> int:
    """Count the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
