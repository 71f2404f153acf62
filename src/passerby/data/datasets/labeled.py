"""From images with free-text labels (a folder's, a table's) to a data set with numbered people, cameras and splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from passerby.data.datasets.listing import natural_key
from passerby.data.datasets.source import Reading, Source, Unreadable
from passerby.data.datasets.splitting import first_per_camera, permuted
from passerby.errors import DataError
from passerby.types import DISTRACTOR, DataSet, Sample

SPLITS = ("train", "query", "gallery")
OPTIONS = {
    "train": "share of the people that train, 0..1, where the data brings no split; default 0.5",
    "junk": "LABEL of the person whose images are dropped, default -1",
    "distractor": "LABEL of the person whose gallery images match nobody, default none",
}


@dataclass(frozen=True)
class Row:
    """One image and what is written about it; None where nothing is."""

    path: Path
    person: str
    camera: str | None = None
    split: str | None = None
    timestamp: float | None = None


def assemble(
    source: Source, rows: Sequence[Row], *, unreadable: Sequence[Unreadable] = (), doubts: Sequence[str] = ()
) -> Reading:
    """Number people from 1 and cameras from 0, in natural order of their labels, and split.

    Rows have a split and a camera either all or none. Without splits, the people in the order of
    `splitting.permuted` train up to the share that the option `train` gives; of the others, the first image of each
    person in each camera is a query. Without cameras, each image of a person counts as a camera of its own, so that no
    match is left out for being of the query's camera.

    Raises:
        DataError: When there is no row, or `train` is given for data that brings its split.
    """
    if not rows and not unreadable:
        raise DataError(f"{source.name}: no image in {source.path}")
    junk, distractor = source.options.get("junk", "-1"), source.options.get("distractor")
    kept = [row for row in rows if row.person != junk]
    people = sorted({row.person for row in kept} - {distractor}, key=natural_key)
    person_ids = {label: number for number, label in enumerate(people, start=1)}
    cameras = sorted({row.camera for row in kept if row.camera is not None}, key=natural_key)
    camera_ids: dict[str | None, int] = {label: number for number, label in enumerate(cameras)}
    samples = [
        Sample(row.path, person_ids.get(row.person, DISTRACTOR), camera_ids.get(row.camera, 0), None, row.timestamp)
        for row in kept
    ]
    if any(row.split is not None for row in rows):
        if "train" in source.options:
            raise DataError(f"{source.name}: option train is for data without a split, but {source.path} has one")
        reading = _as_given(source, samples, [row.split for row in kept])
    else:
        reading = _by_share(source, samples, source.share("train", default=0.5))
    if kept and not cameras:
        reading = replace(reading, data=_cameras_unknown(reading.data))
    data = replace(
        reading.data,
        junk=len(rows) - len(kept),
        distractors=sum(sample.person_id == DISTRACTOR for sample in reading.data.gallery),
    )
    return replace(reading, data=data, unreadable=(*unreadable, *reading.unreadable), doubts=tuple(doubts))


def _as_given(source: Source, samples: Sequence[Sample], splits: Sequence[str | None]) -> Reading:
    parts: dict[str, list[Sample]] = {split: [] for split in SPLITS}
    misplaced = []
    for sample, split in zip(samples, splits, strict=True):
        assert split is not None
        if sample.person_id == DISTRACTOR and split != "gallery":
            misplaced.append(
                Unreadable(str(sample.path), f"a distractor in {split}; they belong into the gallery only")
            )
        else:
            parts[split].append(sample)
    train, query, gallery = (tuple(parts[split]) for split in SPLITS)
    data = DataSet(source.name, source.path, source.spec, train, query, gallery)
    promised = tuple(split for split in SPLITS if split in splits)
    # A gallery without queries, or the other way round, is a mistake and not a choice.
    if "query" in promised or "gallery" in promised:
        promised = (*(("train",) if "train" in promised else ()), "query", "gallery")
    return Reading(data, tuple(misplaced), promised)


def _by_share(source: Source, samples: Sequence[Sample], share: float) -> Reading:
    people = permuted({sample.person_id for sample in samples} - {DISTRACTOR})
    learned = set(people[: round(share * len(people))])
    query, gallery = first_per_camera([sample for sample in samples if sample.person_id not in learned])
    train = tuple(sample for sample in samples if sample.person_id in learned)
    variant = f"{len(learned)}/{len(people) - len(learned)} people, permuted"
    assumed = (
        f"no split given: {len(learned)} of {len(people)} people train (order of default_rng(0).permutation), the "
        "others are tested; the first image of each of them in each camera is the query"
    )
    promised = (("train",) if share > 0 else ()) + (("query", "gallery") if share < 1 else ())
    data = DataSet(source.name, source.path, source.spec, train, query, gallery, variant=variant)
    return Reading(data, promised=promised, assumed=(assumed,))


def _cameras_unknown(data: DataSet) -> DataSet:
    """Number each person's images through as if each came from a camera of its own."""
    seen: Counter[int] = Counter()
    parts: dict[str, tuple[Sample, ...]] = {}
    for split in SPLITS:
        numbered = []
        for sample in getattr(data, split):
            numbered.append(replace(sample, camera_id=seen[sample.person_id]))
            seen[sample.person_id] += 1
        parts[split] = tuple(numbered)
    variant = f"{data.variant}, cameras unknown".removeprefix(", ")
    return replace(data, train=parts["train"], query=parts["query"], gallery=parts["gallery"], variant=variant)
