"""Load a model by the name or the path of its files. This module loads torch only for a model that needs it."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict, get_args

from passerby.errors import WeightsError, require_device
from passerby.model.open_model import ModelFiles, NamedRuntime, has_torch
from passerby.model.runtimes import open_fastest
from passerby.runtime.embedder import Embedder
from passerby.runtime.networks import ComputePrecision
from passerby.types import DEFAULT

Runtime = Literal["auto", "torch", "onnx", "openvino"]


class _Options(TypedDict):
    device: str
    precision: ComputePrecision
    threads: int | None


_ACCELERATORS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Devices of NVIDIA, AMD and Windows' subsystem for Linux; torch, which takes seconds to import, is asked only then."""


def load(
    path: str | Path = DEFAULT,
    *,
    device: str = "auto",
    runtime: Runtime = "auto",
    precision: ComputePrecision = "fp32",
    threads: int | None = None,
    embedding: Literal["reduced", "full"] | None = None,
) -> Embedder:
    """Load a model: the folder of a run or of an imported model, or a file that `passerby model export` wrote.

    No code is executed: manifests are JSON, weights are safetensors, and networks are ONNX or OpenVINO files.

    Args:
        path: The folder, or the `.onnx` or `.xml` file; `default` is the shipped model, trained on synthetic people
            only.
        device: `auto` is CUDA, then MPS, then the CPU; or `cpu`, `cuda`, `cuda:0`, `mps`. ONNX and OpenVINO files run
            on the CPU.
        runtime: `torch`, `onnx` (onnxruntime) or `openvino`. A run has the last two if it holds a `model.onnx` or
            `model.xml` that was exported from its weights. `auto` is torch on a GPU; on the CPU it is the fastest that
            computes the same vectors, by a measurement on this machine that is kept: see `model_runtimes`.
        precision: `fp32`, or `bf16` by openvino on a processor that has it. Its vectors differ from those of fp32.
        threads: Threads of onnxruntime and OpenVINO; None is `OMP_NUM_THREADS`, or the runtime's choice.
        embedding: `reduced` or `full`, in place of the manifest's; the weights serve both.

    Returns:
        The model in evaluation mode.

    Raises:
        WeightsError: When there is no trained model, one that this version cannot build, or the runtime cannot run it.
        DataError: For an ONNX or OpenVINO file that its runtime cannot load.

    Example:
        >>> passerby.load("runs/m").embed("a.jpg").shape
        (1, 32)
        >>> passerby.load("default").preprocessing.size
        (128, 64)
    """
    if runtime not in get_args(Runtime):
        raise WeightsError(f"runtime: got {runtime!r}, expected one of {', '.join(get_args(Runtime))}")
    if precision not in get_args(ComputePrecision):
        raise WeightsError(f"precision: got {precision!r}, expected one of {', '.join(get_args(ComputePrecision))}")
    options: _Options = {"device": device, "precision": precision, "threads": threads}
    embedder = _open(ModelFiles(path, embedding=embedding), runtime, options)
    again = path if str(path) == DEFAULT else Path(path).resolve()
    return embedder.set_origin(partial(load, again, runtime=runtime, embedding=embedding, **options))


def _open(files: ModelFiles, runtime: Runtime, options: _Options) -> Embedder:
    device, precision, threads = options["device"], options["precision"], options["threads"]
    require_device(device)
    if runtime != "auto":
        return files.open(runtime, device=device, precision=precision, threads=threads)
    if files.trained and precision == "fp32" and has_torch() and _computes_on_accelerator(device):
        return files.open("torch", device=device, precision=precision, threads=threads)
    names = files.find_runtimes(precision)
    if len(names) > 1 and device in ("auto", "cpu"):
        return open_fastest(files, names, precision=precision, threads=threads)
    return files.open(
        names[0] if names else _expected(files, precision), device=device, precision=precision, threads=threads
    )


def _computes_on_accelerator(device: str) -> bool:
    """Return whether torch would compute on another device than the CPU."""
    if device != "auto":
        return device != "cpu"
    if sys.platform == "linux" and not any(Path(name).exists() for name in _ACCELERATORS):
        return False
    from passerby.distributed import pick_device

    return pick_device(device).type != "cpu"


def _expected(files: ModelFiles, precision: ComputePrecision) -> NamedRuntime:
    """Return the runtime whose error names the missing extra, if none is available."""
    onnx = files.network_file is None or files.network_file.suffix.lower() == ".onnx"
    return "onnx" if onnx and precision == "fp32" else "openvino"
