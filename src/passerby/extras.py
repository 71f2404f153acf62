"""Import of optional dependencies."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from passerby.errors import MissingExtraError


def require_extra(module: str, extra: str) -> Any:
    """Import an optional dependency.

    Args:
        module: Dotted name, such as `matplotlib.figure`.
        extra: Name of the extra in pyproject.toml that installs it.

    Returns:
        The module.

    Raises:
        MissingExtraError: When it is not installed; the message names the command that installs it.

    Example:
        >>> require_extra("json", "eval").dumps([1])
        '[1]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".", maxsplit=1)[0] != error.name.split(".")[0]:
            raise  # the module is there and something that it imports is not
        raise MissingExtraError(
            f'{error.name} is not installed; this needs the extra {extra!r}: pip install "passerby[{extra}]"'
        ) from None
