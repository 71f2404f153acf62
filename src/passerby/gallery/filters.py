"""Conditions that select sightings of a gallery."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from passerby.errors import GalleryError

Removal = Literal["remove", "forget", "expire"]


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Select sightings. A sighting passes if it meets every condition that is given; without conditions all pass.

    Attributes:
        cameras: The camera is one of these.
        not_cameras: The camera is none of these.
        since: Seen at this time or later, seconds since 1970 UTC. Sightings without a time do not pass.
        until: Seen before this time. Sightings without a time do not pass.
        labels: The label is one of these.
        labeled: The sighting has a label.
        ids: The id is one of these.
        sources: The source is one of these files (`SightingInfo.source`), or an item in one (`FILE::ITEM`).
        enrolled_before: Enrolled before this time, seconds since 1970 UTC.

    Raises:
        GalleryError: If one text is given where several are expected, or a time is not finite.

    Example:
        >>> Filter(cameras=["north"], labeled=True)
        Filter(cameras=['north'], labeled=True)
    """

    cameras: Sequence[str] | None = None
    not_cameras: Sequence[str] = ()
    since: float | None = None
    until: float | None = None
    labels: Sequence[str] | None = None
    labeled: bool = False
    ids: Sequence[str] | None = None
    sources: Sequence[str] | None = None
    enrolled_before: float | None = None

    def __post_init__(self) -> None:
        for name in ("cameras", "not_cameras", "labels", "ids", "sources"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise GalleryError(f"filter: {name} is the text {value!r}, expected several; give [{value!r}]")
            for text in value or ():
                if not isinstance(text, str) or any(x == "\0" or "\ud800" <= x <= "\udfff" for x in text):
                    raise GalleryError(f"filter: {name} contains {text!r}, expected text without NUL and surrogates")
        for name in ("since", "until", "enrolled_before"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise GalleryError(f"filter: {name} is {value}, expected seconds since 1970, or None")

    def __repr__(self) -> str:
        conditions = {field.name: getattr(self, field.name) for field in fields(self)}
        given = [
            f"{name}={value!r}"
            for name, value in conditions.items()
            if value is not None and value is not False and not (name == "not_cameras" and not value)
        ]
        return f"Filter({', '.join(given)})"

    @property
    def selects_all(self) -> bool:
        """Whether no condition is given."""
        return self == Filter(not_cameras=self.not_cameras) and not self.not_cameras


EVERYTHING = Filter()
