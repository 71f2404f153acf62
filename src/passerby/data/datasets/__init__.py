"""The data sets, one file each, and the spec that addresses them: `name:path?option=value+name:path`."""

from __future__ import annotations

from passerby.data.datasets import (
    cuhk01,
    cuhk03,
    cuhk03np,
    dukemtmc,
    folder,
    market1501,
    msmt17,
    synth,
    table,
)
from passerby.data.datasets.source import Reader, Reading, parse_spec
from passerby.errors import DataError
from passerby.types import DataSet

DATASETS: dict[str, Reader] = {
    "market1501": market1501.READER,
    "dukemtmc": dukemtmc.READER,
    "cuhk03": cuhk03.READER,
    "cuhk03np": cuhk03np.READER,
    "cuhk01": cuhk01.READER,
    "msmt17": msmt17.READER,
    "folder": folder.READER,
    "table": table.READER,
    "synth": synth.READER,
}


def load_data(spec: str) -> list[DataSet]:
    """Read every data set that a spec names.

    Args:
        spec: `name:path?option=value&option=value`, several joined by `+`. The names are those of `DATASETS`.

    Returns:
        One data set for each part, in the order written. Images are not decoded.

    Raises:
        DataError: For a spec, an option or a layout that is wrong, for files whose names do not parse (how many, and
            one of them), and for a split that the layout promises and that is empty.
    """
    return [_strict(DATASETS[source.name].read(source)) for source in parse_spec(spec, readers=DATASETS)]


def _strict(reading: Reading) -> DataSet:
    data = reading.data
    if reading.unreadable:
        first = reading.unreadable[0]
        count = len(reading.unreadable)
        raise DataError(
            f"{data.name}: {count} {'entry' if count == 1 else 'entries'} of {data.root} cannot be used, such as "
            f"{first.where}: {first.why}. `passerby data check` lists them"
        )
    for split in reading.promised:
        if not getattr(data, split):
            raise DataError(f"{data.name}: the {split} split of {data.root} is empty; expected images in it")
    return data
