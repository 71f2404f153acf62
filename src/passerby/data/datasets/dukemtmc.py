"""DukeMTMC-reID (Zheng et al., ICCV 2017): Market-1501's folders, names like 0001_c2_f0046182.jpg, 8 cameras.

702 / 702 identities and 408 distractor identities: 16,522 train, 2,228 query, 17,661 gallery. The authors withdrew the
data set over missing consent. This reader reads an existing copy; the package does not download it.
"""

from __future__ import annotations

import re

from passerby.data.datasets.market1501 import read_layout
from passerby.data.datasets.own_files import OPTIONS
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult

DUKE_NAME = re.compile(r"(?P<person>-1|[0-9]+)_c(?P<camera>[0-9]+)_f[0-9]+")


def read_dukemtmc(spec: DataSpec) -> ReaderResult:
    """Read the folder. Raises DataError for another layout."""
    return read_layout(spec, spec.path, pattern=DUKE_NAME, example="0001_c2_f0046182.jpg")


READER = Reader(read_dukemtmc, "DukeMTMC-reID: 702 / 702 identities, 8 cameras (withdrawn by its authors)", OPTIONS)
