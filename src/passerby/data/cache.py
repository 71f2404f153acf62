"""Decoded images kept in memory, so that an epoch costs no decoding when the data set fits."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from passerby.data.images import read_image
from passerby.types import Sample

CacheRule = Literal["auto", "always", "never"]
Progress = Callable[[int, int], None]

SHARE = 0.25
"""Of the available memory, what `auto` may fill."""

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def should_cache(rule: CacheRule, count: int, *, size: tuple[int, int], processes: int = 1) -> bool:
    """Whether to keep `count` images of `size` = (height, width); `auto` asks whether they fit, in each process."""
    if rule == "auto":
        return count * 3 * size[0] * size[1] * processes <= SHARE * available_memory()
    return rule == "always"


def cache_images(
    samples: Sequence[Sample], *, size: tuple[int, int], threads: int = 1, progress: Progress | None = None
) -> Tensor:
    """Decode and resize every image. Worker processes share the tensor: nobody writes to it again.

    Args:
        samples: N images.
        size: (height, width) in pixels.
        threads: How many decode at the same time; decoding does not hold the interpreter.
        progress: Called with (images decoded, images in all).

    Returns:
        (N, 3, H, W) uint8.

    Raises:
        DataError: Naming the file, for an image that cannot be read.
    """
    images = torch.empty((len(samples), 3, *size), dtype=torch.uint8)

    def fill(index: int) -> None:
        images[index] = read_pixels(samples[index], size)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for done, _ in enumerate(pool.map(fill, range(len(samples))), start=1):
            if progress is not None:
                progress(done, len(samples))
    return images  # (N, 3, H, W)


def read_pixels(sample: Sample, size: tuple[int, int]) -> Tensor:
    """One image, decoded and resized: (3, H, W) uint8. Raises DataError naming the file."""
    return torch.tensor(read_image(sample, size=size)).permute(2, 0, 1)  # (3, H, W)


def available_memory() -> int:
    """Bytes that can be taken without pushing anything out: the machine's, or the container's where that is less."""
    if not _MEMINFO.exists():  # macOS tells no such figure: half of what is built in
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    machine = _table(_MEMINFO)["MemAvailable:"] * 1024
    limit = _CGROUP / "memory.max"
    if not limit.exists() or (text := limit.read_text().strip()) == "max":
        return machine
    used = _table(_CGROUP / "memory.stat")
    return max(0, min(machine, int(text) - used["anon"] - used["shmem"]))  # cached files can be dropped


def _table(path: Path) -> dict[str, int]:
    """Lines of `name number ...`."""
    return {name: int(value) for name, value, *_ in (line.split() for line in path.read_text().splitlines())}
