"""Read YAML within bounds: length, depth, expanded aliases, long numbers; a key that is given twice is an error."""

from __future__ import annotations

import re
from typing import Any

import yaml

from passerby.errors import explain
from passerby.text import plural

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 32
MAX_NODES = 20_000
"""Values and keys of a document, after every alias is expanded."""
MAX_DIGITS = 100


def read_yaml(text: str) -> Any:
    r"""Parse a YAML document. `1e-3` is a number (YAML 1.1 requires `1.0e-3`), and a date is text.

    Raises:
        ValueError: For text that is not YAML, or exceeds a bound; the message has no name of the source.

    Example:
        >>> read_yaml("lr_max: 1e-3")
        {'lr_max': 0.001}
        >>> read_yaml("a: 1\na: 2")
        Traceback (most recent call last):
        ValueError: line 2: key 'a' is given twice; keep one
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{plural(len(text), 'character')}, expected at most {MAX_CHARACTERS:,}")
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {_explain(error)}") from None
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:  # of PyYAML's own code
        raise ValueError(f"not YAML: a value does not fit its tag ({explain(error)})") from None


def _explain(error: yaml.YAMLError) -> str:
    """Return the place and the cause of a syntax error in one line."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"character {getattr(error, 'position', 0) + 1}: {getattr(error, 'reason', error)}"
    mark, cause = error.problem_mark, str(error.problem).replace("'<stream end>'", "the end")
    return f"line {mark.line + 1}, column {mark.column + 1}: {cause}"


class _Loader(yaml.SafeLoader):
    """SafeLoader with the bounds of this module."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._nodes = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, and count it with all that its aliases stand for."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        is_alias = self.check_event(yaml.AliasEvent)
        if not is_alias:
            self._count(1, event)
        before, self._depth = self._nodes - (not is_alias), self._depth + 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"line {event.start_mark.line + 1}: nested more than {MAX_DEPTH} levels deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias:
            if id(node) not in self._sizes:
                raise ValueError(f"line {event.start_mark.line + 1}: an alias inside its own anchor")
            self._count(self._sizes[id(node)], event)
        else:
            self._sizes[id(node)] = self._nodes - before
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Construct a mapping whose keys are all different."""
        keys: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in keys:
                    raise ValueError(f"line {key.start_mark.line + 1}: key {key.value!r} is given twice; keep one")
                keys.add(key.value)
        return super().construct_mapping(node, deep=deep)

    def construct_number(self, node: Any) -> Any:
        """Construct an integer or a float of few digits."""
        if len(node.value) > MAX_DIGITS:
            raise ValueError(f"line {node.start_mark.line + 1}: a number of {plural(len(node.value), 'character')}")
        is_integer = node.tag == "tag:yaml.org,2002:int"
        return self.construct_yaml_int(node) if is_integer else self.construct_yaml_float(node)

    def _count(self, nodes: int, event: Any) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise ValueError(f"line {event.start_mark.line + 1}: more than {MAX_NODES:,} values, aliases expanded")


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_number)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)
