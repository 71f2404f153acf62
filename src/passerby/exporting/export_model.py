"""Export a run to an ONNX or OpenVINO file with a certificate."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from passerby.errors import ExportError, argument
from passerby.exporting.accuracy_check import load_check_data
from passerby.exporting.calibration_crops import CalibrationCrops, list_calibration_images, read_calibration_crops
from passerby.exporting.certificate import MAX_LOSS, Certificate, certify
from passerby.exporting.drafts import open_drafts, publish
from passerby.exporting.exported_encoder import open_file
from passerby.exporting.hide_messages import hide_messages
from passerby.exporting.metadata import build_metadata
from passerby.exporting.onnx_int8 import quantize_onnx
from passerby.exporting.onnx_model import save_onnx, store_weights_in_half, trace_model
from passerby.exporting.openvino_model import convert_to_openvino, quantize_openvino, save_openvino
from passerby.extras import require_extra
from passerby.out_paths import require_folder
from passerby.progress import ProgressOption, open_progress
from passerby.runtime.file_metadata import Precision
from passerby.runtime.file_model import is_model_file
from passerby.runtime.model_manifest import holds_network_file, model_folder, read_manifest
from passerby.types import DEFAULT, Result

if TYPE_CHECKING:
    from passerby.runtime.embedder import Embedder

Format = Literal["onnx", "openvino"]
SUFFIXES: Mapping[Format, tuple[str, ...]] = {"onnx": (".onnx",), "openvino": (".xml", ".bin")}
"""Suffixes of the files of each format; the first is that of the name."""


@dataclass(frozen=True, repr=False)
class ExportedModel(Result):
    """An exported file.

    Attributes:
        path: The file. The file with `.json` appended to its name holds the same metadata as the file itself.
        precision: `fp32`, `fp16` or `int8`.
        flip: Whether mirror averaging is inside.
        size: Bytes of the network, weights included.
        certificate: Comparison with the model in PyTorch.

    Example:
        >>> passerby.export_model("runs/m", "m.onnx", images="crops").size < 1_000_000
        True
    """

    path: Path
    precision: Precision
    flip: bool
    size: int
    certificate: Certificate


def export_model(
    run: str | Path = DEFAULT,
    out: str | Path = "model.onnx",
    *,
    to: Format = "onnx",
    precision: Precision = "fp32",
    flip: bool = False,
    check: str | None = None,
    images: str | Path | None = None,
    seed: int = 0,
    min_cosine: float | None = None,
    max_loss: float = MAX_LOSS,
    progress: ProgressOption = False,
) -> ExportedModel:
    """Export a model to a file that runs without PyTorch, after comparing it with the model.

    The file takes `images`, (B, H, W, 3) uint8 RGB at the model's size with any B, and returns `embedding`, (B, D)
    float32 of unit length. If the comparison is beyond its tolerance, nothing is written.

    Args:
        run: Folder of a finished run, or `default`.
        out: File to write, `.onnx` or `.xml` (with a `.bin` beside it); it must not exist.
        to: `onnx` or `openvino` (IR).
        precision: `fp32`; `fp16`, weights stored in half precision; `int8`, ordinary convolutions and matrix products
            in 8 bits and the rest in float.
        flip: Average each embedding with that of the mirrored image, inside the graph; doubles the time.
        check: Data set on which Rank-1 and mAP are compared before and after.
        images: Folder of crops, or a data set whose training images are used, for the comparison and for the ranges of
            int8; None renders people.
        seed: Seed of the synthetic people, and of the choice among many images.
        min_cosine: Least cosine to the model's vectors; None is 0.999 for fp32, 0.998 for fp16 and no limit for int8.
        max_loss: Largest loss of mAP by `check`, in percentage points.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        The file and its certificate.

    Raises:
        ExportError: If the file is beyond a tolerance, exists, or cannot be made of this network.
        WeightsError: If there is no finished run.
        DataError: If the data of `check` or the images cannot be used.
        MissingExtraError: Without the extra `train`, `export` or, for OpenVINO, `openvino`.

    Example:
        >>> exported = passerby.export_model("runs/m", "m.onnx", images="crops")
        >>> exported.precision, exported.certificate.interchangeable
        ('fp32', True)
    """
    path = Path(out)
    limits = {"min_cosine": (min_cosine, 1.0), "max_loss": (max_loss, 100.0)}
    _check_options(path, to=to, precision=precision, limits=limits)
    names = [path.with_suffix(suffix) for suffix in (path.suffix, *SUFFIXES[to][1:])]
    described = path.with_name(f"{path.name}.json")
    _require_new(*names, described)
    require_folder(path.parent)
    with hide_messages():
        for module in _needed_modules(to, precision):
            require_extra(module)
    data = None if check is None else load_check_data(check)
    embedder = _load_network(run)
    side = embedder.preprocessing.size
    listed = list_calibration_images(images, size=side, seed=seed)
    crops = read_calibration_crops(listed, images, size=side, seed=seed)
    with open_progress(progress) as report, open_drafts(path) as folder:
        draft = folder / path.name
        save = _convert(embedder, crops, to=to, precision=precision, flip=flip, folder=folder)
        save(draft, "")
        certificate = certify(
            partial(embedder.embed, flip=flip),
            open_file(draft),
            crops,
            precision=precision,
            flip=flip,
            data=data,
            min_cosine=min_cosine,
            max_loss=max_loss,
            report=report,
        )
        metadata = build_metadata(embedder, run, precision=precision, flip=flip, certificate=certificate)
        save(draft, json.dumps(metadata))
        (folder / described.name).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
        size = sum((folder / name.name).stat().st_size for name in names)
        _require_new(*names, described)  # another process may have been faster
        publish(folder, [described, *reversed(names)])
    return ExportedModel(path, precision, flip, size, certificate)


def _check_options(
    path: Path, *, to: Format, precision: Precision, limits: Mapping[str, tuple[float | None, float]]
) -> None:
    for name, value, known in (("to", to, get_args(Format)), ("precision", precision, get_args(Precision))):
        if value not in known:
            raise ExportError(f"{argument(name)}: got {value!r}, expected one of {', '.join(known)}")
    for name, (limit, largest) in limits.items():
        if limit is not None and not 0 <= limit <= largest:
            raise ExportError(f"{argument(name)}: got {limit:g}, expected 0 to {largest:g}")
    if path.suffix.lower() != SUFFIXES[to][0]:
        raise ExportError(
            f"{argument('out')}: got {path}, expected a name in {SUFFIXES[to][0]}, as {argument('to')} is {to}"
        )


def _require_new(*files: Path) -> None:
    for file in files:
        if file.exists() or file.is_symlink():
            raise ExportError(f"{file}: the file exists; give another {argument('out')}, or move it")


def _needed_modules(to: Format, precision: Precision) -> list[str]:
    """List the modules of extras, so that a missing one is named before the work."""
    return [
        *("torch", "timm", "onnx", "onnxscript"),
        *(("openvino",) if to == "openvino" else ()),
        *(("nncf",) if (to, precision) == ("openvino", "int8") else ()),
    ]


def _load_network(run: str | Path) -> Embedder:
    """Load a run in PyTorch.

    Raises:
        ExportError: For a run that is a network file.
    """
    from passerby.model.embed import load

    folder = model_folder(run)
    if not is_model_file(folder) and not holds_network_file(read_manifest(folder)):
        return load(run, device="cpu", runtime="torch")
    raise ExportError(f"{run}: is a network file already; an export needs a run with model.safetensors")


def _convert(
    embedder: Embedder, crops: CalibrationCrops, *, to: Format, precision: Precision, flip: bool, folder: Path
) -> Callable[[Path, str], None]:
    """Convert a model, with drafts in `folder`; returns a function that writes it to a path with metadata."""
    traced: Any = trace_model(embedder, flip=flip)
    if to == "openvino":
        converted = convert_to_openvino(traced)
        if precision == "int8":
            converted = quantize_openvino(converted, crops.pixels)
        return partial(save_openvino, converted, half=precision == "fp16")
    if precision == "int8":
        traced = quantize_onnx(traced, crops.pixels, folder=folder)
    store_weights_in_half(traced, exact=precision != "fp16")
    return partial(save_onnx, traced)
