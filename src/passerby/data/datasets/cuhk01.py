"""CUHK01 (Li, Zhao, Wang, ACCV 2012): campus/PPPPIII.png, 971 people, images 1-2 from camera A and 3-4 from camera B.

The data set has no official split. Ours: the ids in the order of `default_rng(0).permutation` (`order=permuted`, the
default) or as they are (`order=sorted`); the first 485 (or 871) train, the others test. The first image of each test
person in each camera is a query, the other the gallery, under the Market rule.

`holdout=N` is for tuning: the last N training people become query and gallery, and the test people are left out, so
that no choice ever sees them.
"""

from __future__ import annotations

import re
from pathlib import Path

from passerby.data.datasets.listing import image_files, require_folder
from passerby.data.datasets.source import Reader, Reading, Source, Unreadable
from passerby.data.datasets.splitting import first_per_camera, permuted
from passerby.errors import DataError
from passerby.types import DataSet, Sample

PEOPLE = 971
NAME = re.compile(r"(?P<person>[0-9]{4})(?P<image>00[1-4])\.")


def read_cuhk01(source: Source) -> Reading:
    """Read campus/, or the folder that holds it.

    Raises:
        DataError: When the folder is missing, has too few people for the split, or an option is impossible.
    """
    split = int(source.choice("split", ("485", "871"), default="485"))
    order = source.choice("order", ("permuted", "sorted"), default="permuted")
    holdout = source.integer("holdout", default=0, low=0, high=split - 1)
    require_folder(source.path, name=source.name, expected="campus/ or the folder that holds it")
    folder = source.path if source.path.resolve().name == "campus" else source.path / "campus"
    require_folder(folder, name=source.name, expected="campus/ with PPPPIII.png in it")
    samples, unreadable = _list(folder)
    people = {sample.person_id for sample in samples}
    if len(people) <= split:
        raise DataError(
            f"{source.name}: {folder} has {len(people)} people that parse; split={split} needs more than {split} of "
            f"the data set's {PEOPLE}"
        )
    ordered = permuted(people) if order == "permuted" else sorted(people)
    learned, tested = ordered[: split - holdout], ordered[split - holdout : split] if holdout else ordered[split:]
    query, gallery = first_per_camera([sample for sample in samples if sample.person_id in set(tested)])
    data = DataSet(
        name=source.name,
        root=source.path,
        spec=source.spec,
        train=tuple(sample for sample in samples if sample.person_id in set(learned)),
        query=query,
        gallery=gallery,
        variant=f"{split}/{PEOPLE - split}, {order}" + (f", {holdout} training identities held out" if holdout else ""),
    )
    doubt = f"{len(people)} people and {len(samples)} images instead of {PEOPLE} and {4 * PEOPLE}: not the whole set"
    return Reading(data, unreadable, doubts=() if len(samples) == 4 * PEOPLE else (doubt,))


def _list(folder: Path) -> tuple[list[Sample], tuple[Unreadable, ...]]:
    samples, unreadable = [], []
    for path in image_files(folder):
        match = NAME.match(path.name)
        if match is None or int(match["person"]) < 1:
            unreadable.append(Unreadable(str(path), "the name does not parse; expected one like 0001003.png"))
        else:
            samples.append(Sample(path, int(match["person"]), (int(match["image"]) - 1) // 2))
    return samples, tuple(unreadable)


READER = Reader(
    read_cuhk01,
    "CUHK01: 971 identities, 2 cameras, 485/486 or 871/100",
    {
        "split": "485|871",
        "order": "permuted|sorted",
        "holdout": "N of the training identities to evaluate on instead of the test identities, default 0",
    },
)
