"""Check of a data set before training: names, splits, cameras, identities, and the files themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

from passerby.data.datasets import DATASETS
from passerby.data.datasets.listing import count_suffixes
from passerby.data.datasets.spec import ReaderResult, parse_spec
from passerby.data.images import decode_image, read_image
from passerby.errors import DataError
from passerby.files import read_bytes
from passerby.progress import ProgressCallback, ProgressOption, open_progress, part_of
from passerby.text import escape_controls
from passerby.types import DISTRACTOR, DataSet, Result, Sample

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

TINY = (32, 16)
"""Height and width in pixels below which a crop is reported."""
HUGE = 2000
"""Pixels on a side above which an image is reported, as a scene rather than a crop."""


@dataclass(frozen=True, repr=False)
class Finding(Result):
    """One finding of `check`.

    Attributes:
        severity: `error` if training on the data would be wrong, `warning` if metrics may be wrong, else `note`.
        message: What was found.
        count: Number of occurrences.
        example: One occurrence.
    """

    severity: Severity
    message: str
    count: int
    example: str


def check(spec: str, *, decode: bool = True, progress: ProgressOption = False) -> list[Finding]:
    """Check the data sets of a spec for errors, and report all of them.

    Args:
        spec: As for `load_data`.
        decode: Decode every image. Without it, damaged images and unusual sizes are not found.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        Findings, errors first. A spec or a data set that cannot be read is one error.

    Example:
        >>> for finding in check("market1501:people"):
        ...     print(finding.severity, finding.message, finding.count)
        note distractors in the gallery, which match no query 4
    """
    findings: list[Finding] = []
    results: list[ReaderResult] = []
    try:
        parts = parse_spec(spec, readers=DATASETS)
    except DataError as error:
        return [Finding("error", "invalid spec", 1, str(error))]
    for part in parts:
        try:
            results.append(DATASETS[part.name].read(part))
        except DataError as error:
            findings.append(Finding("error", "the data set cannot be read", 1, str(error)))
    images = [_unique_images(result.data) for result in results]
    total, before = sum(map(len, images)), 0
    with open_progress(progress) as report:
        for result, samples in zip(results, images, strict=True):
            title = f"{result.data.title}: " if len(parts) > 1 else ""
            file_check = _FileCheck(result.data)
            file_check.read(samples, decode=decode, progress=part_of(report, before, total))
            before += len(samples)
            for finding in (
                *_check_names(result), *_check_splits(result), *_check_identities(result.data), *file_check.findings()
            ):  # fmt: skip
                example = escape_controls(finding.example)
                findings.append(replace(finding, message=title + finding.message, example=example))
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def _unique_images(data: DataSet) -> list[Sample]:
    """List each image once; an image may be in several splits."""
    samples = (*data.train, *data.query, *data.gallery, *data.multi_query)
    return list({(sample.path, sample.key): sample for sample in samples}.values())


def _report(severity: Severity, message: str, examples: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding if there is an example."""
    if examples:
        yield Finding(severity, message, len(examples), examples[0])


def _check_names(result: ReaderResult) -> Iterator[Finding]:
    unreadable = [f"{entry.location}: {entry.reason}" for entry in result.unreadable]
    yield from _report("error", "files or rows that cannot be used", unreadable)
    if result.skipped:
        example = f"{result.skipped[0]} ({count_suffixes(result.skipped)})"
        yield Finding("warning", "files that were left out, as they are no images", len(result.skipped), example)
    for warning in result.warnings:
        yield Finding("warning", "the data set differs from the published one or is incomplete", 1, warning)
    for assumption in result.assumptions:
        yield Finding("note", "assumption", 1, assumption)
    data = result.data
    if data.junk:
        yield Finding("note", "junk images, which are left out", data.junk, "person -1")
    distractors = [sample.label for sample in data.gallery if sample.person_id == DISTRACTOR]
    yield from _report("note", "distractors in the gallery, which match no query", distractors)


def _check_splits(result: ReaderResult) -> Iterator[Finding]:
    data = result.data
    for split in ("train", "query", "gallery"):
        if not getattr(data, split):
            wrong = split == "train" or split in result.required_splits
            yield Finding("error" if wrong else "warning", f"the {split} split is empty", 1, str(data.root))
    if data.train and len({sample.camera_id for sample in data.train}) == 1:
        yield Finding("error", "training images from one camera only", len(data.train), data.train[0].label)
    tested = {sample.person_id: sample for sample in (*data.query, *data.gallery) if sample.person_id != DISTRACTOR}
    both = {sample.person_id: sample for sample in data.train if sample.person_id in tested}
    yield from _report(
        "error",
        "identities in both train and test",
        [f"person {person}: {both[person].label} and {tested[person].label}" for person in sorted(both)],
    )
    if data.query and data.gallery:
        pairs = {(sample.person_id, sample.camera_id) for sample in data.gallery}
        cameras = Counter(person for person, _ in pairs)
        unmatched = [s.label for s in data.query if cameras[s.person_id] <= ((s.person_id, s.camera_id) in pairs)]
        severity: Severity = "error" if len(unmatched) == len(data.query) else "warning"
        yield from _report(severity, "queries without a match in another camera", unmatched)


def _check_identities(data: DataSet) -> Iterator[Finding]:
    images = Counter(sample.person_id for sample in data.train)
    single = [f"person {s.person_id}: {s.label}" for s in data.train if images[s.person_id] == 1]
    severity: Severity = "error" if len(single) == len(images) else "warning"
    yield from _report(severity, "identities with one training image, too few for P x K batches", single)
    if len(images) == 1:
        yield Finding("error", "only one training identity", 1, f"person {data.train[0].person_id}")
    cameras = Counter(person for person, _ in {(sample.person_id, sample.camera_id) for sample in data.train})
    one_camera = [f"person {person}" for person in sorted(cameras) if cameras[person] == 1]
    yield from _report("note", "training identities with images from one camera only", one_camera)


class _FileCheck:
    """Check of the files of a data set: damaged images, unusual sizes, copies."""

    def __init__(self, data: DataSet) -> None:
        self.train = {(sample.path, sample.key) for sample in data.train}
        self.query = {(sample.path, sample.key) for sample in data.query}
        self.gallery = {(sample.path, sample.key) for sample in data.gallery}
        self.unreadable: list[str] = []
        self.damaged: list[str] = []
        self.wide: list[str] = []
        self.tiny: list[str] = []
        self.huge: list[str] = []
        self.by_digest: dict[bytes, list[Sample]] = {}

    def read(self, samples: Sequence[Sample], *, decode: bool, progress: ProgressCallback) -> None:
        """Read all files."""
        for done, sample in enumerate(samples, start=1):
            try:
                self._read_sample(sample, decode=decode)
            except DataError as error:
                self.unreadable.append(str(error))
            progress("check", done, len(samples))

    def findings(self) -> Iterator[Finding]:
        """Yield the findings on the files that were read."""
        yield from _report("error", "images that cannot be read", self.unreadable)
        yield from _report("warning", "damaged files whose pixels are whole", self.damaged)
        yield from _report("warning", "images that are wider than high", self.wide)
        yield from _report("warning", f"images below {TINY[0]} x {TINY[1]} pixels", self.tiny)
        yield from _report("warning", f"images above {HUGE} pixels on a side", self.huge)
        leaks, conflicts, repeated = [], [], []
        copied = [
            f"{query.label} = {others[0].label}"
            for copies in self.by_digest.values()
            if len(copies) > 1
            for query in copies
            if (query.path, query.key) in self.query
            and (others := [copy for copy in copies if copy is not query and (copy.path, copy.key) in self.gallery])
        ]
        yield from _report("warning", "queries with a copy in the gallery; copies=exclude leaves them out", copied)
        for copies in self.by_digest.values():
            if len(copies) == 1:
                continue
            example = " = ".join(sample.label for sample in copies[:3])
            if len({(sample.path, sample.key) in self.train for sample in copies}) == 2:
                leaks.append(example)
            elif len({sample.person_id for sample in copies}) > 1:
                conflicts.append(example)
            else:
                repeated.append(example)
        yield from _report("error", "the same file in train and in test", leaks)
        yield from _report("warning", "the same file under several identities", conflicts)
        yield from _report("warning", "the same file several times under one identity", repeated)

    def _read_sample(self, sample: Sample, *, decode: bool) -> None:
        if sample.key is None:
            content = read_bytes(sample.path)
            image = decode_image(content, str(sample.path), warn=self.damaged.append) if decode else None
        elif decode:
            image = read_image(sample)
            content = image.tobytes()
        else:
            return
        self.by_digest.setdefault(blake2b(content, digest_size=16).digest(), []).append(sample)
        if image is None:
            return
        height, width = image.shape[:2]
        example = f"{sample.label}: {height} x {width}"
        if width > height:
            self.wide.append(example)
        if height < TINY[0] or width < TINY[1]:
            self.tiny.append(example)
        if max(height, width) > HUGE:
            self.huge.append(example)
