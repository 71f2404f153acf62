"""Rank-1 and mAP of a model before and after its export, on the same queries.

N images   Q queries   D embedding width
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from passerby.data.datasets import load_data
from passerby.data.fingerprint import fingerprint
from passerby.data.images import read_image
from passerby.errors import DataError, argument, pass_argument
from passerby.evaluation.paired import PairedTest, paired_test
from passerby.evaluation.score import score
from passerby.exporting.exported_encoder import Encode, batch_bounds
from passerby.progress import ProgressCallback
from passerby.types import DataSet, Embeddings, ProtocolName, Result, Sample


@dataclass(frozen=True, repr=False)
class Accuracy(Result):
    """Metrics of one side, 0 to 1."""

    rank1: float
    mAP: float


@dataclass(frozen=True, repr=False)
class Difference(Result):
    """File minus model, with its 95 % interval over identities (`passerby.evaluation.paired`)."""

    difference: float
    interval: tuple[float, float]


@dataclass(frozen=True, repr=False)
class AccuracyCheck(Result):
    """Accuracy of a model in PyTorch and of its exported file.

    Attributes:
        data: Title of the data set.
        fingerprint: Fingerprint of the data set.
        protocol: Its own protocol.
        queries: Valid queries.
        gallery: Gallery items.
        flip: Whether both average the mirror image.
        before: Metrics of the model.
        after: Metrics of the file.
        rank1: Paired difference of Rank-1; None under `single-gallery-shot`, whose draws have no Rank-1 of one query.
        mAP: Paired difference of mAP.
    """

    data: str
    fingerprint: str
    protocol: ProtocolName
    queries: int
    gallery: int
    flip: bool
    before: Accuracy
    after: Accuracy
    rank1: Difference | None
    mAP: Difference

    def __str__(self) -> str:
        low, high = (100 * end for end in self.mAP.interval)
        before, after = (f"{100 * side.rank1:.1f} / {100 * side.mAP:.1f} %" for side in (self.before, self.after))
        change = f"mAP {100 * self.mAP.difference:+z.2f} points [{low:+z.2f} to {high:+z.2f}]"
        return f"Rank-1 / mAP on {self.data}: {before} before, {after} after ({change})"


def load_check_data(spec: str) -> DataSet:
    """Read the data set of a check.

    Raises:
        DataError: If the spec names several data sets, or one without queries.
    """
    with pass_argument("data", of="check"):
        data, *others = load_data(spec)
    if others:
        raise DataError(f"{argument('check')}: got {1 + len(others)} data sets, expected one")
    if not data.query or not data.gallery:
        raise DataError(f"{argument('check')}: {data.title} has no query split; name a data set with one")
    return data


def check_accuracy(
    model: Encode, file: Encode, data: DataSet, *, size: tuple[int, int], flip: bool, report: ProgressCallback
) -> AccuracyCheck:
    """Score the queries of a data set with the vectors of both, and test the difference.

    Args:
        model: The model in PyTorch.
        file: The exported file.
        data: With queries and a gallery.
        size: (height, width) of the model's images.
        flip: Whether both average the mirror image; recorded.
        report: Receives the number of embedded images, as task `check`.

    Raises:
        DataError: If no query is valid.
    """
    samples = (*data.query, *data.gallery)
    vectors = _embed(samples, (model, file), size=size, report=report)
    ids, cameras = (np.array([getattr(sample, name) for sample in samples]) for name in ("person_id", "camera_id"))
    count = len(data.query)
    scores = [
        score(
            Embeddings(side[:count], ids[:count], cameras[:count]),
            Embeddings(side[count:], ids[count:], cameras[count:]),
            protocol=data.protocol,
        )
        for side in vectors
    ]
    valid = np.flatnonzero(scores[0].first_match)
    before, after = ([side.average_precision[valid]] for side in scores)
    hits = [[(side.first_match[valid] == 1).astype(np.float64)] for side in scores]
    return AccuracyCheck(
        data=data.title,
        fingerprint=fingerprint([data]),
        protocol=data.protocol,
        queries=len(valid),
        gallery=len(data.gallery),
        flip=flip,
        before=Accuracy(scores[0].rank1, scores[0].mAP),
        after=Accuracy(scores[1].rank1, scores[1].mAP),
        rank1=_difference(paired_test(hits[1], hits[0], ids[valid])) if data.protocol == "market" else None,
        mAP=_difference(paired_test(after, before, ids[valid])),
    )


def _difference(test: PairedTest) -> Difference:
    return Difference(test.difference, test.interval)


def _embed(
    samples: Sequence[Sample], encoders: tuple[Encode, Encode], *, size: tuple[int, int], report: ProgressCallback
) -> list[np.ndarray]:
    """Decode each image once and encode it with both."""
    blocks: list[list[np.ndarray]] = [[] for _ in encoders]
    for start, end in batch_bounds(len(samples)):
        pixels = np.stack([read_image(sample, size=size) for sample in samples[start:end]])
        for encode, block in zip(encoders, blocks, strict=True):
            block.append(encode(pixels))
        report("check", end, len(samples))
    return [np.concatenate(block) for block in blocks]
