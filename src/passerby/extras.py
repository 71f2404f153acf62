"""Import of optional dependencies."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from passerby.errors import MissingExtraError

EXTRAS = {
    "eval": ("numba", "scipy", "sklearn", "pyarrow", "h5py", "joblib", "psutil"),
    "train": ("torch", "torchvision", "timm", "safetensors", "tensorboard"),
    "report": ("matplotlib", "jinja2"),
    "video": ("trackers", "supervision", "cv2"),
    "export": ("onnx", "onnxscript"),
    "openvino": ("openvino", "nncf"),
    "milvus": ("pymilvus",),
    "ray": ("ray",),
    "serve": (
        "fastapi",
        "uvicorn",
        "jinja2",
        "python_multipart",
        "multipart",
        "prometheus_client",
        "httpx",
        "paho",
    ),
}
"""Modules that each extra of pyproject.toml installs."""


def require_extra(module: str) -> Any:
    """Import an optional dependency.

    Args:
        module: Dotted name, such as `matplotlib.figure`.

    Returns:
        The module.

    Raises:
        MissingExtraError: When it is not installed; the message names the command that installs it.

    Example:
        >>> require_extra("scipy.special").expit(0.0).item()
        0.5
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = find_missing_extra(error)
        if missing is None or module.split(".", maxsplit=1)[0] != (error.name or "").split(".")[0]:
            raise  # the module is there and something that it imports is not
        raise missing from None


def find_missing_extra(error: ModuleNotFoundError) -> MissingExtraError | None:
    """Find the extra that installs the module of an import error.

    Args:
        error: Raised by an `import` statement.

    Returns:
        The error to raise in its place; None for a module that no extra installs.

    Example:
        >>> print(find_missing_extra(ModuleNotFoundError("No module named 'cv2'", name="cv2")))
        cv2 is not installed; this needs the extra 'video': pip install "passerby[video]"
        >>> find_missing_extra(ModuleNotFoundError("No module named 'no_such_module'", name="no_such_module"))
    """
    module = (error.name or "").partition(".")[0]
    for extra, modules in EXTRAS.items():
        if module in modules:
            return MissingExtraError(
                f'{module} is not installed; this needs the extra {extra!r}: pip install "passerby[{extra}]"'
            )
    return None
