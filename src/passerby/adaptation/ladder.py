"""Rungs that are maps of embedding parts: learned from some groups of crops, compared on the others.

N crops   P parts   D width of a part
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.adaptation.adapt_result import Rung
from passerby.adaptation.groups import Groups
from passerby.adaptation.linked_maps import learn_linked_maps
from passerby.adaptation.rendered import RenderedPeople
from passerby.adaptation.site import Site
from passerby.errors import DataError
from passerby.metric.part_maps import METHODS, Parts, apply_maps, join_parts, learn_maps, split_parts
from passerby.ranking.camera_normalization import standardize_cameras
from passerby.types import Embeddings, FloatArray, IntArray

logger = logging.getLogger(__name__)

RENDERED_KEPT = 0.6
"""Least mAP on synthetic people, as a fraction of the start's: below it the model is taken for collapsed."""
LINKS = "links"
"""Name of the rung of linked tracks."""
ACROSS = (LINKS, "finetune")
"""Rungs that learn from tracks of several cameras, the better one last."""
ERRORS = 2.0
"""Standard errors by which the gain of a rung must exceed 0."""


@dataclass(frozen=True)
class Start:
    """Embeddings of the model before the adaptation.

    Attributes:
        crops: (N, P D) of the site.
        rendered: Embeddings of the synthetic people.
        parts: P.
        camera_ids: (N,).
    """

    crops: FloatArray
    rendered: FloatArray
    parts: int
    camera_ids: IntArray

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the embeddings, hexadecimal."""
        return hashlib.sha256(self.crops.tobytes() + self.rendered.tobytes()).hexdigest()

    def normalize(self, vectors: FloatArray) -> FloatArray:
        """Normalize (N, P D) vectors of the site per camera."""
        return normalize_cameras(vectors, self.camera_ids)


def normalize_cameras(vectors: FloatArray, camera_ids: IntArray) -> FloatArray:
    """Normalize (N, D) vectors per camera; (N,) cameras."""
    images = Embeddings(np.asarray(vectors, np.float32), np.ones(len(vectors), np.int64), camera_ids)
    return standardize_cameras(images).vectors


def standard_error(gains: NDArray[np.float64]) -> float:
    """Return the standard error of the mean of (G,) gains.

    Example:
        >>> round(standard_error(np.array([0.0, 0.2])), 3)
        0.1
    """
    return float(gains.std(ddof=1) / np.sqrt(len(gains)))


def judge_rung(
    name: str, crops: FloatArray, rendered: FloatArray, *, start: Start, groups: Groups, people: RenderedPeople
) -> Rung:
    """Compare the embeddings of a rung with those of the start.

    Args:
        name: Name of the rung.
        crops: (N, P D) of the site.
        rendered: Embeddings of the synthetic people.
        start: Embeddings of the start.
        groups: With a judge.
        people: The synthetic people.
    """
    assert groups.judge is not None
    before, after = (groups.judge.precision(start.normalize(vectors)) for vectors in (start.crops, crops))
    gains = after - before
    gain, error = float(gains.mean()), standard_error(gains)
    kept = people.mean_precision(rendered) / max(people.mean_precision(start.rendered), 1e-9)
    note = ""
    if kept < RENDERED_KEPT:
        note = f"keeps {100 * kept:.0f} % of the mAP on synthetic people, expected {100 * RENDERED_KEPT:.0f} % or more"
    elif gain <= ERRORS * error:
        note = f"gain not above {ERRORS:g} standard errors, {100 * ERRORS * error:z.1f} points"
    measured = f"{100 * gain:+z.1f} ± {100 * error:.1f} points"
    logger.info("%s: gain %s of held-out mAP: %s", name, measured, f"not accepted: {note}" if note else "accepted")
    return Rung(name, gain, error, kept, note)


def climb_maps(
    start: Start, groups: Groups, people: RenderedPeople, *, site: Site
) -> tuple[tuple[Rung, ...], str | None]:
    """Learn the maps of each method from the groups that are not held out, and compare them on the held-out ones.

    Args:
        start: Embeddings of the start.
        groups: With a judge.
        people: The synthetic people.
        site: The crops.

    Returns:
        The rungs, and the name of the best one, None without one.
    """
    parts, rendered = split_parts(start.crops, start.parts), split_parts(start.rendered, start.parts)
    rungs: list[Rung] = []
    for name in map_rungs(groups):
        try:
            maps, rounds = learn_rung(name, parts, site, groups.learned)
        except DataError as error:
            rungs.append(Rung(name, note=str(error)))
            continue
        crops, images = (join_parts(apply_maps(vectors, maps)) for vectors in (parts, rendered))
        rung = judge_rung(name, crops, images, start=start, groups=groups, people=people)
        rungs.append(replace(rung, details={"rounds": rounds} if rounds else None))
    return tuple(rungs), choose(rungs)


def map_rungs(groups: Groups) -> tuple[str, ...]:
    """Return the names of the rungs of maps; identities need no links."""
    return tuple(METHODS) if groups.kind == "identities" else (*METHODS, LINKS)


def learn_rung(name: str, parts: Parts, site: Site, numbers: IntArray) -> tuple[Parts, list[dict[str, Any]]]:
    """Learn the maps (P, D, D) of a rung from groups of crops; return them with the rounds of linking."""
    if name == LINKS:
        return learn_linked_maps(parts, site, numbers)
    return learn_maps(parts, site.camera_ids, numbers, method=name), []


def choose(rungs: Sequence[Rung]) -> str | None:
    """Return the name of the best accepted rung, None without one.

    It is the one with the largest gain. A rung that learned from pairs of cameras is preferred, because the gain is
    measured within cameras, unless its gain is lower by more than the error.
    """
    accepted = [rung for rung in rungs if rung.accepted]
    if not accepted:
        return None
    best = max(accepted, key=lambda rung: rung.gain or 0.0)
    least = (best.gain or 0.0) - ERRORS * (best.error or 0.0)
    across = [rung for rung in accepted if rung.name in ACROSS and (rung.gain or 0.0) >= least]
    return max(across, key=lambda rung: ACROSS.index(rung.name)).name if across else best.name
