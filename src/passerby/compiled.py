"""Compilation of loops by numba, of an extra."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from passerby.extras import require_extra
from passerby.files import has_home

numba = require_extra("numba")

Function = TypeVar("Function", bound=Callable[..., Any])


def njit(**options: Any) -> Callable[[Function], Function]:
    """Compile a function, with numba's cache on the disk where one can be written.

    Args:
        options: Options of `numba.njit`.
    """
    if not (has_home() or os.environ.get("NUMBA_CACHE_DIR")):
        options["cache"] = False  # numba would write into a folder with the name ~

    def compile_function(function: Function) -> Function:
        try:
            compiled: Function = numba.njit(**options)(function)
        except RuntimeError:  # neither the package's folder nor the user's cache can be written
            compiled = numba.njit(**{**options, "cache": False})(function)
        return compiled

    return compile_function
