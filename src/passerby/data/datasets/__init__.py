"""Readers of data sets, one file each, and `load_data`, which reads the data sets of a spec."""

from __future__ import annotations

from passerby.data.datasets import (
    cuhk01,
    cuhk03,
    cuhk03np,
    dukemtmc,
    folder,
    ilidsvid,
    layumi,
    market1501,
    mars,
    msmt17,
    prid2011,
    synth,
    table,
    vehicleid,
    veri776,
)
from passerby.data.datasets.holding_out import with_holdout
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult, parse_spec
from passerby.errors import DataError
from passerby.text import plural
from passerby.types import DataSet

_READERS: dict[str, Reader] = {
    "market1501": market1501.READER,
    "dukemtmc": dukemtmc.READER,
    "cuhk03": cuhk03.READER,
    "cuhk03np": cuhk03np.READER,
    "cuhk01": cuhk01.READER,
    "msmt17": msmt17.READER,
    "mars": mars.READER,
    "ilidsvid": ilidsvid.READER,
    "prid2011": prid2011.READER,
    "veri776": veri776.READER,
    "vehicleid": vehicleid.READER,
    "layumi": layumi.READER,
    "folder": folder.READER,
    "table": table.READER,
    "synth": synth.READER,
}
DATASETS = {name: with_holdout(reader) for name, reader in _READERS.items()}


def load_data(spec: str) -> list[DataSet]:
    """Read the data sets of a spec. Images are not decoded.

    Args:
        spec: `name:path?option=value&option=value`, several joined by `+`. The names are the keys of `DATASETS`.

    Returns:
        One data set for each part, in the order of the spec.

    Raises:
        DataError: For an invalid spec, option or layout, for files whose names do not parse (their number and one of
            them), and for an empty split that the layout requires.

    Example:
        >>> (data,) = load_data("market1501:people")
        >>> len(data.train), len(data.query), len(data.gallery)
        (48, 24, 28)
    """
    return [read_part(part) for part in parse_spec(spec, readers=DATASETS)]


def read_part(part: DataSpec) -> DataSet:
    """Read the data set of one part of a spec; raises as `load_data`."""
    return _require_valid(DATASETS[part.name].read(part))


def _require_valid(result: ReaderResult) -> DataSet:
    data = result.data
    if result.unreadable:
        first = result.unreadable[0]
        raise DataError(
            f"{data.name}: {plural(len(result.unreadable), 'entry')} of {data.root} cannot be used, such as "
            f"{first.location}: {first.reason}. `passerby data check` lists them"
        )
    for split in result.required_splits:
        if not getattr(data, split):
            raise DataError(f"{data.name}: the {split} split of {data.root} is empty; expected images in it")
    return data
