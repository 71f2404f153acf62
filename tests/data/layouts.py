"""Miniature data sets in the layouts of the real ones. Every image is random noise of its own."""

from __future__ import annotations

import csv
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from PIL import Image

CROP = (40, 20)
"""Height and width of an image, above the size that `check` reports as tiny."""


def noise(name: str, size: tuple[int, int] = CROP) -> np.ndarray:
    """Return (H, W, 3) uint8 noise, seeded by the name."""
    return np.random.default_rng(zlib.crc32(name.encode())).integers(0, 256, (*size, 3), dtype=np.uint8)


def write_image(path: Path, *, content: str | None = None, size: tuple[int, int] = CROP) -> Path:
    """Write noise in the format of the suffix, seeded by `content` or the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(content or str(path), size)).save(path)
    return path


def write_images(folder: Path, names: Iterable[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_image(folder / name)


MARKET = {
    "bounding_box_train": [
        "0002_c1s1_000451_03.jpg",
        "0002_c2s1_000301_01.jpg",
        "0002_c12s1_000301_01.jpg",
        "0007_c1s6_028546_01.jpg",
        "0007_c3s3_077419_03.jpg",
    ],
    "query": ["0001_c1s1_001051_00.jpg", "0001_c2s1_000301_00.jpg", "0003_c1s6_015971_00.jpg"],
    "bounding_box_test": [
        "0001_c1s1_001051_03.jpg",
        "0001_c2s1_000301_01.jpg",
        "0003_c2s3_064744_02.jpg",
        "0000_c1s1_000151_01.jpg",
        "0000_c2s1_000151_01.jpg",
        "-1_c1s1_000401_03.jpg",
        "-1_c3s1_000401_04.jpg",
        "-1_c4s1_000401_05.jpg",
    ],
    "gt_bbox": [
        "0001_c1s1_001051_00.jpg",
        "0001_c1s1_002301_00.jpg",
        "0001_c3s1_002301_00.jpg",
        "0002_c1s1_000451_00.jpg",
    ],
}
DUKE = {
    "bounding_box_train": [
        "0001_c2_f0046182.jpg",
        "0001_c8_f0046302.jpg",
        "0005_c2_f0046985.jpg",
        "0005_c5_f0051341.jpg",
    ],
    "query": ["0002_c1_f0044158.jpg", "0004_c2_f0046985.jpg"],
    "bounding_box_test": ["0002_c2_f0044168.jpg", "0004_c1_f0046985.jpg", "0003_c1_f0044158.jpg"],
}
CUHK03NP = {
    "bounding_box_train": ["0001_c1_1.png", "0001_c2_6.png", "0002_c1_1.png", "0002_c2_6.png"],
    "query": ["0003_c1_21.png", "0003_c2_22.png"],
    "bounding_box_test": ["0003_c1_23.png", "0003_c2_24.png"],
}


def write_market(root: Path, folders: Mapping[str, Sequence[str]] = MARKET) -> Path:
    """Write a data set in the layout of Market-1501, with the `Thumbs.db` of the real one."""
    for folder, names in folders.items():
        write_images(root / folder, names)
        (root / folder / "Thumbs.db").write_bytes(b"not an image")
    return root


def write_cuhk01(root: Path, *, identities: int = 971) -> Path:
    """Write empty files with the names of CUHK01, as the reader parses names only."""
    (root / "campus").mkdir(parents=True)
    for person in range(1, identities + 1):
        for image in range(1, 5):
            (root / "campus" / f"{person:04d}{image:03d}.png").touch()
    return root


MSMT17 = {
    "list_train.txt": ["0000/0000_000_01_0303morning_0015_0.jpg 0", "0001/0001_000_15_0113noon_0021_1.jpg 1"],
    "list_val.txt": ["0000/0000_010_05_0303morning_0020_0.jpg 0"],
    "list_query.txt": ["0000/0000_000_02_0303afternoon_0201_0.jpg 0"],
    "list_gallery.txt": ["0000/0000_001_14_0303noon_0301_0.jpg 0", "0001/0001_001_03_0303noon_0301_0.jpg 1"],
}


def write_msmt17(root: Path, *, folders: tuple[str, str] = ("train", "test")) -> Path:
    for file, lines in MSMT17.items():
        folder = folders[0] if file in ("list_train.txt", "list_val.txt") else folders[1]
        for line in lines:
            write_image(root / folder / line.split()[0])
        (root / file).write_text("\n".join(lines) + "\n")
    return root


PAIRS = (4, 3, 2, 2, 2)
"""Persons of each camera pair in the miniature `cuhk-03.mat`."""
ABSENT = {(1, 1, 5), (1, 1, 10), (2, 3, 4)}
"""Pair, person and image (all from 1) of cells that are empty."""
TESTED = [(1, 2), (3, 1), (5, 2)]
"""(pair, person) of the classic test sets of the miniature, which are all equal."""


def cuhk03_pixels(kind: str, pair: int, person: int, image: int) -> np.ndarray:
    """Return (H, W, 3) of one image of the miniature. Sizes differ, so that a wrong transposition is detected."""
    return noise(f"{kind} {pair} {person} {image}", (40 + image, 16 + pair))


def write_cuhk03(root: Path, *, tested: Sequence[tuple[int, int]] = TESTED) -> Path:
    """Write `cuhk-03.mat` as MATLAB 7.3: cell arrays of references, transposed arrays, empty cells as sizes."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / "cuhk-03.mat"
    with h5py.File(path, "w") as file:
        store = file.create_group("#refs#")

        def put(array: np.ndarray, *, empty: bool = False) -> Any:
            stored = store.create_dataset(f"r{len(store)}", data=array)
            if empty:
                stored.attrs["MATLAB_empty"] = np.uint8(1)
            return stored.ref

        for kind in ("detected", "labeled"):
            cells = file.create_dataset(kind, (1, len(PAIRS)), dtype=h5py.ref_dtype)
            for pair, persons in enumerate(PAIRS, start=1):
                images = np.empty((10, persons), dtype=h5py.ref_dtype)
                for person in range(1, persons + 1):
                    for image in range(1, 11):
                        absent = (pair, person, image) in ABSENT
                        pixels = cuhk03_pixels(kind, pair, person, image).transpose(2, 1, 0)  # (3, W, H)
                        content = np.zeros(2, dtype=np.uint64) if absent else pixels
                        images[image - 1, person - 1] = put(content, empty=absent)
                stored = store.create_dataset(f"pair {kind} {pair}", data=images, dtype=h5py.ref_dtype)
                cells[0, pair - 1] = stored.ref
        testsets = file.create_dataset("testsets", (1, 20), dtype=h5py.ref_dtype)
        for split in range(20):
            testsets[0, split] = put(np.asarray(tested, dtype=np.float64).T)  # (2, persons)
    return path


def write_cuhk03_protocol(
    root: Path, kind: str, *, names: Sequence[str], labels: Sequence[int], splits: Mapping[str, Sequence[int]]
) -> Path:
    """Write `cuhk03_new_protocol_config_{kind}.mat`, a v5 file; `splits` are 1-based indices into `names`."""
    path = root / f"cuhk03_new_protocol_config_{kind}.mat"
    filelist = np.empty((len(names), 1), dtype=object)
    filelist[:, 0] = names
    columns = {part: np.asarray(indices, dtype=np.uint16).reshape(-1, 1) for part, indices in splits.items()}
    scipy.io.savemat(
        path,
        {
            "filelist": filelist,
            "labels": np.asarray(labels, dtype=np.uint16).reshape(-1, 1),
            "camId": np.asarray([int(name.split("_")[2]) for name in names], dtype=np.uint8).reshape(-1, 1),
            **{f"{part}_idx": column for part, column in columns.items()},
        },
    )
    return path


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a table, CSV or Parquet by suffix, and the images of its column `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for row in rows:
        if row.get("path"):
            write_image(path.parent / str(row["path"]))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.table({name: [row.get(name) for row in rows] for name in columns})
        pyarrow.parquet.write_table(table, path)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
    return path


def png(width: int, height: int, *, depth: int = 8, color: int = 2, rows: bytes = b"") -> bytes:
    """Encode a PNG that Pillow does not write: 16-bit color, or a header with a false size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    packed = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + packed + chunk(b"IEND", b"")
