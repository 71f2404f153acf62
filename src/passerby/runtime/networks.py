"""Networks from ONNX files (onnxruntime, or openvino) and OpenVINO IR files (openvino), on the CPU, behind one class.

N images   B batch
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import DataError
from passerby.extras import require_extra
from passerby.files import cache_folder, has_home
from passerby.runtime.layer_norms import normalize_channels_in_place
from passerby.runtime.onnx_external import require_no_external_data

FileRuntime = Literal["onnx", "openvino"]
ComputePrecision = Literal["fp32", "bf16"]
METADATA_KEY = "passerby"
"""Key of the JSON in a file that this package exported."""
SPIN = "100"
"""Microseconds for which a thread of onnxruntime spins when it waits for the others: longer than an operator of one
image takes, so that none sleeps within a pass, and shorter than the decoding of an image, which needs a core."""
_Types = dict[str, type[np.generic]]
_ONNX_TYPES: _Types = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
_OPENVINO_TYPES: _Types = {"f32": np.float32, "f16": np.float16, "u8": np.uint8}
_LACKS = re.compile(r"(?:(?:Op registered|implementation|rule) for|Fatal error:|with type:) ['\"]?([\w.:]+)")
_Outputs = list[NDArray[Any]]
_CORE_LOCK = Lock()


@dataclass(frozen=True, eq=False)
class FileNetwork:
    """A network with one input.

    Attributes:
        path: The file.
        runtime: `onnx` (onnxruntime) or `openvino`.
        input_shape: Sizes of the input, None where a size is not fixed.
        input_type: NumPy type of the input.
        outputs: Names of the outputs; an output without a name has its number.
        metadata: JSON text of a file that this package exported; None for other files.
        compute: Function from the input to the list of outputs.
    """

    path: Path
    runtime: FileRuntime
    input_shape: tuple[int | None, ...]
    input_type: type[np.generic]
    outputs: tuple[str, ...]
    metadata: str | None
    compute: Callable[[NDArray[Any]], _Outputs]

    def __repr__(self) -> str:
        return f"FileNetwork({self.path.name}, input {self.input_shape})"

    def __call__(self, values: ArrayLike) -> _Outputs:
        """Compute the outputs.

        Args:
            values: Input of shape `input_shape`; converted to `input_type`.

        Raises:
            DataError: If the shape differs, or the batch is empty.
        """
        array = np.ascontiguousarray(values, dtype=self.input_type)
        fits = len(array.shape) == len(self.input_shape) and all(
            expected in (None, size) for size, expected in zip(array.shape, self.input_shape, strict=True)
        )
        if not fits:
            raise DataError(f"{self.path}: input of shape {array.shape}, expected {self.input_shape}")
        if not len(array):
            raise DataError(f"{self.path}: a batch of 0 images, expected at least 1")
        return self.compute(array)


def require_openvino() -> Any:
    """Import OpenVINO, whose telemetry raises RuntimeError for a user without a home folder: it gets the cache folder.

    Raises:
        MissingExtraError: Without the extra `openvino`.
    """
    if has_home():
        return require_extra("openvino")
    before = os.environ.get("HOME")
    os.environ["HOME"] = str(cache_folder())
    try:
        return require_extra("openvino")
    finally:
        os.environ.pop("HOME")
        if before is not None:
            os.environ["HOME"] = before


def load_network(
    path: str | Path,
    *,
    runtime: FileRuntime | None = None,
    threads: int | None = None,
    precision: ComputePrecision = "fp32",
    batches: Sequence[int] = (),
    own: bool = False,
) -> FileNetwork:
    """Load a network for the CPU: `.onnx` by onnxruntime, `.xml` (OpenVINO IR, with its `.bin`) by openvino.

    Args:
        path: The file.
        runtime: `openvino` runs an `.onnx` file, too; None is onnxruntime for `.onnx`.
        threads: Number of threads; None lets the runtime choose.
        precision: In which openvino computes; `bf16` only on a processor that has it.
        batches: Sizes of batches: the network then takes any number of images, which are computed in batches of these
            sizes and padded to the next; openvino compiles each size. A file with a fixed batch runs at its own size
            where the runtime cannot change it. Empty: the input of the file.
        own: The file comes with this package, and may have its weights in another file.

    Raises:
        DataError: If the file is missing or is not such a network, or the network has several inputs, or an operator
            that the runtime lacks, or weights in another file.
        MissingExtraError: Without the extra `openvino` (.xml).

    Example:
        >>> load_network("detector.pt")
        Traceback (most recent call last):
        ...
        passerby.errors.DataError: detector.pt: expected a network as .onnx or .xml (OpenVINO IR)
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".onnx", ".xml"):
        raise DataError(f"{path}: expected a network as .onnx or .xml (OpenVINO IR)")
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a network")
    if suffix == ".xml" and not path.with_suffix(".bin").is_file():
        raise DataError(f"{path.with_suffix('.bin')}: no such file; expected the weights of {path.name} beside it")
    if suffix == ".onnx" and not own:
        require_no_external_data(path)
    if suffix == ".xml" or runtime == "openvino":
        return _load_openvino(path, threads, precision, batches)
    if precision != "fp32":
        raise DataError(f"{path}: onnxruntime computes in the file's precision; {precision} needs runtime openvino")
    return _load_onnx(path, threads, batches)


def default_threads() -> int | None:
    """Return the threads of `OMP_NUM_THREADS`, which torch obeys as well; None if it is not set."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _load_onnx(path: Path, threads: int | None, batches: Sequence[int]) -> FileNetwork:
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.log_severity_level = 4  # fatal: errors are raised, and warnings name unused weights, one by one
    options.intra_op_num_threads = threads or 0
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN)
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors derive from Exception only
        raise _unreadable(path, "ONNX", f"onnxruntime {runtime.__version__}", error) from None
    inputs = session.get_inputs()
    _check_inputs(path, [(value.name, value.type) for value in inputs], _ONNX_TYPES)
    (value,) = inputs
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)

    def compute(array: NDArray[Any]) -> _Outputs:
        return [*session.run(None, {value.name: array})]

    fixed = shape[0]
    if batches:
        shape = (None, *shape[1:])
    return FileNetwork(
        path,
        "onnx",
        shape,
        _ONNX_TYPES[value.type],
        tuple(output.name for output in session.get_outputs()),
        session.get_modelmeta().custom_metadata_map.get(METADATA_KEY),
        _in_batches(batches if fixed is None else (fixed,), lambda _: compute, pad=fixed is not None)
        if batches
        else compute,
    )


def open_openvino() -> Any:
    """Return the `openvino.Core` of this process.

    The CPU plugin of OpenVINO installs an alternate signal stack in the thread that loads it, and unmaps it with its
    core. When two cores of a thread are released, the thread can keep an unmapped stack, and the next signal with a
    handler (Ctrl-C, the end of a child process) ends the process with a segmentation fault. One core that is never
    released, whose plugin is loaded before any other, avoids it.

    Returns:
        `openvino.Core` with its CPU plugin loaded.

    Raises:
        MissingExtraError: Without the extra `openvino`.
    """
    with _CORE_LOCK:
        return _make_core()


@cache
def _make_core() -> Any:
    core = require_openvino().Core()
    core.get_property("CPU", "FULL_DEVICE_NAME")  # loads the plugin
    return core


def _load_openvino(path: Path, threads: int | None, precision: ComputePrecision, batches: Sequence[int]) -> FileNetwork:
    openvino = require_openvino()
    core = open_openvino()
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
    } | ({} if threads is None else {"INFERENCE_NUM_THREADS": threads})

    def compile_size(size: int | None) -> Callable[[NDArray[Any]], _Outputs]:
        """Compile for batches of one size; None keeps the input of the file."""
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise DataError(f"{path}: this processor has no bf16; choose precision fp32")
        model = core.read_model(str(path))
        normalize_channels_in_place(model)
        if size is not None:
            model.reshape([size, *model.input(0).partial_shape[1:]])
        compiled = core.compile_model(model, "CPU", settings)

        def compute(array: NDArray[Any]) -> _Outputs:
            results = compiled(array)
            return [np.array(results[index]) for index in range(len(compiled.outputs))]

        return compute

    try:
        model = core.read_model(str(path))
        kinds = [value.element_type.get_type_name() for value in model.inputs]
        types = [*zip(_openvino_names(model.inputs), kinds, strict=True)]
        _check_inputs(path, types, _OPENVINO_TYPES)
        shape = tuple(size.get_length() if size.is_static else None for size in model.input(0).partial_shape)
        if not batches:
            compute = compile_size(None)
        else:
            fixed = None if shape[0] is None or _takes_any_batch(model) else shape[0]
            sizes = batches if fixed is None else (fixed,)
            compute = _in_batches(sizes, cache(compile_size if fixed is None else lambda _: compile_size(None)))
            shape = (None, *shape[1:])
    except RuntimeError as error:
        kind = "OpenVINO IR" if path.suffix.lower() == ".xml" else "ONNX"
        raise _unreadable(path, kind, f"openvino {openvino.__version__.split('-')[0]}", error) from None
    number, names, metadata = _OPENVINO_TYPES[kinds[0]], _openvino_names(model.outputs), _openvino_metadata(model)
    return FileNetwork(path, "openvino", shape, number, names, metadata, compute)


def _takes_any_batch(model: Any) -> bool:
    """Return whether a model with a fixed batch computes as many rows as a batch of another size has."""
    copy = model.clone()
    size = 2 + model.input(0).partial_shape[0].get_length()
    try:
        copy.reshape([size, *model.input(0).partial_shape[1:]])
    except RuntimeError:
        return False
    shapes = [output.partial_shape for output in copy.outputs]
    return all(shape.rank.is_static and shape[0].is_static and shape[0].get_length() == size for shape in shapes)


def _openvino_names(ports: Any) -> tuple[str, ...]:
    return tuple(next(iter(sorted(port.names)), str(index)) for index, port in enumerate(ports))


def _openvino_metadata(model: Any) -> str | None:
    """Read the JSON of a file of this package; OpenVINO keeps that of an ONNX file under `framework`."""
    for keys in ([METADATA_KEY], ["framework", METADATA_KEY]):
        if model.has_rt_info(keys):
            return str(model.get_rt_info(keys).value)
    return None


def _in_batches(
    sizes: Sequence[int], prepare: Callable[[int], Callable[[NDArray[Any]], _Outputs]], *, pad: bool = True
) -> Callable[[NDArray[Any]], _Outputs]:
    """Return a function that computes N images in batches of the given sizes.

    Args:
        sizes: Batches have the largest size that fits; the rest is padded to the next size if it fills 75 % of it.
        prepare: Returns the function for one size.
        pad: Repeat the last image until the batch has its size.
    """

    def compute(array: NDArray[Any]) -> _Outputs:
        if len(array) in sizes:
            return prepare(len(array))(array)
        blocks: list[_Outputs] = []
        start = 0
        while start < len(array):
            rest = len(array) - start
            size = max((size for size in sizes if size <= rest), default=min(sizes))
            if size < rest < max(sizes):
                following = min(size for size in sizes if size >= rest)
                if not pad or rest >= 0.75 * following:  # costs less than several small batches
                    size = following
            block = array[start : start + size]
            missing = size - len(block) if pad else 0
            padded = np.concatenate([block, np.repeat(block[-1:], missing, axis=0)]) if missing else block
            blocks.append([output[: len(block)] for output in prepare(size)(padded)])
            start += size
        return [np.concatenate(outputs) for outputs in zip(*blocks, strict=True)]

    return compute


def _check_inputs(path: Path, inputs: list[tuple[str, str]], types: _Types) -> None:
    if len(inputs) != 1 or inputs[0][1] not in types:
        given = ", ".join(f"{name} ({kind})" for name, kind in inputs)
        expected = f"expected one input of type {', '.join(types)}"
        raise DataError(f"{path}: inputs {given or 'none'}; {expected}; export the network with its images alone")


def _unreadable(path: Path, kind: str, runtime: str, error: Exception) -> DataError:
    """Return the error for a file that a runtime refuses, by the cause that its message shows."""
    text = str(error)
    if lacked := _LACKS.search(text):
        return DataError(
            f"{path}: uses the operator {lacked[1]}, which {runtime} lacks; export the network with other operators, "
            "or to the other format"
        )
    return DataError(f"{path}: cannot be read as {kind} ({_last_line(error)}); copy or export it again")


def _last_line(error: Exception) -> str:
    """Return the last line of a message that is not empty: runtimes print their source files first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
