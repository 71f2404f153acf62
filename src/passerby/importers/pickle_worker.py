"""Program that reads a pickled checkpoint: `python -P pickle_worker.py CHECKPOINT TENSORS RESULT`.

torch's reader with `weights_only=True` builds tensors, containers and numbers, and calls nothing else. A damaged or
hostile file can still claim any size, so sizes are counted before anything is unpacked or copied, this process has
limits on processor time, what it writes and, on Linux, memory, and the process that reads the result opens safetensors
and JSON alone.
"""

from __future__ import annotations

import json
import pickle
import re
import resource
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STATE_KEYS = (
    *("state_dict", "model_state_dict", "model", "network", "net", "params", "weights"),
    *("ema_state_dict", "state_dict_ema", "teacher", "student"),
)
"""Keys under which toolkits store the weights of a network, in the order in which they are tried."""
NUMPY_SCALARS = (
    *("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype"),
    *("numpy.dtypes.Float64DType", "numpy.dtypes.Float32DType", "numpy.dtypes.Int64DType"),
)
"""What NumPy numbers are pickled as, such as the Rank-1 in Torchreid's checkpoints. They are skipped, not built."""
FOREIGN = re.compile(r"(?:Unsupported global: GLOBAL|Unsupported class|GLOBAL) ([\w.]+)")
MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
"""Pickled `torch.serialization.MAGIC_NUMBER`, with which files of torch.save in the format before the archive begin."""
SPARE = 1024**3
"""Bytes of memory beyond those for the tensors."""
UNPACKED, ROOM = 4, 64 * 1024**2
"""A checkpoint may unpack to `UNPACKED` times its bytes and `ROOM` more. torch stores tensors without compression."""


class Skipped:
    """Stands for a pickled NumPy number."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


def set_limits(size: int) -> None:
    """Limit this process: memory and written bytes by the size of the checkpoint, 60 s of processor time and more.

    The limit on memory applies on Linux only: macOS accepts it and does not apply it. The other limits apply on both.
    """
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 4 * size + SPARE,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (60 + size // 10**7,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * size + SPARE,) * 2)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the tensors of a checkpoint, and describe them: the key they were at, and entries that are no tensors.

    Raises:
        ValueError: If the file cannot be read; with the reason.
    """
    import torch

    if not is_of_torch(path):
        raise ValueError(
            "a pickle that torch.save did not write; load it where it was made and save its tensors with torch.save"
        )
    require_size(path, measure_archive(path), "unpacks to")
    try:
        with torch.serialization.safe_globals([(Skipped, name) for name in NUMPY_SCALARS]):
            tree = torch.load(path, map_location="cpu", weights_only=True)
            state, keys = find_state(tree, torch.Tensor)
    except MemoryError:
        raise ValueError("reading it needs more than 4 times its size in memory") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ValueError(explain(path, error)) from None
    others = {name: type(value).__name__ for name, value in state.items() if not isinstance(value, torch.Tensor)}
    tensors = {name: value for name, value in state.items() if name not in others}
    layouts = [name for name, value in tensors.items() if value.is_quantized or value.layout != torch.strided]
    if layouts:
        raise ValueError(f"{layouts[0]} is a quantized or sparse tensor; save the float weights")
    require_size(path, sum(value.numel() * value.element_size() for value in tensors.values()), "holds tensors of")
    copies = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    return copies, {"keys": keys, "others": others}


def measure_archive(path: Path) -> int:
    """Return the bytes to which the members of a zip archive unpack, from its directory; 0 for another file.

    Raises:
        ValueError: For an archive whose directory is damaged.
    """
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return 0
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise ValueError(f"a truncated or damaged checkpoint ({error}); copy or download it again") from None


def require_size(path: Path, size: int, what: str) -> None:
    """Raise ValueError if a checkpoint claims more bytes than its file can hold."""
    limit = UNPACKED * path.stat().st_size + ROOM
    if size > limit:
        raise ValueError(
            f"{what} {size:,} bytes, expected at most {limit:,} ({UNPACKED} times the file and {ROOM:,}); it is "
            "damaged. Save the network's state_dict() again with torch.save"
        )


def find_state(tree: Any, tensor: type) -> tuple[Mapping[str, Any], list[str]]:
    """Find the mapping of names to tensors, below the keys that toolkits use.

    Raises:
        ValueError: When there is none; the message lists the keys that were found.
    """
    keys: list[str] = []
    while isinstance(tree, Mapping) and len(keys) < 4:
        names = [name for name in tree if isinstance(name, str)]
        if sum(isinstance(tree[name], tensor) for name in names) > 1:
            return {name: tree[name] for name in names}, keys
        key = next((key for key in STATE_KEYS if isinstance(tree.get(key), Mapping)), None)
        if key is None:
            held = ", ".join(f"{str(name)[:40]} ({type(tree[name]).__name__})" for name in list(tree)[:8])
            raise ValueError(f"holds no tensors by name, but {held or 'nothing'}; expected the state_dict of a network")
        tree = tree[key]
        keys.append(key)
    raise ValueError(f"holds a {type(tree).__name__}, expected the state_dict of a network")


def explain(path: Path, error: Exception) -> str:
    """Return why a file cannot be read as a checkpoint: the classes in its pickle, or damage."""
    import torch

    text = str(error)
    try:
        foreign = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (ValueError, RuntimeError, OSError, KeyError, pickle.UnpicklingError):
        foreign = FOREIGN.findall(text)
    foreign = [name for name in foreign if name not in NUMPY_SCALARS]
    if "TorchScript" in text:
        return "a TorchScript archive, which is code; save the network's state_dict() with torch.save instead"
    if foreign:
        named = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        what = "is not a tensor" if len(foreign) == 1 else "are not tensors"
        return (
            f"its pickle holds {named}, which {what} and would run code; load it where it was made and save the "
            "network's state_dict() alone"
        )
    reason = text.splitlines()[0][:200] if text else type(error).__name__
    return f"a truncated or damaged checkpoint ({reason}); copy or download it again"


def is_of_torch(path: Path) -> bool:
    """Return whether a file begins as those of torch.save: a zip archive, or torch's number in a pickle."""
    with path.open("rb") as file:
        head = file.read(32)
    return head.startswith(b"PK") or MAGIC in head


def main() -> None:
    """Read the checkpoint, write its tensors as safetensors, and the description, or the error, as JSON."""
    import torch  # noqa: F401  # loaded before the limit on memory, which it would use up
    from safetensors.torch import save_file

    checkpoint, tensors, result = map(Path, sys.argv[1:4])
    set_limits(checkpoint.stat().st_size)
    try:
        state, description = read(checkpoint)
        save_file(state, tensors)
    except ValueError as error:
        description = {"error": str(error)}
    result.write_text(json.dumps(description), encoding="utf-8")


if __name__ == "__main__":
    main()
