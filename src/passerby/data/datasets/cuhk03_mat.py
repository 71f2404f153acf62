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

from passerby.errors import DataError, explain
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


MAX_PERSONS = 10_000
"""Limit of the people of a camera pair or of a test set."""
MAX_SIDE = 4_096
"""Limit of height and width of an image in pixels; the largest image of CUHK03 has fewer than 1,000."""


class CuhkMat:
    """Open `cuhk-03.mat`. Raises DataError for another file.

    Links to other places and data sets that are stored in other files are refused, as they could read any file.
    Class and shape of each array are checked before it is read.
    """

    def __init__(self, path: Path) -> None:
        h5py = require_extra("h5py")
        if not path.is_file():
            raise DataError(f"{path}: not a file; expected CUHK03's {path.name}")
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise DataError(
                f"{path}: not a readable HDF5 file ({explain(error)}); expected CUHK03's cuhk-03.mat"
            ) from None
        self.path = path
        self._h5py = h5py
        self._cells: dict[tuple[str, int], NDArray[Any]] = {}

    def count_persons(self, kind: str) -> list[int]:
        """Count the people of each camera pair."""
        return [self.cells(kind, pair).shape[1] for pair in range(1, self._array(kind).shape[1] + 1)]

    def cells(self, kind: str, pair: int) -> NDArray[Any]:
        """Return the (10, M) object references of a camera pair (from 1)."""
        if (kind, pair) not in self._cells:
            array = self._array(kind)
            if not 1 <= pair <= array.shape[1]:
                raise DataError(f"{self.path}: {kind} has shape {array.shape}; expected (1, 5), and pair {pair} in it")
            name = f"{kind}, pair {pair}"
            stored = self._follow(self._read(array)[0, pair - 1], name)
            if stored.ndim != 2 or stored.shape[0] != IMAGES or stored.shape[1] > MAX_PERSONS:
                raise DataError(f"{self.path}: {name} has shape {stored.shape}; expected (10, persons)")
            self._require_references(stored, name)
            self._cells[kind, pair] = self._read(stored)
        return self._cells[kind, pair]

    def list_images(self, kind: str) -> list[ImageCell]:
        """List the cells that hold an image, by pair, person and image."""
        return [
            ImageCell(pair, person, image)
            for pair, persons in enumerate(self.count_persons(kind), start=1)
            for person in range(1, persons + 1)
            for image in range(1, IMAGES + 1)
            if _is_image(self._follow(self.cells(kind, pair)[image - 1, person - 1], f"{kind}, pair {pair}"))
        ]

    def test_persons(self, split: int) -> set[tuple[int, int]]:
        """Return (pair, person) of the test identities of a classic split (0 to 19), both from 1."""
        sets = self._array("testsets")
        if not 0 <= split < sets.shape[1]:
            raise DataError(f"{self.path}: testsets has shape {sets.shape}; expected (1, 20), and split {split} in it")
        name = f"test set {split}"
        stored = self._follow(self._read(sets)[0, split], name)  # (2, 100)
        if stored.ndim != 2 or stored.shape[0] != 2 or stored.shape[1] > MAX_PERSONS or stored.dtype.kind not in "iuf":
            raise DataError(
                f"{self.path}: {name} has shape {stored.shape} of {stored.dtype}; expected (2, 100) numbers"
            )
        pairs = self._read(stored)
        if not np.all((pairs >= 1) & (pairs <= MAX_PERSONS) & (pairs == np.floor(pairs))):
            raise DataError(f"{self.path}: {name} has other values than whole numbers from 1 to {MAX_PERSONS}")
        return {(int(pair), int(person)) for pair, person in pairs.T}

    def pixels(self, kind: str, cell: ImageCell) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 RGB of one image. Raises DataError for a cell without an image."""
        cells = self.cells(kind, cell.pair)
        name = f"{kind}/{cell.name}"
        stored = self._follow(cells[cell.image - 1, cell.person - 1], name) if cell.person <= cells.shape[1] else None
        if stored is None or not _is_image(stored):
            raise DataError(f"{self.path}: no image {name} in it")
        if max(stored.shape) > MAX_SIDE:
            raise DataError(f"{self.path}: image {name} has shape {stored.shape}; expected at most {MAX_SIDE} pixels")
        image: NDArray[np.uint8] = np.ascontiguousarray(self._read(stored).transpose(2, 1, 0))  # (H, W, 3)
        return image

    def _array(self, name: str) -> Any:
        """Return the (1, N) array of references with a name, not read yet."""
        try:
            link = self._file.get(name, getlink=True)
            if link is None:
                keys = ", ".join(key for key in self._file if not key.startswith("#")) or "nothing"
                raise DataError(
                    f"{self.path}: no array {name!r}; expected detected, labeled and testsets, found {keys}"
                )
            if not isinstance(link, self._h5py.HardLink):
                raise DataError(f"{self.path}: {name} is a link to another place; expected an array in this file")
            stored = self._file[name]
        except (OSError, RuntimeError, KeyError) as error:
            raise self._damaged(name, error) from None
        self._require_local(stored, name)
        if stored.ndim != 2 or stored.shape[0] != 1 or stored.shape[1] > MAX_PERSONS:
            raise DataError(f"{self.path}: {name} has shape {stored.shape}; expected one row of cells")
        self._require_references(stored, name)
        return stored

    def _follow(self, reference: Any, name: str) -> Any:
        """Return the data set of a reference, not read yet."""
        if not reference:
            raise DataError(f"{self.path}: {name} has an empty reference; copy the file again")
        try:
            stored = self._file[reference]
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise self._damaged(name, error) from None
        self._require_local(stored, name)
        return stored

    def _require_local(self, stored: Any, name: str) -> None:
        if not isinstance(stored, self._h5py.Dataset) or stored.shape is None:
            raise DataError(f"{self.path}: {name} is no array")
        if stored.external or stored.is_virtual:
            raise DataError(f"{self.path}: {name} is stored in another file; expected an array in this file")

    def _require_references(self, stored: Any, name: str) -> None:
        if self._h5py.check_ref_dtype(stored.dtype) is not self._h5py.Reference:
            raise DataError(f"{self.path}: {name} has {stored.dtype}; expected a cell array (object references)")

    def _read(self, stored: Any) -> NDArray[Any]:
        try:
            return np.asarray(stored[()])
        except (OSError, RuntimeError, ValueError) as error:
            raise self._damaged(stored.name or "array", error) from None

    def _damaged(self, name: str, error: Exception) -> DataError:
        reason = explain(OSError(*error.args)) if isinstance(error, KeyError) else explain(error)  # h5py's KeyError
        return DataError(f"{self.path}: {name} is damaged ({reason}); copy the file again")


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
