"""Decoded images in memory: an epoch decodes nothing when the data set fits."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from passerby.model.image_batches import read_tensor
from passerby.progress import ProgressCallback, no_progress
from passerby.types import Sample

CacheRule = Literal["auto", "always", "never"]

MEMORY_FRACTION = 0.25
"""Fraction of the available memory that `auto` may fill."""

_CGROUP = Path("/sys/fs/cgroup")


def should_cache(rule: CacheRule, count: int, *, size: tuple[int, int], processes: int = 1) -> bool:
    """Decide whether each of `processes` keeps `count` images of `size` = (height, width); `auto` if they fit."""
    if rule == "auto":
        return count * 3 * size[0] * size[1] * processes <= MEMORY_FRACTION * available_memory()
    return rule == "always"


def cache_images(
    samples: Sequence[Sample],
    *,
    size: tuple[int, int],
    threads: int = 1,
    progress: ProgressCallback = no_progress,
) -> Tensor:
    """Decode and resize all images. Worker processes share the tensor, which is not written again.

    Args:
        samples: N images.
        size: (height, width) in pixels.
        threads: Number of threads. Decoding releases the interpreter lock.
        progress: Callback that receives the number of decoded images as task `decode`.

    Returns:
        (N, 3, H, W) uint8.

    Raises:
        DataError: For an image that cannot be read, naming the file.
    """
    images = torch.empty((len(samples), 3, *size), dtype=torch.uint8)

    def fill(index: int) -> None:
        images[index] = read_tensor(samples[index], size)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for done, _ in enumerate(pool.map(fill, range(len(samples))), start=1):
            progress("decode", done, len(samples))
    return images  # (N, 3, H, W)


def available_memory() -> int:
    """Return the bytes that can be allocated without swapping: the machine's, or the container's where that is less."""
    import psutil

    machine: int = psutil.virtual_memory().available
    limit = _CGROUP / "memory.max"
    if not limit.exists() or (text := limit.read_text().strip()) == "max":
        return machine
    usage = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    return max(0, min(machine, int(text) - int(usage["anon"]) - int(usage["shmem"])))  # cached files can be dropped
