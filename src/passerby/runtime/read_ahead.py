"""Images -> batches of pixels, decoded and resized by threads ahead of the network.

B batch   H W image height and width
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.data.images import Pixels, decode_image, read_image, resize_image, rgb_pixels
from passerby.errors import DataError, argument
from passerby.types import Sample

ImageLike = str | Path | Sample | Image.Image | NDArray[np.uint8]
"""One image: a file, a sample of a data set, a Pillow image, or (H, W, 3) RGB or (H, W) gray uint8."""

_PIECE = 16
"""Images that a thread decodes at a time: several threads share a large batch, and small batches share a turn."""
_Numbered = tuple[int, ImageLike]
_Group = list[list[_Numbered]]
"""Batches that are decoded together."""


def read_batches(
    images: Iterable[ImageLike], *, size: tuple[int, int], batch: int, workers: int = 1
) -> Iterator[Pixels]:
    """Yield batches of decoded and resized images, in order.

    Args:
        images: Any iterable; it is read in the calling thread, `workers` batches ahead, of a sequence or an array
            `workers` times 16 images if that is more. An array of images at `size` is only divided.
        size: (height, width) in pixels.
        batch: Images in a batch; the last batch may have fewer.
        workers: Threads that decode ahead; 0 decodes in the calling thread.

    Yields:
        (B, H, W, 3) uint8 RGB.

    Raises:
        DataError: While iterating, for an image that cannot be read; the message names it. For a batch below 1.

    Example:
        >>> [pixels.shape for pixels in read_batches(["a.jpg", "b.jpg", "c.jpg"], size=(64, 32), batch=2)]
        [(2, 64, 32, 3), (1, 64, 32, 3)]
    """
    require_batch(batch)
    if isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.shape[1:] == (*size, 3):
        yield from (images[start : start + batch] for start in range(0, len(images), batch))
        return
    numbered = enumerate(images)
    batches = iter(lambda: [*islice(numbered, batch)], [])
    if workers < 1:
        yield from (_read_piece(items, size) for items in batches)
        return
    at_once = max(1, _PIECE // batch) if isinstance(images, Sequence | np.ndarray) else 1
    groups = iter(lambda: [*islice(batches, at_once)], [])
    pool = ThreadPoolExecutor(workers, thread_name_prefix="passerby-decode")
    waiting: deque[tuple[_Group, list[Future[Pixels]]]] = deque()
    try:
        for group in groups:
            items = [item for batch_items in group for item in batch_items]
            pieces = (items[start : start + _PIECE] for start in range(0, len(items), _PIECE))
            waiting.append((group, [pool.submit(_read_piece, piece, size) for piece in pieces]))
            if len(waiting) > workers:
                yield from _divide(*waiting.popleft(), size)
        while waiting:
            yield from _divide(*waiting.popleft(), size)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def require_batch(batch: int) -> None:
    """Raise DataError for a number of images in a batch below 1."""
    if not isinstance(batch, int) or batch < 1:
        raise DataError(f"{argument('batch')}: got {batch!r}, expected at least 1 image")


def _divide(group: _Group, pieces: Sequence[Future[Pixels]], size: tuple[int, int]) -> Iterator[Pixels]:
    """Yield the batches of a group that was decoded in pieces."""
    try:
        arrays = [piece.result() for piece in pieces]
    except DataError:  # the batches before that image are good
        yield from (_read_piece(items, size) for items in group)
        return
    pixels = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    start = 0
    for items in group:
        yield pixels[start : start + len(items)]
        start += len(items)


def _read_piece(items: Sequence[_Numbered], size: tuple[int, int]) -> Pixels:
    """Read (B, H, W, 3)."""
    pixels = np.empty((len(items), *size, 3), np.uint8)
    for row, (number, image) in zip(pixels, items, strict=True):
        row[:] = to_pixels(image, number, size=size)
    return pixels


def list_images(images: ImageLike | Iterable[ImageLike]) -> Iterable[ImageLike]:
    """Put a single image into a list; an error for other values than images."""
    single = isinstance(images, str | Path | Sample | Image.Image)
    if single or (isinstance(images, np.ndarray) and images.ndim <= 3):
        return [images]  # type: ignore[list-item]
    if isinstance(images, Iterable) and not isinstance(images, bytes | Mapping):
        return images
    raise DataError(
        f"images: got {type(images).__name__}, expected a path, Sample, Pillow image or uint8 array, or several"
    )


def read_column(batch: Mapping[str, Any]) -> list[ImageLike]:
    """Return the images of a batch of columns.

    Args:
        batch: Columns by name, one of which is `image` (arrays), `bytes` (contents of image files) or `path`.

    Raises:
        DataError: For none or several of these columns, or bytes that are no image.
    """
    names = [name for name in ("image", "bytes", "path") if name in batch]
    if len(names) != 1:
        raise DataError(
            f"batch: got columns {', '.join(map(str, batch)) or 'none'}; expected one of image (arrays), bytes "
            "(contents of image files) and path"
        )
    values = list(batch[names[0]])
    if names != ["bytes"]:
        return [str(value) for value in values] if names == ["path"] else values
    return [decode_image(bytes(value), f"image {number}") for number, value in enumerate(values)]


def to_pixels(image: ImageLike, number: int, *, size: tuple[int, int] | None = None) -> Pixels:
    """Convert one image of any kind to (H, W, 3) uint8 RGB.

    Args:
        image: The image.
        number: Its number in messages.
        size: (height, width) of the result in pixels; None keeps that of the image.

    Raises:
        DataError: For an image that cannot be read, or another kind of value.
    """
    if isinstance(image, str | Path | Sample):
        return read_image(Path(image) if isinstance(image, str) else image, size=size)
    if isinstance(image, Image.Image):
        return _resize(rgb_pixels(image, f"image {number}"), size)
    if not isinstance(image, np.ndarray):
        raise DataError(f"image {number}: got {type(image).__name__}, expected a path, Sample, Pillow image or array")
    gray = image.ndim == 2
    if image.dtype != np.uint8 or not (gray or image.shape[2:] == (3,)) or 0 in image.shape:
        raise DataError(
            f"image {number}: got an array of shape {image.shape} of {image.dtype}, expected uint8, "
            "(height, width, 3) RGB or (height, width) gray"
        )
    return _resize(np.repeat(image[:, :, None], 3, axis=2) if gray else image, size)


def _resize(image: Pixels, size: tuple[int, int] | None) -> Pixels:
    return image if size is None else resize_image(image, size)
