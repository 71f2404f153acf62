"""Content of `cuhk-03.mat`, an HDF5 file: the cells of its images, and their pixels.

`labeled` and `detected` are 5 x 1 cell arrays of camera pairs. Each cell is an M x 10 cell array: M persons, up to five
images of each in each of the two cameras. h5py reads a cell array as object references, and transposes: shape (1, 5),
each (10, M), each image (3, W, H). A missing image is MATLAB's empty array.

A key has the array and the name of the protocol files: `labeled/1_013_2_07.png` is pair 1, person 13, view (camera) 2,
image 7 of 10, all from 1.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.extras import require_extra

KINDS = ("labeled", "detected")
IMAGES = 10
_NAME = re.compile(r"(?P<pair>[0-9]+)_(?P<person>[0-9]+)_(?P<view>[12])_(?P<image>[0-9]+)\.png")


@dataclass(frozen=True, slots=True, order=True)
class ImageCell:
    """Cell of an image: camera pair, person of the pair and image (1-10), all from 1; 6-10 are of the second camera."""

    pair: int
    person: int
    image: int

    @property
    def view(self) -> int:
        """Camera of the pair, 1 or 2."""
        return 1 if self.image <= IMAGES // 2 else 2

    @property
    def name(self) -> str:
        """Name in the file list of the protocol."""
        return f"{self.pair}_{self.person:03d}_{self.view}_{self.image:02d}.png"


def parse_cell(name: str) -> ImageCell | None:
    """Parse a name of the file list; return None if it does not parse or contradicts itself."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    cell = ImageCell(int(match["pair"]), int(match["person"]), int(match["image"]))
    valid = cell.pair >= 1 and cell.person >= 1 and 1 <= cell.image <= IMAGES and cell.view == int(match["view"])
    return cell if valid else None


class CuhkMat:
    """Open `cuhk-03.mat`. Raises DataError for another file."""

    def __init__(self, path: Path) -> None:
        h5py = require_extra("h5py")
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise DataError(f"{path}: not a readable HDF5 file ({error}); expected CUHK03's cuhk-03.mat") from None
        self.path = path
        self._cells: dict[tuple[str, int], NDArray[Any]] = {}

    def _array(self, name: str) -> Any:
        if name not in self._file:
            keys = ", ".join(key for key in self._file if not key.startswith("#")) or "nothing"
            raise DataError(f"{self.path}: no array {name!r}; expected detected, labeled and testsets, found {keys}")
        return self._file[name]

    def count_persons(self, kind: str) -> list[int]:
        """Count the persons of each camera pair."""
        return [self.cells(kind, pair).shape[1] for pair in range(1, self._array(kind).shape[1] + 1)]

    def cells(self, kind: str, pair: int) -> NDArray[Any]:
        """Return the (10, M) object references of a camera pair (from 1)."""
        if (kind, pair) not in self._cells:
            array = self._array(kind)
            if array.ndim != 2 or array.shape[0] != 1 or not 1 <= pair <= array.shape[1]:
                raise DataError(f"{self.path}: {kind} has shape {array.shape}; expected (1, 5), and pair {pair} in it")
            cells = self._file[array[0, pair - 1]][()]
            if cells.ndim != 2 or len(cells) != IMAGES:
                raise DataError(f"{self.path}: {kind}, pair {pair} has shape {cells.shape}; expected (10, persons)")
            self._cells[kind, pair] = cells
        return self._cells[kind, pair]

    def list_images(self, kind: str) -> list[ImageCell]:
        """List the cells that hold an image, by pair, person and image."""
        return [
            ImageCell(pair, person, image)
            for pair, persons in enumerate(self.count_persons(kind), start=1)
            for person in range(1, persons + 1)
            for image in range(1, IMAGES + 1)
            if _is_image(self._file[self.cells(kind, pair)[image - 1, person - 1]])
        ]

    def test_persons(self, split: int) -> set[tuple[int, int]]:
        """Return (pair, person) of the test persons of a classic split (0 to 19), both from 1."""
        sets = self._array("testsets")
        if sets.ndim != 2 or not 0 <= split < sets.shape[1]:
            raise DataError(f"{self.path}: testsets has shape {sets.shape}; expected (1, 20), and split {split} in it")
        pairs = np.asarray(self._file[sets[0, split]][()])  # (2, 100)
        if pairs.ndim != 2 or len(pairs) != 2:
            raise DataError(f"{self.path}: test set {split} has shape {pairs.shape}; expected (2, 100)")
        return {(int(pair), int(person)) for pair, person in pairs.T}

    def pixels(self, kind: str, cell: ImageCell) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 RGB of one image. Raises DataError for a cell without an image."""
        cells = self.cells(kind, cell.pair)
        stored = self._file[cells[cell.image - 1, cell.person - 1]] if cell.person <= cells.shape[1] else None
        if stored is None or not _is_image(stored):
            raise DataError(f"{self.path}: no image {kind}/{cell.name} in it")
        try:
            image: NDArray[np.uint8] = np.ascontiguousarray(stored[()].transpose(2, 1, 0))  # (H, W, 3)
        except OSError as error:
            raise DataError(
                f"{self.path}: image {kind}/{cell.name} is damaged ({error}); copy the file again"
            ) from None
        return image


def _is_image(stored: Any) -> bool:
    """Return whether a referenced array is an image. MATLAB writes an empty array as its size, two integers."""
    return bool(stored.ndim == 3 and stored.shape[0] == 3 and stored.size and stored.dtype == np.uint8)


def read_cell(path: Path, key: str) -> NDArray[np.uint8]:
    """Return the pixels of a sample's key, (H, W, 3) uint8 RGB. The file stays open, once per process.

    Raises:
        DataError: For a key without an image, naming file and key.
    """
    kind, _, name = key.partition("/")
    cell = parse_cell(name)
    if kind not in KINDS or cell is None:
        raise DataError(f"{path}: key {key!r}; expected one like labeled/1_013_2_07.png")
    # HDF5 handles are not valid after a fork: a forked worker process opens its own.
    return _open(path, os.getpid()).pixels(kind, cell)


@lru_cache(maxsize=4)
def _open(path: Path, process: int) -> CuhkMat:
    return CuhkMat(path)
