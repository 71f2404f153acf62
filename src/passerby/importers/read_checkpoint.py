"""Read the tensors of a checkpoint of any kind without running code."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from passerby.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

FileKind = Literal["safetensors", "pickle", "onnx", "openvino", "unknown"]
WORKER = Path(__file__).with_name("pickle_worker.py")
SECONDS = 300
"""Longest time for reading a pickled checkpoint, beside 1 s for each 10 MB."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors of a file.

    Attributes:
        tensors: By name, without the prefixes of wrappers such as DataParallel.
        keys: Keys of the dictionaries around them, from the outside.
        others: Type of each entry beside them that is not a tensor, by name.
        outside: Names of tensors outside the network, such as those of a loss; see `recognize.unwrap_network`.
    """

    tensors: dict[str, Tensor]
    keys: tuple[str, ...] = ()
    others: dict[str, str] = field(default_factory=dict)
    outside: tuple[str, ...] = ()


def identify_file(path: Path) -> FileKind:
    """Identify a model file by its content.

    Raises:
        WeightsError: When it is missing, empty, or not a file.

    Example:
        >>> identify_file(Path("runs/m/model.safetensors"))
        'safetensors'
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; expected a checkpoint, an ONNX file or an OpenVINO .xml file")
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise WeightsError(f"{path}: the file is empty (0 bytes); copy or download it again")
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "pickle"
    if head.lstrip().startswith(b"<") and b"<net" in head:
        return "openvino"
    if head[0] == 0x08 and path.suffix.lower() == ".onnx":  # field 1 of ONNX's ModelProto, its version
        return "onnx"
    return "unknown"


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a safetensors file, or a pickled checkpoint in a process of its own with limits on size and time.

    What a pickle unpacks to is counted before it is unpacked. On Linux the process has a limit on memory as well.

    Args:
        path: A file of kind `safetensors` or `pickle`.

    Raises:
        WeightsError: For a file that is damaged, holds something other than tensors, or exceeds the limits.
    """
    from passerby.model.weights import read_tensors

    if identify_file(path) == "safetensors":
        return Checkpoint(_float(read_tensors(path)))
    with tempfile.TemporaryDirectory(prefix="passerby-import-") as folder:
        tensors, result = Path(folder, "tensors.safetensors"), Path(folder, "result.json")
        try:
            done = subprocess.run(
                [sys.executable, "-P", str(WORKER), str(path), str(tensors), str(result)],
                timeout=SECONDS + path.stat().st_size // 10**7,
                check=False,
                capture_output=True,
            )
        except subprocess.TimeoutExpired:
            raise WeightsError(f"{path}: not read in {SECONDS} s; it is damaged, or the machine too slow") from None
        if not result.is_file():
            last = (done.stderr.decode(errors="replace").splitlines() or [f"exit code {done.returncode}"])[-1]
            memory = "memory (4 times its size and 1 GiB), " if sys.platform == "linux" else ""
            raise WeightsError(
                f"{path}: not read within the limits on {memory}processor time and written bytes ({last[:200]}); it is "
                "damaged, or no checkpoint"
            )
        description = json.loads(result.read_text(encoding="utf-8"))
        if "error" in description:
            raise WeightsError(f"{path}: {description['error']}")
        return Checkpoint(_float(read_tensors(tensors)), tuple(description["keys"]), description["others"])


def _float(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert half and double precision to float32; integers stay."""
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
