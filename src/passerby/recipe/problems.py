"""Messages about recipes that cannot be used: the key as the user writes it, what it accepts, and the value.

What a key accepts is read from the JSON schema of its section, so that every bound of a field is in the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from passerby.text import join_choices, suggest

RENAMED_KEYS = {"optimiser": "optimizer", "loss.centre": "loss.center"}
"""Keys of recipes written before manifest format 2, with their present names."""

_TYPES = {"boolean": "true or false", "integer": "an integer", "number": "a number", "string": "text", "null": "null"}


def describe_problems(error: ValidationError, root: type[BaseModel], *, section: str = "") -> str:
    """Describe all problems that pydantic found in one line.

    Args:
        error: The problems.
        root: The recipe, or the section that was validated.
        section: Key of that section in a recipe, such as `schedule`.
    """
    schema = _read_schema(root)
    return "; ".join(dict.fromkeys(_describe(problem, schema, section) for problem in error.errors()))


@cache
def _read_schema(root: type[BaseModel]) -> dict[str, Any]:
    return root.model_json_schema()


def describe_schema(node: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Describe the values that a JSON schema accepts, such as `an integer of at least 1`."""
    node = _resolve(node, definitions)
    if "properties" in node:
        return f"a section with the keys {', '.join(node['properties'])}"
    if "description" in node:
        return str(node["description"])
    if "anyOf" in node:
        return ", or ".join(describe_schema(option, definitions) for option in node["anyOf"])
    if "const" in node or "enum" in node:
        return join_choices([str(value) for value in node.get("enum", [node.get("const")])])
    return _describe_list(node, definitions) if node["type"] == "array" else _describe_value(node)


def _describe_list(node: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Describe a list of a fixed number of items, or of any number."""
    items = [describe_schema(item, definitions) for item in node.get("prefixItems", [])]
    if not items:
        return f"a list, each item: {describe_schema(node['items'], definitions)}"
    return f"a list of {len(items)}: {items[0] + ' each' if len(set(items)) == 1 else ', '.join(items)}"


def _describe_value(node: dict[str, Any]) -> str:
    """Describe a text, a path, a boolean, or a number with its bounds."""
    if node.get("format") == "path":
        return "a path"
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f"{_TYPES[node['type']]} from {low:g} to {high}"
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    bounds = {"of at least": low, "above": above, "at most": high, "below": below}
    text = " and ".join(f"{name} {bound:g}" for name, bound in bounds.items() if bound is not None)
    return f"{_TYPES[node['type']]} {text}".rstrip()


def _describe(problem: Any, schema: dict[str, Any], section: str) -> str:
    """Describe one problem."""
    location, kind = list(problem["loc"]), problem["type"]
    if kind == "missing" and isinstance(location[-1], int):  # a list that is too short
        location.pop()
    key = ".".join(map(str, [*([section] if section else []), *location]))
    if kind in ("extra_forbidden", "invalid_key"):
        return _describe_unknown(key, str(location[-1]), _find(schema, location[:-1]))
    if kind == "value_error":
        return f"{key + ': ' if key else ''}{problem['ctx']['error']}"
    expected = describe_schema(_find(schema, location), schema.get("$defs", {}))
    if kind == "missing" and location == list(problem["loc"]):
        return f"{key}: missing; expected {expected}"
    if kind == "finite_number":
        expected = expected.replace("a number", "a finite number")
    return f"{key}: expected {expected}, got {_show(problem['input'])}"


def _describe_unknown(key: str, name: str, section: dict[str, Any]) -> str:
    """Describe a key that its section does not have."""
    if key in RENAMED_KEYS:
        return (
            f"key {key!r} is now {RENAMED_KEYS[key]!r}; rename it in the file, or convert a run with "
            "`passerby model upgrade RUN`"
        )
    known, parent = list(section["properties"]), key.rpartition(".")[0]
    return f"unknown key {key!r}; {suggest(name, known)}{parent or 'the recipe'} has the keys {', '.join(known)}"


def _show(value: object) -> str:
    """Show a value as YAML writes it, at most 200 characters."""
    if isinstance(value, dict | BaseModel):
        return "a section"
    text = {None: "null", True: "true", False: "false"}[value] if isinstance(value, bool | None) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _find(schema: dict[str, Any], location: Sequence[Any]) -> dict[str, Any]:
    """Return the schema of the key at `location`."""
    definitions = schema.get("$defs", {})
    node = _resolve(schema, definitions)
    for part in location:
        node = next((option for option in node.get("anyOf", []) if option.get("type") != "null"), node)
        node = _resolve(node, definitions)
        if isinstance(part, int):
            items = node.get("prefixItems", [])
            node = items[part] if part < len(items) else node["items"]
        else:
            node = node["properties"][part]
        node = _resolve(node, definitions)
    node = next((option for option in node.get("anyOf", []) if "$ref" in option), node)
    return _resolve(node, definitions)


def _resolve(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that a reference names."""
    reference = node.get("$ref")
    return node if reference is None else definitions[str(reference).rpartition("/")[2]]
