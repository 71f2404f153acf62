"""Review of a gallery: questions, answers, and the identities that follow.

The algorithms are pure functions in `passerby.reviewing`; this module reads the gallery, calls them, and stores.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from passerby.errors import GalleryError
from passerby.gallery.review_results import AnswerTable, Contradiction, Identity, Member, ReviewQuestion
from passerby.gallery.review_scene import ReviewScene, SceneReader
from passerby.gallery.sightings import SightingInfo, require_label
from passerby.gallery.stores.protocol import GalleryStore
from passerby.gallery.stores.sqlite_answers import ReviewAction
from passerby.gallery.survey import Survey
from passerby.openset.calibration import Calibration
from passerby.reviewing.answers import Answer, Verdict, read_answers, write_answers
from passerby.reviewing.defaults import ERROR_RATE, PAIR_PRIOR
from passerby.reviewing.identities import Grouping
from passerby.reviewing.links import find_ties
from passerby.reviewing.membership import rate_members
from passerby.reviewing.naming import assign_new, match_identities
from passerby.reviewing.population import PopulationEstimate
from passerby.reviewing.questions import choose_questions
from passerby.text import plural
from passerby.types import IntArray


class Review:
    """Review of the identities of a gallery.

    Args:
        store: Store of the gallery.
        calibration: Calibration of its model; the one of distances normalized per camera is used where it has one and
            the gallery has enough sightings.
        prior: Prior probability that a pair of sightings shows one person.
        error_rate: Assumed fraction of wrong answers, above 0 and below 0.5.

    Raises:
        GalleryError: If the store keeps no answers, or a number is outside its range.

    Example:
        >>> from passerby.gallery.crops import list_crops
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     _ = gallery.enroll(list_crops("crops", folders="camera"))
        ...     review = gallery.review()
        ...     for question in review.questions(5):
        ...         _ = review.answer(question.first, question.second, "different")
        ...     identities = review.identities()
        >>> sum(len(identity.members) for identity in identities) == len(list(Path("crops").rglob("*.jpg")))
        True
    """

    def __init__(
        self,
        store: GalleryStore,
        calibration: Calibration,
        *,
        prior: float = PAIR_PRIOR,
        error_rate: float = ERROR_RATE,
    ) -> None:
        for name, value, top in (("prior", prior, 1.0), ("error_rate", error_rate, 0.5)):
            if not 0 < value < top:
                raise GalleryError(f"{name}: got {value}, expected a number above 0 and below {top:g}")
        self._table = store.answers
        self._scenes = SceneReader(store, calibration, prior=prior, error_rate=error_rate)
        self._survey = Survey(self._table, self._scenes)

    def questions(self, count: int = 20) -> list[ReviewQuestion]:
        """Return the questions whose answers are worth most, the most valuable first; see `choose_questions`.

        They can be answered in any order. None is implied by the answers given so far.

        Args:
            count: Largest number of questions, at least 1.

        Raises:
            GalleryError: If `count` is below 1.
        """
        if count < 1:
            raise GalleryError(f"questions: got {count}, expected at least 1")
        scene, grouping = self._scenes.group()
        return [
            ReviewQuestion(
                scene.ids[q.first],
                scene.ids[q.second],
                q.reason,
                q.probability,
                q.value if np.isfinite(q.value) else None,
                *(tuple(scene.ids[member] for member in side) for side in q.members),
            )
            for q in choose_questions(scene.graph, grouping, count=count)
        ]

    def answer(self, first: str, second: str, answer: Verdict, *, reason: str = "") -> int:
        """Store an answer about two sightings; return the number of the action, for `undo`.

        Raises:
            GalleryError: For an id that is not in the gallery.
            DataError: For another answer than `same`, `different` or `unknown`.
        """
        return self._table.add([Answer(first, second, answer, reason=reason)])

    def answers(self) -> AnswerTable:
        """Return the answers that count, and those that contradict each other."""
        scene, grouping = self._scenes.group()
        pairs = [(scene.ids[a], scene.ids[b]) for a, b in grouping.votes.pairs.tolist()]
        contradictions = [
            Contradiction(pairs[conflict.link], tuple(pairs[link] for link in conflict.against if link < len(pairs)))
            for conflict in grouping.links.conflicts
            if conflict.link < len(pairs)
        ]
        contradictions += [
            Contradiction(pairs[link], (pairs[link],)) for link in find_ties(grouping.votes, grouping.links).tolist()
        ]
        return AnswerTable(tuple(self._table.read()), tuple(contradictions))

    def identities(self) -> list[Identity]:
        """Return the identities, the largest first, and store which sightings belong to them."""
        scene, grouping = self._scenes.group()
        stored = self._table.identities()
        known = self._table.members()
        index = {name: number for number, name in enumerate(scene.ids)}
        anchors = {identity.id: index[identity.anchor] for identity in stored if identity.anchor in index}
        previous = [known[name][0] if name in known else None for name in scene.ids]
        names = match_identities(grouping.groups.tolist(), previous, anchors, lambda: uuid.uuid4().hex)
        chances = rate_members(scene.graph, grouping)
        members = {
            name: (names[group], chance)
            for name, group, chance in zip(scene.ids, grouping.groups.tolist(), chances.tolist(), strict=True)
        }
        if members != known:
            self._table.set_members(members)
        return self._list(scene)

    def known_identities(self) -> set[str]:
        """Return the ids of all stored identities, those without sightings too."""
        return {identity.id for identity in self._table.identities()}

    def assign(self) -> dict[str, tuple[str, float]]:
        """Assign the sightings that have no identity yet, without changing the others; see `assign_new`.

        Returns:
            Identity and probability of each new sighting.
        """
        scene = self._scenes.read()
        known = self._table.members()
        names: list[str] = [*dict.fromkeys(identity for identity, _ in known.values())]
        numbers = {name: number for number, name in enumerate(names)}
        groups = np.array([numbers[known[name][0]] if name in known else -1 for name in scene.ids], np.int64)
        new = np.flatnonzero(groups < 0)
        groups, chances = assign_new(scene.graph.vectors, scene.graph.cameras, groups, new, scene.model)
        names += [uuid.uuid4().hex for _ in range(len(names), int(groups.max(initial=-1)) + 1)]
        assigned = {
            scene.ids[i]: (names[groups[i]], float(chance)) for i, chance in zip(new.tolist(), chances, strict=True)
        }
        self._table.set_members(assigned)
        return assigned

    def survey(self, units: int = 100) -> list[ReviewQuestion]:
        """Draw sightings to estimate the number of people; return the questions that are open about them.

        Answer them and call it again until there is none: an answer may lead to another question.

        Args:
            units: Number of drawn sightings, those of earlier calls included, as long as no sighting is added.

        Raises:
            GalleryError: If `units` is below 2.
        """
        return self._survey.questions(units)

    def population(self, *, level: float = 0.9) -> PopulationEstimate:
        """Estimate the number of people from the answers to a survey; see `estimate_population`.

        Args:
            level: Probability that the interval is made for.

        Raises:
            DataError: If fewer than two drawn sightings are settled, or for a level outside its range.
        """
        return self._survey.estimate(level=level)

    def merge(self, identities: Sequence[str]) -> int:
        """Answer that identities are one person; return the number of the action.

        Raises:
            GalleryError: For fewer than two identities, or an unknown one.
        """
        if len(set(identities)) < 2:
            raise GalleryError(f"merge: got {', '.join(identities) or 'nothing'}, expected two or more identities")
        scene, grouping = self._scenes.group()
        members = [i for name in dict.fromkeys(identities) for i in self._require_members(scene, name)]
        parts = [scene.ids[members[i]] for i in _find_parts(scene, grouping, np.array(members))]
        links = [Answer(a, b, "same", reason="merge") for a, b in pairwise(parts)]
        if not links:
            raise GalleryError("merge: the identities are one group already; call `identities` first")
        return self._table.add(links, kind="merge")

    def split(self, sightings: Sequence[str]) -> int:
        """Answer that sightings show one person, and another one than the rest of their identity.

        Returns:
            Number of the action.

        Raises:
            GalleryError: For sightings of several identities, a whole identity, or an unknown sighting.
        """
        chosen = list(dict.fromkeys(sightings))
        known = self._table.members()
        names = {known[name][0] if name in known else None for name in chosen}
        if len(names) != 1 or None in names:
            raise GalleryError(
                f"split: {plural(len(chosen), 'sighting')} of {plural(len(names), 'identity')}, expected sightings of "
                "one identity"
            )
        rest = [name for name, (identity, _) in known.items() if identity in names and name not in chosen]
        if not rest:
            raise GalleryError("split: these are all sightings of the identity; leave some of them out")
        links = [Answer(a, b, "same", reason="split") for a, b in pairwise(chosen)]
        links += [Answer(chosen[0], other, "different", reason="split") for other in rest]
        return self._table.add(links, kind="split")

    def rename(self, identity: str, label: str | None) -> int:
        """Set the name of an identity, None to remove it; return the number of the action.

        Raises:
            GalleryError: For an unknown identity, or a name that is not 1 to 255 printable characters.
        """
        require_label("rename", "label", label)
        return self._table.rename(identity, label)

    def remove(self, sightings: Sequence[str]) -> int:
        """Remove sightings from the gallery so that `undo` restores them; return the number of the action.

        No search, list or export returns them. They stay in the gallery's files until `Gallery.forget` erases them or
        they are past the retention.

        Raises:
            GalleryError: If one is not in the gallery, or none is given; nothing is removed then.
        """
        return self._table.remove(list(dict.fromkeys(sightings)))

    def undo(self, action: int | None = None) -> int:
        """Undo an action, None for this user's latest; return its number. It stays in the history.

        Raises:
            GalleryError: If there is no such action, it is undone, its identity was renamed again, or what it removed
                was erased.
        """
        return self._table.undo(action)

    def history(self) -> list[ReviewAction]:
        """Return all actions, oldest first."""
        return self._table.history()

    def export_answers(self, path: str | Path) -> int:
        """Write the answers that count to a CSV or Parquet file; see `write_answers`."""
        return write_answers(self._table.read(), path)

    def import_answers(self, path: str | Path) -> int:
        """Add the answers of a file that `export_answers` or another program wrote; return their number.

        Answers that are present, with the same user and time, are not added again.

        Raises:
            GalleryError: For a sighting that is not in the gallery; nothing is added then.
            DataError: If the file cannot be read.
        """
        present = {(a.first, a.second, a.answer, a.user, a.time) for a in self._table.read()}
        answers = [a for a in read_answers(path) if (a.first, a.second, a.answer, a.user, a.time) not in present]
        if answers:
            self._table.add(answers, kind="import")
        return len(answers)

    def _require_members(self, scene: ReviewScene, identity: str) -> list[int]:
        members = {name for name, (owner, _) in self._table.members().items() if owner == identity}
        if not members:
            raise GalleryError(f"identity {identity!r}: no sighting has it; see the list of identities")
        return [number for number, name in enumerate(scene.ids) if name in members]

    def _list(self, scene: ReviewScene) -> list[Identity]:
        known, labels = self._table.members(), {identity.id: identity.label for identity in self._table.identities()}
        members: dict[str, list[Member]] = {}
        for info in scene.infos:
            identity, chance = known[info.id]
            members.setdefault(identity, []).append(Member(info, chance))
        identities = [
            Identity(name, labels[name], tuple(sorted(group, key=lambda member: _by_time(member.sighting))))
            for name, group in members.items()
        ]
        return sorted(identities, key=lambda identity: (-len(identity.members), identity.id))


def _find_parts(scene: ReviewScene, grouping: Grouping, members: IntArray) -> list[int]:
    """Return one index of each part of the members that neither distances nor a label keep together.

    It is that of a sighting with a label, if the part has one: an answer about it is one about the label.
    """
    labels = np.full(len(members), -1)
    if scene.graph.labels is not None:
        labels = np.where(grouping.links.names[members] >= 0, scene.graph.labels[members], -1)
    order = np.argsort(labels < 0, kind="stable")
    _, first = np.unique(grouping.clusters[members[order]], return_index=True)
    chosen = order[np.sort(first)]
    _, named = np.unique(labels[chosen], return_index=True)
    return [number for i, number in enumerate(chosen.tolist()) if labels[number] < 0 or i in named]


def _by_time(sighting: SightingInfo) -> tuple[float, str, str]:
    return (np.inf if sighting.time is None else sighting.time, sighting.camera, sighting.id)
