"""CUHK01 (Li, Zhao, Wang, ACCV 2012): campus/PPPPIII.png, 971 identities, images 1-2 in camera A, 3-4 in B.

The data set has no official split. This reader takes the ids in the order of `default_rng(0).permutation`
(`order=permuted`, the default) or of the ids (`order=sorted`): the first 485 (or 871) train, the others test. The first
image of a test identity in a camera is a query, the other one is in the gallery; Market rule.

`holdout=N` is for tuning: the last N training identities are query and gallery, and the test identities are left out,
so that they influence no choice.
"""

from __future__ import annotations

import re
from pathlib import Path

from passerby.data.datasets.listing import image_files, require_folder
from passerby.data.datasets.own_files import OPTIONS, are_cameras_known, separate_own_files
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult, UnreadableEntry
from passerby.data.datasets.splitting import permute_ids, split_queries
from passerby.errors import DataError
from passerby.text import plural
from passerby.types import DataSet, Sample

IDENTITIES = 971
NAME = re.compile(r"(?P<person>[0-9]{4})(?P<image>00[1-4])\.")


def read_cuhk01(spec: DataSpec) -> ReaderResult:
    """Read campus/, or the folder that holds it.

    Raises:
        DataError: When the folder is missing or has too few identities for the split, or for an invalid option.
    """
    split = int(spec.choice("split", ("485", "871"), default="485"))
    order = spec.choice("order", ("permuted", "sorted"), default="permuted")
    holdout = spec.integer("holdout", default=0, low=0, high=split - 1)
    require_folder(spec.path, name=spec.name, expected="campus/ or the folder that holds it")
    folder = spec.path if spec.path.resolve().name == "campus" else spec.path / "campus"
    require_folder(folder, name=spec.name, expected="campus/ with PPPPIII.png in it")
    skipped: list[Path] = []
    samples, unreadable = _list_images(folder, skipped)
    identities = {sample.person_id for sample in samples}
    if len(identities) <= split:
        raise DataError(
            f"{spec.name}: {folder} has {plural(len(identities), 'identity')} with valid names; split={split} needs "
            f"more than {split} of the data set's {IDENTITIES}"
        )
    ordered = permute_ids(identities) if order == "permuted" else sorted(identities)
    train = set(ordered[: split - holdout])
    test = set(ordered[split - holdout : split] if holdout else ordered[split:])
    query, gallery = split_queries([sample for sample in samples if sample.person_id in test])
    data = DataSet(
        name=spec.name,
        root=spec.path,
        spec=spec.text,
        train=tuple(sample for sample in samples if sample.person_id in train),
        query=query,
        gallery=gallery,
        variant=f"{split}/{IDENTITIES - split}, {order}"
        + (f", {plural(holdout, 'training identity')} held out" if holdout else ""),
    )
    present = f"{plural(len(identities), 'identity')}, {plural(len(samples), 'image')}"
    warning = f"{present}; expected {IDENTITIES}, {4 * IDENTITIES}: incomplete copy"
    warnings = () if len(samples) == 4 * IDENTITIES else (warning,)
    result = ReaderResult(data, unreadable, warnings=warnings, skipped=tuple(skipped))
    return separate_own_files(spec, result, cameras_known=are_cameras_known(spec))


def _list_images(folder: Path, skipped: list[Path]) -> tuple[list[Sample], tuple[UnreadableEntry, ...]]:
    samples, unreadable = [], []
    for path in image_files(folder, skipped=skipped):
        match = NAME.match(path.name)
        if match is None or int(match["person"]) < 1:
            unreadable.append(UnreadableEntry(str(path), "the name does not parse; expected one like 0001003.png"))
        else:
            samples.append(Sample(path, int(match["person"]), (int(match["image"]) - 1) // 2))
    return samples, tuple(unreadable)


READER = Reader(
    read_cuhk01,
    "CUHK01: 971 identities, 2 cameras, 485/486 or 871/100",
    {
        "split": "485|871",
        "order": "permuted|sorted",
        "holdout": "N training identities that replace the test identities, default 0",
        **OPTIONS,
    },
)
