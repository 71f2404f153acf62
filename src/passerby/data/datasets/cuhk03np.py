"""CUHK03-NP (Zhong et al., CVPR 2017): the new protocol of CUHK03 as a folder in the layout of Market-1501.

Copies have labeled/ and detected/ above the three folders. Metrics of the two are not comparable, so the variant is
always stated: from the option, or from the name of the folder.
"""

from __future__ import annotations

import re

from passerby.data.datasets.listing import require_folder
from passerby.data.datasets.market1501 import describe_layout, read_layout
from passerby.data.datasets.own_files import OPTIONS
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult
from passerby.errors import DataError

NP_NAME = re.compile(r"(?P<person>-1|[0-9]+)_c(?P<camera>[0-9]+)_")
KINDS = ("labeled", "detected")


def read_cuhk03np(spec: DataSpec) -> ReaderResult:
    """Read labeled/ (default) or detected/ in the folder, or the folder itself when it holds the three folders.

    Raises:
        DataError: For another layout, or when neither option nor folder name is labeled or detected.
    """
    root = require_folder(spec.path, name=spec.name, expected=f"labeled/ and detected/, or {describe_layout()}")
    if (root / "bounding_box_train").is_dir():
        folder_name = root.resolve().name
        if folder_name not in KINDS and "images" not in spec.options:
            raise DataError(
                f"{spec.name}: the name of {root} is neither labeled nor detected, and metrics of the two are not "
                "comparable; add ?images=labeled or ?images=detected"
            )
        kind = spec.choice("images", KINDS, default=folder_name)
        if folder_name in KINDS and kind != folder_name:
            raise DataError(f"{spec.name}: images={kind}, but the folder is {root}; leave the option out")
    else:
        kind = spec.choice("images", KINDS, default="labeled")
        root = root / kind
    return read_layout(spec, root, pattern=NP_NAME, example="0003_c1_21.png", variant=f"{kind}, new protocol")


READER = Reader(
    read_cuhk03np,
    "CUHK03-NP: CUHK03's new protocol as a folder, 767 / 700 identities, 2 cameras",
    {"images": "labeled|detected", **OPTIONS},
)
