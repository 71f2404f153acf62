"""Text that is safe to print and to store."""

from __future__ import annotations

import unicodedata

_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")  # of Unicode: control characters, surrogates, line separators
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # reorder the rest of the line


def escape_controls(text: str) -> str:
    r"""Escape what could control a terminal or cannot be encoded: control characters, surrogates, text directions.

    Example:
        >>> print(escape_controls("Ada" + chr(27) + "[31m"))
        Ada\x1b[31m
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _CATEGORIES or character in _DIRECTIONS
        else character
        for character in text
    )


def escape_lines(text: str) -> str:
    """Escape each line as `escape_controls` does and keep the line breaks."""
    return "\n".join(map(escape_controls, text.split("\n")))
