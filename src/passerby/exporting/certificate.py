"""Certificate of an exported file: its vectors and its accuracy against those of the model.

N images   D embedding width
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from passerby.errors import ExportError
from passerby.exporting.accuracy_check import AccuracyCheck, check_accuracy
from passerby.exporting.calibration_crops import CalibrationCrops
from passerby.exporting.exported_encoder import Encode, encode_in_batches
from passerby.progress import ProgressCallback
from passerby.runtime.file_metadata import AccuracyKind, Precision
from passerby.text import plural
from passerby.types import DataSet, FloatArray, Result

MIN_COSINE: Mapping[Precision, float | None] = {"fp32": 0.999, "fp16": 0.998, "int8": None}
"""Least cosine between a file's and the model's vector of one crop; int8 is judged by its accuracy."""
MAX_LOSS = 0.5
"""Largest loss of mAP in percentage points."""
LENGTH_TOLERANCE = 1e-3
"""Largest difference of a vector's length from 1."""


@dataclass(frozen=True, repr=False)
class Certificate(Result):
    """Comparison of an exported file with its model in PyTorch.

    Attributes:
        cosine_min: Least cosine between the file's and the model's vector of one crop.
        cosine_mean: Mean cosine.
        images: Number of crops.
        source: Origin of the crops.
        accuracy: `measured` by the check; `by cosine`, where the least cosine is within `MIN_COSINE`; or
            `not verified`: int8, or a lower cosine, without a check on real people.
        check: Rank-1 and mAP before and after; None without a check.
        interchangeable: Whether a gallery may hold vectors of the file and of the model together: fp32 within its
            tolerance only.
    """

    cosine_min: float
    cosine_mean: float
    images: int
    source: str
    accuracy: AccuracyKind
    check: AccuracyCheck | None
    interchangeable: bool


def certify(
    model: Encode,
    file: Encode,
    crops: CalibrationCrops,
    *,
    precision: Precision,
    flip: bool,
    data: DataSet | None,
    min_cosine: float | None,
    max_loss: float,
    report: ProgressCallback,
) -> Certificate:
    """Compare the vectors of a file with those of its model, and its accuracy on a data set.

    Args:
        model: The model in PyTorch.
        file: The exported file.
        crops: N crops whose vectors are compared.
        precision: Precision of the file.
        flip: Whether the mirror image is averaged inside.
        data: Data set of the accuracy check; None for none.
        min_cosine: Least cosine; None is that of `MIN_COSINE`.
        max_loss: Largest loss of mAP on `data`, in percentage points.
        report: Receives the number of embedded images of `data`, as task `check`.

    Raises:
        ExportError: If the file is beyond a tolerance.
    """
    before, after = (encode_in_batches(encode, crops.pixels) for encode in (model, file))  # (N, D)
    _require_unit_length(after, precision)
    cosines = (before * after).sum(axis=1, dtype=np.float64)
    least = MIN_COSINE[precision] if min_cosine is None else min_cosine
    if least is not None and cosines.min() < least:
        raise ExportError(
            f"{precision}: the least cosine to the model's vectors is {cosines.min():.7f} (mean {cosines.mean():.7f}, "
            f"{plural(len(cosines), 'crop')} of {crops.source}), expected at least {least:g}; no file was written"
        )
    height, width = crops.pixels.shape[1:3]
    check = None
    if data is not None:
        check = check_accuracy(model, file, data, size=(height, width), flip=flip, report=report)
    if check and -100 * check.mAP.difference > max_loss:
        raise ExportError(
            f"{precision}: {check}: a loss of {-100 * check.mAP.difference:.4g} points, expected at most {max_loss:g}; "
            "no file was written"
        )
    strict = MIN_COSINE[precision]  # a looser `min_cosine` proves nothing
    near = strict is not None and bool(cosines.min() >= strict)
    accuracy: AccuracyKind = "by cosine" if near else "not verified"
    if check and (near or (data and not data.is_synthetic)):
        accuracy = "measured"
    return Certificate(
        cosine_min=float(cosines.min()),
        cosine_mean=float(cosines.mean()),
        images=len(cosines),
        source=crops.source,
        accuracy=accuracy,
        check=check,
        interchangeable=precision == "fp32" and near,
    )


def _require_unit_length(vectors: FloatArray, precision: Precision) -> None:
    """Raise ExportError for NaN or vectors that are not of unit length: rounding has broken the normalization."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    worst = lengths[np.argmax(np.abs(lengths - 1))]  # NaN is the largest
    if not abs(worst - 1) <= LENGTH_TOLERANCE:
        raise ExportError(f"{precision}: a vector has length {worst:.4g}, expected 1; no file was written")
