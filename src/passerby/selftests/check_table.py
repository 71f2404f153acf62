"""Rows of the self-test, and their table as text, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from passerby.types import Result

Status = Literal["passed", "failed", "not applicable"]


@dataclass(frozen=True, repr=False)
class CheckRow(Result):
    """One check.

    Attributes:
        name: Name of the check.
        status: `failed` also if the check ended in an error; `not applicable` for what this device or installation
            does not have.
        result: What was measured, or the reason.
        values: The numbers, by name with unit.
        seconds: Duration of the check.
    """

    name: str
    status: Status
    result: str
    values: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def __repr__(self) -> str:
        return f"CheckRow({self.name}: {self.status}, {self.result})"


@dataclass(frozen=True)
class SelfTest(Result):
    """Result of `selftest`.

    Attributes:
        machine: Device, processor, versions.
        size: `full`, `small` or `quick`.
        setup: Network, image size and batch that were used.
        rows: The checks, in the order in which they ran.

    Example:
        >>> from passerby.selftests.check_table import CheckRow, SelfTest
        >>> SelfTest({"device": "cpu"}, "quick", "two steps", [CheckRow("resume", "passed", "equal losses")])
        SelfTest(cpu, quick: 1 passed, 0 failed, 0 not applicable)
    """

    machine: Mapping[str, Any]
    size: str
    setup: str
    rows: Sequence[CheckRow]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(row.status != "failed" for row in self.rows)

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{sum(row.status == status for row in self.rows)} {status}"
            for status in ("passed", "failed", "not applicable")
        )
        return f"SelfTest({self.machine['device']}, {self.size}: {counts})"

    def to_markdown(self) -> str:
        """Return machine, set-up and one table of all checks."""
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        lines = [f"| {row.name} | {row.status} | {row.result} | {row.seconds:.0f} |" for row in self.rows]
        head = ["| check | | result | seconds |", "| --- | --- | --- | ---: |"]
        return "\n".join([f"{machine}.", "", f"{self.setup}.", "", *head, *lines]) + "\n"
