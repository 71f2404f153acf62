"""Compilation without a place for numba's cache. Oracle: the interpreted function."""

import numba
import pytest
from numba.core import caching

from passerby.compiled import njit


def test_functions_compile_where_no_cache_can_be_written(monkeypatch):
    """As in a container: a package that is read-only and a user without a home."""
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator available"):
        numba.njit(cache=True)(lambda x: x + 1)
    assert njit(cache=True, nogil=True)(lambda x: x + 1)(2) == 3


def test_functions_of_a_user_without_a_home_are_not_cached(monkeypatch):
    """numba would write into a folder with the name ~ in the working folder."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr("passerby.compiled.has_home", lambda: False)
    function = njit(cache=True)(lambda x: x + 1)
    assert (function(2), function.stats.cache_path) == (3, None)
