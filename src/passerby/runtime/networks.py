"""Networks from ONNX files (onnxruntime) and OpenVINO IR files (openvino), on the CPU, behind one class.

B batch
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import DataError
from passerby.extras import require_extra

_Types = dict[str, type[np.generic]]
_ONNX_TYPES: _Types = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
_OPENVINO_TYPES: _Types = {"f32": np.float32, "f16": np.float16, "u8": np.uint8}


@dataclass(frozen=True, eq=False)
class FileNetwork:
    """A network with one input.

    Attributes:
        path: The file.
        input_shape: Sizes of the input, None where a size is not fixed.
        input_type: NumPy type of the input.
        compute: Function from the input to the list of outputs.
    """

    path: Path
    input_shape: tuple[int | None, ...]
    input_type: type[np.generic]
    compute: Callable[[NDArray[Any]], list[NDArray[Any]]]

    def __repr__(self) -> str:
        return f"FileNetwork({self.path.name}, input {self.input_shape})"

    def __call__(self, values: ArrayLike) -> list[NDArray[Any]]:
        """Compute the outputs.

        Args:
            values: Input of shape `input_shape`; converted to `input_type`.

        Raises:
            DataError: If the shape differs.
        """
        array = np.ascontiguousarray(values, dtype=self.input_type)
        fits = len(array.shape) == len(self.input_shape) and all(
            expected in (None, size) for size, expected in zip(array.shape, self.input_shape, strict=True)
        )
        if not fits:
            raise DataError(f"{self.path}: input of shape {array.shape}, expected {self.input_shape}")
        return self.compute(array)


def load_network(path: str | Path, *, threads: int | None = None) -> FileNetwork:
    """Load a network for the CPU: `.onnx` by onnxruntime, `.xml` (OpenVINO IR, with its `.bin`) by openvino.

    Args:
        path: The file.
        threads: Number of threads; None lets the runtime choose.

    Raises:
        DataError: If the file is missing or is not such a network, or the network has several inputs.
        MissingExtraError: Without the extra `video` (.onnx) or `openvino` (.xml).

    Example:
        >>> load_network("detector.pt")
        Traceback (most recent call last):
        ...
        passerby.errors.DataError: detector.pt: expected a network as .onnx or .xml (OpenVINO IR)
    """
    path = Path(path)
    loaders = {".onnx": _load_onnx, ".xml": _load_openvino}
    if path.suffix.lower() not in loaders:
        raise DataError(f"{path}: expected a network as .onnx or .xml (OpenVINO IR)")
    for needed in [path, *([path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else [])]:
        if not needed.is_file():
            raise DataError(f"{needed}: no such file; expected a network")
    return loaders[path.suffix.lower()](path, threads)


def _load_onnx(path: Path, threads: int | None) -> FileNetwork:
    runtime = require_extra("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors; warnings name unused weights, one by one
    options.intra_op_num_threads = threads or 0
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors derive from Exception only
        raise DataError(f"{path}: cannot be read as ONNX ({_last_line(error)})") from None
    inputs = session.get_inputs()
    _check_inputs(path, [(value.name, value.type) for value in inputs], _ONNX_TYPES)
    (value,) = inputs
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return FileNetwork(path, shape, _ONNX_TYPES[value.type], lambda array: list(session.run(None, {value.name: array})))


def _load_openvino(path: Path, threads: int | None) -> FileNetwork:
    openvino = require_extra("openvino")
    settings = {"PERFORMANCE_HINT": "LATENCY"} | ({} if threads is None else {"INFERENCE_NUM_THREADS": threads})
    try:
        compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    except RuntimeError as error:
        raise DataError(f"{path}: cannot be read as OpenVINO IR ({_last_line(error)})") from None
    types = [(str(index), value.element_type.get_type_name()) for index, value in enumerate(compiled.inputs)]
    _check_inputs(path, types, _OPENVINO_TYPES)
    shape = tuple(size.get_length() if size.is_static else None for size in compiled.input(0).partial_shape)

    def compute(array: NDArray[Any]) -> list[NDArray[Any]]:
        outputs = compiled(array)
        return [np.array(outputs[index]) for index in range(len(compiled.outputs))]

    return FileNetwork(path, shape, _OPENVINO_TYPES[types[0][1]], compute)


def _check_inputs(path: Path, inputs: list[tuple[str, str]], types: _Types) -> None:
    if len(inputs) != 1 or inputs[0][1] not in types:
        given = ", ".join(f"{name} ({kind})" for name, kind in inputs)
        raise DataError(f"{path}: inputs {given or 'none'}; expected one input of type {', '.join(types)}")


def _last_line(error: Exception) -> str:
    """Return the last line of a message that is not empty: runtimes print their source files first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
