"""VeRi-776 (Liu et al., ICME and ECCV 2016): vehicles; Market-1501's rules with other names of the folders.

    image_train/  image_query/  image_test/       0002_c002_00030600_0.jpg: vehicle 2, camera 2 of 20

576 / 200 vehicles: 37,778 train, 1,678 query, 11,579 gallery. Images are compared with images under the Market rule,
as in the authors' evaluation code. Papers that compare images with tracks (`test_track.txt`) have other metrics.
"""

from __future__ import annotations

import re

from passerby.data.datasets.market1501 import read_layout
from passerby.data.datasets.own_files import OPTIONS
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult

NAME = re.compile(r"(?P<person>-1|[0-9]+)_c(?P<camera>[0-9]+)_")
FOLDERS = ("image_train", "image_query", "image_test")


def read_veri776(spec: DataSpec) -> ReaderResult:
    """Read the folder. Raises DataError for another layout."""
    return read_layout(spec, spec.path, pattern=NAME, example="0002_c002_00030600_0.jpg", folders=FOLDERS)


READER = Reader(read_veri776, "VeRi-776: 576 / 200 vehicles, 20 cameras", OPTIONS)
