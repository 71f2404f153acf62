"""Text that is safe to print and to store."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches

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


_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def quote_formula(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would compute, in a cell of a CSV file.

    Example:
        >>> quote_formula("=1+1"), quote_formula("-0.5"), quote_formula("north")
        ("'=1+1", '-0.5', 'north')
    """
    return f"'{text}" if _FORMULA.match(text) and not _is_number(text) else text


def unquote_formula(cell: str) -> str:
    """Return the text of a cell that `quote_formula` wrote."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'? ` for the known name that is most like `name`; nothing if none is.

    Example:
        >>> suggest("epoch", ["epochs", "lr_max"])
        "did you mean 'epochs'? "
    """
    by_letters = {text.lower(): text for text in known}
    close = get_close_matches(name.lower(), by_letters, n=1)
    return f"did you mean {by_letters[close[0]]!r}? " if close else ""


def join_choices(names: Sequence[str]) -> str:
    """Join names as `a, b or c`."""
    return " or ".join([*([", ".join(names[:-1])] if len(names) > 1 else []), *names[-1:]])


def format_time(seconds: float | None) -> str:
    """Format a time as ISO 8601 to the second in UTC; empty if unknown, a number outside the years 1 to 9999.

    Example:
        >>> format_time(1_795_723_569.4), format_time(1e15)
        ('2026-11-26 20:06:09', '1e+15 s')
    """
    if seconds is None:
        return ""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # stored by an earlier version
        return f"{seconds:g} s"


def plural(number: float, noun: str) -> str:
    """Write a number with its noun in the singular or plural.

    Args:
        number: How many; a fraction takes the plural.
        noun: The noun in the singular, with any words before it: `training image`.

    Example:
        >>> plural(1, "image"), plural(1200, "image"), plural(0, "identity"), plural(2.5, "box")
        ('1 image', '1,200 images', '0 identities', '2.5 boxes')
    """
    amount = f"{number:,.0f}" if number == int(number) else f"{number:,.6g}"
    return f"{amount} {noun if number == 1 else _pluralize(noun)}"


def _pluralize(noun: str) -> str:
    if noun.endswith("person"):
        return noun.removesuffix("person") + "people"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun.removesuffix("y") + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "tch", "sh")) else "s")
