"""Compilation of loops by numba, from the extra `eval`."""

from __future__ import annotations

from passerby.extras import require_extra

njit = require_extra("numba").njit
