"""Compilation of loops by numba, of an extra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from passerby.extras import require_extra

numba = require_extra("numba")

Function = TypeVar("Function", bound=Callable[..., Any])


def njit(**options: Any) -> Callable[[Function], Function]:
    """Compile a function, with numba's cache on the disk where one can be written.

    Args:
        options: Of `numba.njit`.
    """

    def compile_function(function: Function) -> Function:
        try:
            compiled: Function = numba.njit(**options)(function)
        except RuntimeError:  # neither the package's folder nor the user's cache can be written
            compiled = numba.njit(**{**options, "cache": False})(function)
        return compiled

    return compile_function
