"""Exchange of the backgrounds of rendered images, along the part masks of their table.

Each rendered camera has one scene, and the people of a camera share it. With exchanged backgrounds a network cannot use
the scene to tell apart people of different cameras, or to match images of one camera.

    N images   H W image height and width
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from passerby.errors import DataError
from passerby.types import Sample

TABLE = "images.parquet"
PERSON_PARTS = 1, 7
"""First and last index in a mask of `passerby synth` that is the person: head to what it carries."""


class BackgroundExchange:
    """Put the person of a training image on the background of another one.

    Args:
        samples: N training images of rendered data sets.
        probability: Of an exchange, above 0 to 1.
        size: (height, width) of the images.

    Raises:
        DataError: For an image without a mask in the table of its data set.
    """

    def __init__(self, samples: Sequence[Sample], probability: float, *, size: tuple[int, int]) -> None:
        self._masks = read_person_masks(samples, size=size)
        self._probability = probability
        self._size = size

    def __call__(self, index: int, read_pixels: Callable[[int], Tensor]) -> Tensor:
        """Return a training image, or the image with another background.

        Draws from torch's global CPU generator: whether to exchange, then the other image.

        Args:
            index: Index of the image.
            read_pixels: Function from an index to (3, H, W) uint8.

        Returns:
            (3, H, W) uint8, a new tensor where the background is another.
        """
        pixels = read_pixels(index)
        if float(torch.rand(())) >= self._probability:
            return pixels
        other = int(torch.randint(len(self._masks), ()))
        background = fill_person(read_pixels(other), widen_mask(self._unpack(other)))
        return paste_person(pixels, self._unpack(index), background)

    def _unpack(self, index: int) -> Tensor:
        """Return the mask of an image, (H, W) float32: 1 on the person."""
        bits = np.unpackbits(self._masks[index].numpy(), count=self._size[0] * self._size[1])
        return torch.from_numpy(bits.reshape(self._size)).float()


def widen_mask(person: Tensor) -> Tensor:
    """Add a border of two pixels to a mask, (H, W): the blur of the camera mixes person and background there."""
    return functional.max_pool2d(person[None], 5, stride=1, padding=2)[0]


def fill_person(pixels: Tensor, person: Tensor) -> Tensor:
    """Replace the person by smooth continuations of the background around it (push-pull interpolation).

    Args:
        pixels: (3, H, W) uint8.
        person: (H, W) float32, 1 on the person and 0 on the background.

    Returns:
        (3, H, W) float32, 0 to 255. An image without background is black.

    Example:
        >>> image, person = torch.full((3, 8, 4), 90, dtype=torch.uint8), torch.zeros(8, 4)
        >>> image[:, 2:6, 1:3], person[2:6, 1:3] = 0, 1
        >>> fill_person(image, person).unique()
        tensor([90.])
    """
    weight = 1 - person[None]  # (1, H, W)
    levels = [torch.cat([pixels * weight, weight])]  # premultiplied colors and their weight, (4, H, W)
    while max(levels[-1].shape[1:]) > 1:
        levels.append(functional.avg_pool2d(levels[-1], 2, ceil_mode=True))
    color = levels[-1][:3] / levels[-1][3:].clamp(min=1e-6)  # (3, 1, 1)
    for level in reversed(levels[:-1]):
        coarse = functional.interpolate(color[None], size=level.shape[1:], mode="bilinear")[0]
        color = level[:3] + (1 - level[3:]) * coarse
    return color  # (3, H, W)


def paste_person(pixels: Tensor, person: Tensor, background: Tensor) -> Tensor:
    """Put the person of an image on a background. The outline is soft, one pixel wide and inside of the person.

    Args:
        pixels: (3, H, W) uint8.
        person: (H, W) float32, 1 on the person and 0 on the background.
        background: (3, H, W) float32, 0 to 255.

    Returns:
        (3, H, W) uint8.
    """
    nearby = functional.avg_pool2d(person[None], 3, stride=1, padding=1, count_include_pad=False)  # (1, H, W)
    alpha = person * nearby
    return (background + alpha * (pixels - background)).round().to(torch.uint8)


def read_person_masks(samples: Sequence[Sample], *, size: tuple[int, int]) -> Tensor:
    """Read which pixels show the person, from the table of each data set.

    Args:
        samples: N images in the folders of `passerby synth`.
        size: (height, width); masks of another size are scaled.

    Returns:
        (N, H * W / 8) uint8, one bit per pixel as of `numpy.packbits`.

    Raises:
        DataError: For an image that is not in a table with masks.
    """
    tables: dict[Path, dict[str, bytes]] = {}
    rows = []
    for sample in samples:
        root = sample.path.parent.parent
        if root not in tables:
            tables[root] = _read_table(root)
        encoded = tables[root].get(f"{sample.path.parent.name}/{sample.path.name}")
        if encoded is None or sample.key is not None:
            raise DataError(f"{root / TABLE}: has no mask of {sample.label}; render the data set again")
        mask: Image.Image = Image.open(io.BytesIO(encoded))
        if mask.size != size[::-1]:
            mask = mask.resize(size[::-1], Image.Resampling.NEAREST)
        parts = np.asarray(mask)
        rows.append(np.packbits((parts >= PERSON_PARTS[0]) & (parts <= PERSON_PARTS[1])))
    return torch.from_numpy(np.stack(rows))


def _read_table(root: Path) -> dict[str, bytes]:
    """Return file name -> PNG of the mask.

    Raises:
        DataError: For a folder without such a table.
    """
    import pyarrow
    import pyarrow.parquet

    path = root / TABLE
    try:
        table = pyarrow.parquet.read_table(path, columns=["file", "mask"])
    except (OSError, pyarrow.ArrowInvalid):
        raise DataError(
            f"{path}: not a table with part masks; images.background exchanges the backgrounds of rendered people "
            "(passerby synth); set images.background to 0 for other data"
        ) from None
    return dict(zip(table["file"].to_pylist(), table["mask"].to_pylist(), strict=True))
