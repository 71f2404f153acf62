"""Numbers with nouns; and the texts of the package, read from its source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import passerby
from passerby.text import plural

SOURCE = Path(passerby.__file__).parent
PLURALS = re.compile(r" (?:[a-z-]+ )?(?:[a-z]{2,}[a-z]ies|[a-z]{3,}[^s\W]s|boxes|people)\b")
VERBS = {"has", "is", "was", "takes", "needs", "leaves", "holds", "lacks", "expects", "contains", "pixels"}


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (1, "image", "1 image"),
        (0, "image", "0 images"),
        (1200, "image", "1,200 images"),
        (1, "identity", "1 identity"),
        (2, "identity", "2 identities"),
        (2, "box", "2 boxes"),
        (2, "batch", "2 batches"),
        (2, "epoch", "2 epochs"),
        (2, "day", "2 days"),
        (1.0, "day", "1 day"),
        (1.5, "day", "1.5 days"),
        (3, "other person", "3 other people"),
        (1, "person", "1 person"),
    ],
)
def test_plural_follows_the_number(number: float, noun: str, text: str) -> None:
    assert plural(number, noun) == text


def _texts(tree: ast.AST) -> list[tuple[int, str]]:
    """Return line and text of each string and f-string, without docstrings; `{n}` marks a formatted value."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


def _numbers_with_plurals(tree: ast.AST) -> list[str]:
    """Return the formatted `len(...)` and `...:,` values of f-strings that a plural noun follows."""
    found = []
    for node in ast.walk(tree):
        for value, after in zip(node.values, node.values[1:], strict=False) if isinstance(node, ast.JoinedStr) else ():
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            expression = ast.unparse(value.value)
            number = expression.startswith(("len(", "sum(")) or (
                value.format_spec is not None and ast.unparse(value.format_spec).strip("f'\"") == ","
            )
            match = PLURALS.match(after.value)
            above = "expected at most" in ast.unparse(node)  # a number above a limit is never 1
            if number and match and not above and not VERBS & set(match[0].split()) and not expression.isupper():
                found.append(f"line {value.lineno}: {{{expression}}}{after.value[:40]}")
    return found


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_number_of_one_has_a_singular_noun(path: Path) -> None:
    """A text that prints a count uses `plural`, and no text leaves the choice to the reader with `(s)`."""
    tree = ast.parse(path.read_text())
    assert [(line, text) for line, text in _texts(tree) if re.search(r"[a-z]\(e?s\)(?!\w)", text)] == []
    assert _numbers_with_plurals(tree) == []


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_plain_string_has_a_call_in_braces(path: Path) -> None:
    """An f-string of several lines needs its prefix on each."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [text for _, text in _texts(tree) if re.search(r"\{[A-Za-z_.]+\(", text)] == []
