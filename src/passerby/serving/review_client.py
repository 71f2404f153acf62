"""Review through a service, with the methods of `passerby.gallery.review.Review`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from passerby.gallery.review_results import AnswerTable, Contradiction, Identity, Member, ReviewQuestion
from passerby.gallery.sightings import SightingInfo
from passerby.gallery.stores.sqlite_answers import ReviewAction
from passerby.reviewing.answers import Answer, Verdict, write_answers
from passerby.reviewing.population import PopulationEstimate

_PAGE = 1000


class RemoteReview:
    """Questions, answers and identities of a gallery behind `passerby serve`.

    Args:
        send: Sends a request: method, path after `/v1/`, and the options of httpx; returns the JSON of the reply.
    """

    def __init__(self, send: Callable[..., Any]) -> None:
        self._send = send

    def questions(self, count: int = 20) -> list[ReviewQuestion]:
        """Return the most valuable questions; see `Review.questions`."""
        return [_read_question(question) for question in self._send("GET", "questions", params={"count": count})]

    def answer(self, first: str, second: str, answer: Verdict, *, reason: str = "") -> int:
        """Store an answer about two sightings; see `Review.answer`."""
        return self._act("answers", {"first": first, "second": second, "answer": answer, "reason": reason})

    def answers(self) -> AnswerTable:
        """Return the answers that are not undone, and their contradictions; see `Review.answers`."""
        reply = self._send("GET", "answers")
        conflicts = [
            Contradiction((c["unused"][0], c["unused"][1]), tuple((a, b) for a, b in c["against"]))
            for c in reply["contradictions"]
        ]
        return AnswerTable(tuple(Answer(**answer) for answer in reply["answers"]), tuple(conflicts))

    def identities(self) -> list[Identity]:
        """Return the identities, the largest first; see `Review.identities`."""
        found: list[Identity] = []
        while True:
            reply = self._send("GET", "identities", params={"start": len(found), "limit": _PAGE})
            found += [_read_identity(identity) for identity in reply["identities"]]
            if not reply["identities"] or len(found) >= reply["total"]:
                return found

    def assign(self) -> dict[str, tuple[str, float]]:
        """Assign the sightings that have no identity yet; see `Review.assign`."""
        reply = self._send("POST", "identities/assign", json={})
        return {name: (item["identity"], item["probability"]) for name, item in reply.items()}

    def survey(self, units: int = 100) -> list[ReviewQuestion]:
        """Draw sightings to estimate the number of people; see `Review.survey`."""
        return [_read_question(question) for question in self._send("POST", "survey", json={"units": units})]

    def population(self, *, level: float = 0.9) -> PopulationEstimate:
        """Estimate the number of people; see `Review.population`."""
        return PopulationEstimate(**self._send("GET", "population", params={"level": level}))

    def merge(self, identities: Sequence[str]) -> int:
        """Answer that identities are one person; see `Review.merge`."""
        return self._act("identities/merge", {"identities": list(identities)})

    def split(self, sightings: Sequence[str]) -> int:
        """Answer that sightings show another person than the rest; see `Review.split`."""
        return self._act("identities/split", {"sightings": list(sightings)})

    def rename(self, identity: str, label: str | None) -> int:
        """Set the name of an identity; see `Review.rename`."""
        return self._act(f"identities/{quote(identity, safe='')}/rename", {"label": label})

    def remove(self, sightings: Sequence[str]) -> int:
        """Remove sightings so that `undo` restores them; see `Review.remove`."""
        return self._act("identities/remove", {"sightings": list(sightings)})

    def undo(self, action: int | None = None) -> int:
        """Undo an action; see `Review.undo`."""
        return self._act("undo", {"action": action})

    def history(self) -> list[ReviewAction]:
        """Return all actions, oldest first; see `Review.history`."""
        return [ReviewAction(**action) for action in self._send("GET", "history")]

    def export_answers(self, path: str | Path) -> int:
        """Write the answers to a file on this machine; see `Review.export_answers`."""
        return write_answers(list(self.answers().answers), path)

    def _act(self, verb: str, body: dict[str, Any]) -> int:
        return int(self._send("POST", verb, json=body)["action"])


def _read_question(reply: dict[str, Any]) -> ReviewQuestion:
    groups = {name: tuple(reply[name]) for name in ("first_group", "second_group")}
    return ReviewQuestion(**{**reply, **groups})


def _read_identity(reply: dict[str, Any]) -> Identity:
    members = tuple(Member(SightingInfo(**m["sighting"]), m["probability"]) for m in reply["members"])
    return Identity(reply["id"], reply["label"], members)
