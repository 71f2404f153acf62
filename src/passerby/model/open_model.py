"""Open a model's files in a runtime that is named. This module loads torch only for a model that needs it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from passerby.errors import WeightsError
from passerby.extras import require_extra
from passerby.files import read_json
from passerby.runtime.embedder import Embedder
from passerby.runtime.file_metadata import parse_metadata, read_imported, read_metadata
from passerby.runtime.file_model import find_exported, is_model_file, load_exported, load_imported
from passerby.runtime.model_manifest import MANIFEST_FILE, MODEL_FILE, holds_network_file, model_folder, read_manifest
from passerby.runtime.networks import ComputePrecision, FileRuntime, load_network
from passerby.runtime.preprocessing import parse_preprocessing

if TYPE_CHECKING:
    from passerby.model.convnext_ap import ReID

NamedRuntime = Literal["torch", "onnx", "openvino"]


class ModelFiles:
    """The files of a model: a run, an imported file in its folder, or an exported file.

    Args:
        path: Folder, or `.onnx` or `.xml` file.
        embedding: As for `load`.

    Attributes:
        trained: Whether there are weights that PyTorch runs.

    Raises:
        WeightsError: If there is no model.
    """

    def __init__(self, path: str | Path, *, embedding: Literal["reduced", "full"] | None = None) -> None:
        self.path, self.embedding = path, embedding
        self.folder: Path | None = None
        self.manifest: Mapping[str, Any] = {}
        self._file: Path | None = None
        self.trained = self.imported = False
        if is_model_file(path) and not Path(path).is_dir():
            self._file = Path(path)
            return
        self.folder = model_folder(path)
        self.manifest = read_manifest(self.folder)
        if holds_network_file(self.manifest):
            self.imported = True
            name = self.manifest["model"].get("file")
            if isinstance(name, str) and Path(name).name == name and is_model_file(name):
                self._file = self.folder / name  # otherwise the manifest is damaged, which `open` reports
                if not self._file.is_file():
                    raise WeightsError(f"{self._file}: no such file; copy the whole run again")
            return
        self.trained = True

    @cached_property
    def network_file(self) -> Path | None:
        """The ONNX or OpenVINO file; None for a run without one of its weights, which are read to compare them."""
        if not self.trained or self.folder is None:
            return self._file
        return None if self.embedding is not None else find_exported(self.folder, self.manifest)

    @property
    def weights_file(self) -> Path:
        """The file whose content identifies the model."""
        if self.network_file is not None:
            return self.network_file
        assert self.folder is not None
        return self.folder / MODEL_FILE

    @property
    def computes_alike(self) -> bool:
        """Whether every runtime computes interchangeable vectors by the file: not by one in fp16 or int8."""
        precision, interchangeable = self._certified
        return precision == "fp32" and interchangeable

    @property
    def file_precision(self) -> str:
        """Precision of the vectors that a file's runtime computes if none is named: `fp32`, `fp16` or `int8`."""
        return self._certified[0]

    @cached_property
    def _certified(self) -> tuple[str, bool]:
        """Precision of the file, and whether its certificate calls its vectors interchangeable."""
        if self.network_file is None:
            return "fp32", True
        if self.imported:  # a file of another toolkit has no certificate
            assert self.folder is not None
            imported = read_imported(self.manifest, self.folder / MANIFEST_FILE)
            return imported.get("precision", "fp32"), imported.get("interchangeable", True)
        try:
            metadata = parse_metadata(read_json(self.network_file.with_name(f"{self.network_file.name}.json")))
        except (OSError, ValueError):  # a copy without it, or a damaged one: the file holds the same
            metadata = read_metadata(load_network(self.network_file))
        return metadata["precision"], metadata["certificate"]["interchangeable"]

    def list_runtimes(self) -> tuple[tuple[NamedRuntime, ComputePrecision], ...]:
        """List the runtimes and precisions in which these files can be computed, installed or not.

        Those of one precision compute interchangeable vectors: a file that is not interchangeable has one runtime only.
        """
        rows: list[tuple[NamedRuntime, ComputePrecision]] = [("torch", "fp32")] if self.trained else []
        if self.network_file is None:
            return tuple(rows)
        onnx = self.network_file.suffix.lower() == ".onnx"
        if self.computes_alike:
            rows += [("onnx", "fp32")] if onnx else []
            rows += [("openvino", "fp32"), ("openvino", "bf16")]
        elif not (self.trained and has_torch()):
            rows = [("onnx" if onnx else "openvino", "fp32")]
        return tuple(rows)

    def find_runtimes(self, precision: ComputePrecision) -> tuple[NamedRuntime, ...]:
        """List the installed runtimes that compute this model's vectors in a precision; may be empty."""
        return tuple(name for name, computes in self.list_runtimes() if computes == precision and is_installed(name))

    def load_network(self) -> ReID:
        """Load the PyTorch network of a run."""
        assert self.folder is not None
        return _load_network(self.folder, self.manifest)

    def open(self, runtime: NamedRuntime, *, device: str, precision: ComputePrecision, threads: int | None) -> Embedder:
        """Load the model in a runtime; see `passerby.load`."""
        file: FileRuntime | None = "openvino" if runtime == "openvino" else None
        if self.folder is None:
            self._check_file_options(device, runtime)
            assert self.network_file is not None
            return load_exported(self.network_file, runtime=file, precision=precision, threads=threads)
        if self.imported:
            self._check_file_options(device, runtime)
            return load_imported(self.folder, self.manifest, runtime=file, precision=precision, threads=threads)
        if runtime == "torch":
            return self._open_torch(device, precision)
        if self.network_file is None and self.embedding is None:
            user = f"runtime {runtime}" if precision == "fp32" else f"{precision} by {runtime}"
            other = ', or run it by torch: pip install "passerby[train]"' if precision == "fp32" else ""
            raise WeightsError(
                f"{self.path}: holds no model.onnx or model.xml of its weights, which {user} needs; write it with "
                f"`passerby model export {self.path} --to onnx --out {self.folder / 'model.onnx'}`{other}"
            )
        self._check_file_options(device, runtime)
        assert self.network_file is not None
        embedder = load_exported(self.network_file, runtime=file, precision=precision, threads=threads)
        return embedder.with_network(self.load_network)

    def _open_torch(self, device: str, precision: str) -> Embedder:
        assert self.folder is not None
        if precision != "fp32":
            raise WeightsError(f"{self.folder}: torch computes embeddings in fp32; {precision} needs runtime openvino")
        manifest = self.manifest
        if self.embedding is not None:
            manifest = {**manifest, "model": {**manifest["model"], "embedding": self.embedding}}
        require_extra("torch")
        from passerby.model.torch_encoder import TorchEncoder

        preprocessing = parse_preprocessing(manifest["preprocessing"], self.folder / MANIFEST_FILE)
        network = _load_network(self.folder, manifest)
        return Embedder(TorchEncoder(network, preprocessing, device=device), preprocessing, manifest)

    def _check_file_options(self, device: str, runtime: str) -> None:
        name = str(self.path if self.network_file is None else self.network_file)
        if device not in ("auto", "cpu"):
            raise WeightsError(f"{name}: runs on the CPU; device is {device!r}, expected auto or cpu")
        if runtime == "torch" or (runtime == "onnx" and name.lower().endswith(".xml")):
            fitting = "openvino" if name.lower().endswith(".xml") else "onnx or openvino"
            raise WeightsError(f"{name}: cannot be run by {runtime}; leave the runtime out, or name {fitting}")
        if self.embedding is not None:
            raise WeightsError(f"{name}: its embedding is fixed; {self.embedding!r} needs a run with model.safetensors")


def is_installed(runtime: NamedRuntime) -> bool:
    """Return whether a runtime can be imported.

    Example:
        >>> is_installed("onnx")
        True
    """
    return has_torch() if runtime == "torch" else bool(find_spec({"onnx": "onnxruntime"}.get(runtime, runtime)))


def has_torch() -> bool:
    """Return whether what runs a trained network is installed."""
    return bool(find_spec("torch") and find_spec("timm"))


def _load_network(folder: Path, manifest: Mapping[str, Any]) -> ReID:
    require_extra("torch")
    from passerby.model.trained import load_network

    return load_network(folder, manifest)
