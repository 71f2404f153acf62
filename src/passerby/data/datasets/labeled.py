"""Data set from images with text labels (of folders or tables): numbered identities and cameras, and splits."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from passerby.data.datasets.listing import natural_key
from passerby.data.datasets.own_files import COPIES, separate_own_files
from passerby.data.datasets.spec import DataSpec, ReaderResult, UnreadableEntry
from passerby.data.datasets.splitting import permute_ids, split_queries
from passerby.errors import DataError
from passerby.text import plural
from passerby.types import DISTRACTOR, DataSet, Sample

SPLITS = ("train", "query", "gallery")
OPTIONS = {
    "train": "FRACTION of the identities that train, 0 to 1, for data without a split; default 0.5",
    "junk": "LABEL of the images to drop, default -1",
    "distractor": "LABEL of the gallery images that match no query, default none",
    **COPIES,
}


@dataclass(frozen=True)
class LabeledImage:
    """One image with its labels; None for a missing label."""

    path: Path
    person: str
    camera: str | None = None
    split: str | None = None
    timestamp: float | None = None
    key: str | None = None


def assemble(
    spec: DataSpec,
    images: Sequence[LabeledImage],
    *,
    unreadable: Sequence[UnreadableEntry] = (),
    warnings: Sequence[str] = (),
) -> ReaderResult:
    """Number identities from 1 and cameras from 0, in natural order of their labels, and split.

    Either all images or none have a split, and likewise a camera. Without splits, the first identities in the order of
    `permute_ids` train, up to the fraction of the option `train`; of the others, the first image of an identity in a
    camera is a query. Without cameras, each file of an identity gets a camera of its own, so that no match is left out
    for being of the query's camera.

    Raises:
        DataError: When there is no image, or `train` is given for data with a split.
    """
    if not images and not unreadable:
        raise DataError(f"{spec.name}: no image in {spec.path}")
    unprintable = [
        UnreadableEntry(str(image.path), f"{name} {label!r} has a control character or is not UTF-8; rename it")
        for image in images
        for name, label in (("identity", image.person), ("camera", image.camera))
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in label or "")
    ]
    junk, distractor = spec.options.get("junk", "-1"), spec.options.get("distractor")
    kept = [image for image in images if image.person != junk]
    persons = sorted({image.person for image in kept} - {distractor}, key=natural_key)
    person_ids = {label: number for number, label in enumerate(persons, start=1)}
    cameras = sorted({image.camera for image in kept if image.camera is not None}, key=natural_key)
    camera_ids: dict[str | None, int] = {label: number for number, label in enumerate(cameras)}
    samples = [
        Sample(
            image.path,
            person_ids.get(image.person, DISTRACTOR),
            camera_ids.get(image.camera, 0),
            key=image.key,
            timestamp=image.timestamp,
        )
        for image in kept
    ]
    if any(image.split is not None for image in images):
        if "train" in spec.options:
            raise DataError(f"{spec.name}: option train is for data without a split, but {spec.path} has one")
        result = _use_splits(spec, samples, [image.split for image in kept])
    else:
        result = _split_fraction(spec, samples, spec.fraction("train", default=0.5))
    result = separate_own_files(spec, result, cameras_known=bool(cameras) or not kept)
    data = replace(
        result.data,
        junk=len(images) - len(kept),
        distractors=sum(sample.person_id == DISTRACTOR for sample in result.data.gallery),
    )
    return replace(
        result,
        data=data,
        unreadable=(*unreadable, *unprintable, *result.unreadable),
        warnings=(*warnings, *result.warnings),
    )


def _use_splits(spec: DataSpec, samples: Sequence[Sample], splits: Sequence[str | None]) -> ReaderResult:
    parts: dict[str, list[Sample]] = {split: [] for split in SPLITS}
    misplaced = []
    for sample, split in zip(samples, splits, strict=True):
        assert split is not None
        if sample.person_id == DISTRACTOR and split != "gallery":
            misplaced.append(
                UnreadableEntry(
                    str(sample.path), f"a distractor in {split}; distractors are allowed in the gallery only"
                )
            )
        else:
            parts[split].append(sample)
    train, query, gallery = (tuple(parts[split]) for split in SPLITS)
    data = DataSet(spec.name, spec.path, spec.text, train, query, gallery)
    required_splits = tuple(split for split in SPLITS if split in splits)
    # A gallery without queries, or queries without a gallery, are an error.
    if "query" in required_splits or "gallery" in required_splits:
        required_splits = (*(("train",) if "train" in required_splits else ()), "query", "gallery")
    return ReaderResult(data, tuple(misplaced), required_splits)


def _split_fraction(spec: DataSpec, samples: Sequence[Sample], fraction: float) -> ReaderResult:
    identities = permute_ids({sample.person_id for sample in samples} - {DISTRACTOR})
    train_ids = set(identities[: round(fraction * len(identities))])
    query, gallery = split_queries([sample for sample in samples if sample.person_id not in train_ids])
    train = tuple(sample for sample in samples if sample.person_id in train_ids)
    variant = f"{len(train_ids)}/{plural(len(identities) - len(train_ids), 'identity')}, permuted"
    assumption = (
        f"no split given: {len(train_ids)} of {plural(len(identities), 'identity')} train (order of "
        "default_rng(0).permutation), the others are tested; their first image in each camera is a query"
    )
    required_splits = (("train",) if fraction > 0 else ()) + (("query", "gallery") if fraction < 1 else ())
    data = DataSet(spec.name, spec.path, spec.text, train, query, gallery, variant=variant)
    return ReaderResult(data, required_splits=required_splits, assumptions=(assumption,))
