"""Results of an adaptation: the rungs, with their gains on held-out groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passerby.types import Result

NOTHING = "nothing"
"""Name of the result in which no rung is better than the start."""


@dataclass(frozen=True, repr=False)
class Rung(Result):
    """One way of changing the model, and its gain.

    Attributes:
        name: Such as `wccn`.
        gain: Mean difference of the held-out mean average precision to the start, -1 to 1; None if not judged.
        error: Standard error of the gain over the held-out groups.
        rendered: mAP on synthetic people, divided by that of the start.
        note: Reason of a refusal, or a finding; empty for a rung that can be chosen.
        details: Further values, such as precision of links for each pass.
    """

    name: str
    gain: float | None = None
    error: float | None = None
    rendered: float | None = None
    note: str = ""
    details: Mapping[str, Any] | None = None

    @property
    def accepted(self) -> bool:
        """Whether the rung can be chosen."""
        return not self.note


def describe_decision(rung: Rung, chosen: Rung | None) -> str:
    """Describe whether a rung was chosen, and why not.

    Args:
        rung: The rung.
        chosen: The rung that was written as a run; None without one.

    Example:
        >>> best = Rung("wccn", 0.021, 0.006)
        >>> describe_decision(best, best)
        'chosen'
        >>> describe_decision(Rung("lda", 0.014, 0.006), best)
        'accepted, not chosen: wccn gains +2.1 points'
        >>> describe_decision(Rung("xqda", note="groups: one"), best)
        'not accepted: groups: one'
    """
    if not rung.accepted:
        return f"not accepted: {rung.note}"
    if chosen is None or rung.name == chosen.name:
        return "chosen"
    if (rung.gain or 0.0) > (chosen.gain or 0.0):
        return f"accepted, not chosen: {chosen.name} learned from pairs of cameras"
    return f"accepted, not chosen: {chosen.name} gains {100 * (chosen.gain or 0.0):+z.1f} points"


@dataclass(frozen=True, repr=False)
class AdaptResult(Result):
    """Result of `adapt`.

    Attributes:
        folder: The run that was written; None if nothing helped.
        chosen: Name of the rung, or `nothing`.
        start: Mean average precision of the held-out groups with the model as it was; None if nothing could be judged.
        rungs: All rungs that were tried, in their order.
        crops: Number of crops.
        cameras: Number of cameras.
        groups: Number of tracks, identities or groups of similar crops with two crops or more; some were held out.
        held_out: Number of held-out groups.
        evidence: What judged: `identities`, `tracks`, or `similar`: groups of similar crops.
        calibration: What the calibration was fitted to; empty if no run was written.
        seed: Seed of all random draws.

    Example:
        >>> from dataclasses import fields
        >>> [field.name for field in fields(AdaptResult)][:3]
        ['folder', 'chosen', 'start']
    """

    folder: Path | None
    chosen: str
    start: float | None
    rungs: tuple[Rung, ...]
    crops: int
    cameras: int
    groups: int
    held_out: int
    evidence: str
    calibration: str
    seed: int

    @property
    def helped(self) -> bool:
        """Whether a run was written."""
        return self.chosen != NOTHING

    def __repr__(self) -> str:
        return f"AdaptResult({self.chosen}, {self.crops} crops, {self.cameras} cameras, {self.evidence})"
