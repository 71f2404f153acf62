"""DukeMTMC-reID (Zheng et al., ICCV 2017): Market-1501's folders, names like 0001_c2_f0046182.jpg, 8 cameras.

702 / 702 identities and 408 distractor identities: 16,522 train, 2,228 query, 17,661 gallery. The authors withdrew the
data set over consent: this reads a copy that the user has, and nothing here fetches one.
"""

from __future__ import annotations

import re

from passerby.data.datasets.market1501 import read_layout
from passerby.data.datasets.source import Reader, Reading, Source

DUKE_NAME = re.compile(r"(?P<person>-1|[0-9]+)_c(?P<camera>[0-9]+)_f[0-9]+")


def read_dukemtmc(source: Source) -> Reading:
    """Read the folder. Raises DataError where the layout is another."""
    return read_layout(source, source.path, pattern=DUKE_NAME, example="0001_c2_f0046182.jpg")


READER = Reader(read_dukemtmc, "DukeMTMC-reID: 702 / 702 identities, 8 cameras (withdrawn by its authors)")
