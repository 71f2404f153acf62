"""CUHK03 in the new protocol as a folder like Market-1501 (CUHK03-NP, Zhong et al., CVPR 2017).

It circulates with labeled/ and detected/ above the three folders. Figures of the two are not comparable, so which one
was read is always named: it comes from the option, or from the name of the folder.
"""

from __future__ import annotations

import re

from passerby.data.datasets.listing import require_folder
from passerby.data.datasets.market1501 import LAYOUT, read_layout
from passerby.data.datasets.source import Reader, Reading, Source
from passerby.errors import DataError

NP_NAME = re.compile(r"(?P<person>-1|[0-9]+)_c(?P<camera>[0-9]+)_")
KINDS = ("labeled", "detected")


def read_cuhk03np(source: Source) -> Reading:
    """Read labeled/ (default) or detected/ in the folder, or the folder itself when it holds the three folders.

    Raises:
        DataError: When the layout is another, or nothing tells whether the images are labeled or detected.
    """
    root = require_folder(source.path, name=source.name, expected=f"labeled/ and detected/, or {LAYOUT}")
    if (root / "bounding_box_train").is_dir():
        named = root.resolve().name
        if named not in KINDS and "images" not in source.options:
            raise DataError(
                f"{source.name}: {root} does not tell whether its images are labeled or detected, and figures of the "
                "two are not comparable; add ?images=labeled or ?images=detected"
            )
        kind = source.choice("images", KINDS, default=named)
        if named in KINDS and kind != named:
            raise DataError(f"{source.name}: images={kind}, but the folder is {root}; leave the option out")
    else:
        kind = source.choice("images", KINDS, default="labeled")
        root = root / kind
    return read_layout(source, root, pattern=NP_NAME, example="0003_c1_21.png", variant=f"{kind}, new protocol")


READER = Reader(
    read_cuhk03np,
    "CUHK03-NP: CUHK03's new protocol as a folder, 767 / 700 identities, 2 cameras",
    {"images": "labeled|detected"},
)
