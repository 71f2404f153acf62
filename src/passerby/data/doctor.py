"""What is wrong with a data set, before a GPU-day is spent on it: ids, splits, cameras, then the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

from passerby.data.datasets import DATASETS
from passerby.data.datasets.source import Reading, parse_spec
from passerby.data.images import decode_image, read_bytes, read_image
from passerby.errors import DataError
from passerby.progress import ProgressCallback, ProgressOption, open_progress, part_of
from passerby.types import DISTRACTOR, DataSet, Sample

Severity = Literal["error", "warning", "note"]

TINY = (32, 16)
"""Height and width in pixels under which a crop holds too little of a person."""
HUGE = 2000
"""Pixels on a side above which it is a scene rather than a crop."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        severity: `error`, when training on the data would be wrong; `warning`, when figures may be; else `note`.
        what: What was found, as a sentence.
        count: How many times.
        example: One of them.
    """

    severity: Severity
    what: str
    count: int
    example: str


def check(spec: str, *, decode: bool = True, progress: ProgressOption = False) -> list[Finding]:
    """Look for everything that makes a data set unfit, and never stop at the first.

    Args:
        spec: As `load_data` takes it.
        decode: Whether to decode every image; without it, damaged images and odd sizes are not found.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        Findings, errors first. A part that cannot be read at all is one error.
    """
    findings: list[Finding] = []
    readings: list[Reading] = []
    try:
        sources = parse_spec(spec, readers=DATASETS)
    except DataError as error:
        return [Finding("error", "the data cannot be addressed", 1, str(error))]
    for source in sources:
        try:
            readings.append(DATASETS[source.name].read(source))
        except DataError as error:
            findings.append(Finding("error", "the data set cannot be read", 1, str(error)))
    every = [_every(reading.data) for reading in readings]
    total, before = sum(map(len, every)), 0
    with open_progress(progress) as report:
        for reading, samples in zip(readings, every, strict=True):
            found = [*_check_names(reading), *_check_splits(reading), *_check_people(reading.data)]
            part = part_of(report, before, total)
            found += _Files(reading.data).check(samples, decode=decode, progress=part)
            before += len(samples)
            title = f"{reading.data.title}: " if len(sources) > 1 else ""
            findings += [replace(finding, what=title + finding.what) for finding in found]
    return sorted(findings, key=lambda finding: ("error", "warning", "note").index(finding.severity))


def _every(data: DataSet) -> list[Sample]:
    """Each image once: the classic CUHK03 protocol could list one as query and as gallery."""
    samples = (*data.train, *data.query, *data.gallery, *data.multi_query)
    return list({(sample.path, sample.key): sample for sample in samples}.values())


def _found(severity: Severity, what: str, examples: Sequence[str]) -> Iterator[Finding]:
    """A finding, when there is an example."""
    if examples:
        yield Finding(severity, what, len(examples), examples[0])


def _check_names(reading: Reading) -> Iterator[Finding]:
    yield from _found(
        "error", "files or rows that cannot be placed", [f"{bad.where}: {bad.why}" for bad in reading.unreadable]
    )
    for doubt in reading.doubts:
        yield Finding("warning", "the data set is not as published or not complete", 1, doubt)
    for assumption in reading.assumed:
        yield Finding("note", "taken for granted", 1, assumption)
    data = reading.data
    if data.junk:
        yield Finding("note", "junk images, left out", data.junk, "person -1")
    yield from _found(
        "note",
        "distractors in the gallery, a match for nobody",
        [sample.label for sample in data.gallery if sample.person_id == DISTRACTOR],
    )


def _check_splits(reading: Reading) -> Iterator[Finding]:
    data = reading.data
    for split in ("train", "query", "gallery"):
        if not getattr(data, split):
            wrong = split == "train" or split in reading.promised
            yield Finding("error" if wrong else "warning", f"the {split} split is empty", 1, str(data.root))
    if data.train and len({sample.camera_id for sample in data.train}) == 1:
        yield Finding("error", "training images from one camera only", len(data.train), data.train[0].label)
    tested = {sample.person_id: sample for sample in (*data.query, *data.gallery) if sample.person_id != DISTRACTOR}
    both = {sample.person_id: sample for sample in data.train if sample.person_id in tested}
    yield from _found(
        "error",
        "identities in both train and test",
        [f"person {person}: {both[person].label} and {tested[person].label}" for person in sorted(both)],
    )
    if data.query and data.gallery:
        seen = {(sample.person_id, sample.camera_id) for sample in data.gallery}
        cameras = Counter(person for person, _ in seen)
        lonely = [s.label for s in data.query if cameras[s.person_id] <= ((s.person_id, s.camera_id) in seen)]
        severity: Severity = "error" if len(lonely) == len(data.query) else "warning"
        yield from _found(severity, "queries without a match in another camera", lonely)


def _check_people(data: DataSet) -> Iterator[Finding]:
    images = Counter(sample.person_id for sample in data.train)
    single = [f"person {s.person_id}: {s.label}" for s in data.train if images[s.person_id] == 1]
    all_single = len(single) == len(images)
    yield from _found(
        "error" if all_single else "warning", "identities with one training image, too few for P x K batches", single
    )
    if len(images) == 1:
        yield Finding("error", "one training identity only", 1, f"person {data.train[0].person_id}")
    cameras = Counter(person for person, _ in {(sample.person_id, sample.camera_id) for sample in data.train})
    yield from _found(
        "note",
        "training identities seen by one camera only",
        [f"person {person}" for person in sorted(cameras) if cameras[person] == 1],
    )


class _Files:
    """One pass over the files of a data set: which cannot be decoded, have odd sizes, or are copies."""

    def __init__(self, data: DataSet) -> None:
        self.trained = {(sample.path, sample.key) for sample in data.train}
        self.unreadable: list[str] = []
        self.sizes: dict[str, list[str]] = {"wider than high": [], "tiny": [], "huge": []}
        self.copies: dict[bytes, list[Sample]] = {}

    def check(self, samples: Sequence[Sample], *, decode: bool, progress: ProgressCallback) -> Iterator[Finding]:
        """Look at every sample, then say what was found."""
        for done, sample in enumerate(samples, start=1):
            try:
                self._look(sample, decode=decode)
            except DataError as error:
                self.unreadable.append(str(error))
            progress("check", done, len(samples))
        yield from _found("error", "images that cannot be read", self.unreadable)
        yield from _found("warning", "images wider than high, unlike a standing person", self.sizes["wider than high"])
        yield from _found("warning", f"images of less than {TINY[0]} x {TINY[1]} pixels", self.sizes["tiny"])
        yield from _found("warning", f"images of more than {HUGE} pixels on a side", self.sizes["huge"])
        yield from self._copies()

    def _look(self, sample: Sample, *, decode: bool) -> None:
        if sample.key is None:
            data = read_bytes(sample.path)
            image = decode_image(data, str(sample.path)) if decode else None
        elif decode:
            image = read_image(sample)
            data = image.tobytes()
        else:
            return
        self.copies.setdefault(blake2b(data, digest_size=16).digest(), []).append(sample)
        if image is None:
            return
        height, width = image.shape[:2]
        example = f"{sample.label}: {height} x {width}"
        if width > height:
            self.sizes["wider than high"].append(example)
        if height < TINY[0] or width < TINY[1]:
            self.sizes["tiny"].append(example)
        if max(height, width) > HUGE:
            self.sizes["huge"].append(example)

    def _copies(self) -> Iterator[Finding]:
        leaks, strangers, repeated = [], [], []
        for group in self.copies.values():
            if len(group) == 1:
                continue
            example = " = ".join(sample.label for sample in group[:3])
            in_train = {(sample.path, sample.key) in self.trained for sample in group}
            if len(in_train) == 2:
                leaks.append(example)
            elif len({sample.person_id for sample in group}) > 1:
                strangers.append(example)
            else:
                repeated.append(example)
        yield from _found("error", "the same file in train and in test", leaks)
        yield from _found("warning", "the same file under several people", strangers)
        yield from _found("warning", "the same file several times for one person", repeated)
