"""Results of reviewing a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from passerby.gallery.sightings import SightingInfo
from passerby.reviewing.answers import Answer
from passerby.types import Result

if TYPE_CHECKING:
    from passerby.reviewing.questions import Reason  # imports numba, which results do not need


@dataclass(frozen=True)
class ReviewQuestion(Result):
    """A question: do two sightings show one person?

    Attributes:
        first: Id of a sighting, typical of its group.
        second: Id of the other one.
        reason: `merge`: two groups that may be one person. `split`: parts of a group that may be two persons.
            `confirm`: an answer that distances make improbable. `contradiction`: answers that contradict each other.
            `count`: a sighting that was drawn to estimate the number of people.
        probability: Probability of one person, 0 to 1.
        value: Expected change of the identities, in sightings; None for a contradiction, which comes
            first, and for `count`.
        first_group: Sightings that the answer is about, the typical ones first.
        second_group: The sightings on the other side.
    """

    first: str
    second: str
    reason: Reason | Literal["count"]
    probability: float
    value: float | None
    first_group: tuple[str, ...]
    second_group: tuple[str, ...]


@dataclass(frozen=True)
class Contradiction(Result):
    """Answers that cannot all hold. One of them is not used until it is answered again.

    Attributes:
        unused: Pair of sightings whose answer is not used.
        against: Answers that together imply the opposite; the pair itself if as many answers about it are `same` as
            `different`.
    """

    unused: tuple[str, str]
    against: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Member(Result):
    """A sighting of an identity.

    Attributes:
        sighting: The sighting.
        probability: Probability that it belongs to the identity, 0 to 1. For the only sighting of an identity, that
            no other identity shows its person.
    """

    sighting: SightingInfo
    probability: float


@dataclass(frozen=True)
class Identity(Result):
    """A person as far as the sightings and the answers tell.

    Attributes:
        id: Stable id.
        label: Name; None without one.
        members: Its sightings, by time.
    """

    id: str
    label: str | None
    members: tuple[Member, ...]

    def __repr__(self) -> str:
        return f"Identity({self.id!r}, label={self.label!r}, sightings={len(self.members)})"


@dataclass(frozen=True)
class AnswerTable(Result):
    """All answers that count.

    Attributes:
        answers: Answers, oldest first.
        contradictions: Answers that contradict each other.
    """

    answers: tuple[Answer, ...]
    contradictions: tuple[Contradiction, ...]


def expected_change(questions: Sequence[ReviewQuestion]) -> float:
    """Return how many sightings the answers to questions are expected to move, as the sum of their values.

    Contradictions have no value and are not counted.

    Example:
        >>> sides = (("s1",), ("s2",))
        >>> expected_change([ReviewQuestion("s1", "s2", "merge", 0.5, 0.5, *sides)] * 3)
        1.5
    """
    return sum(question.value or 0.0 for question in questions)
