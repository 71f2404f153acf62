"""Who is it: the label of somebody in the gallery with a calibrated probability, or nobody that it knows.

Exactly one of the labels, or nobody, is right. With r(k) what the distance to the nearest sighting of label k is worth,
as `passerby.openset.identification` has learned it from galleries of other people,

    p(k) = (1 - u) / K * r(k) / (u + (1 - u) / K * sum of r)

for K labels and the share u of queries that show nobody of them. `docs/results.md` has how far that can be believed
where it was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from passerby.errors import GalleryError
from passerby.gallery.sightings import Hit
from passerby.openset.identification import Identification


@dataclass(frozen=True)
class Candidate:
    """Somebody whom a query may show.

    Attributes:
        label: Who.
        probability: That the query shows them, 0 to 1.
        hit: Their nearest sighting.
    """

    label: str
    probability: float
    hit: Hit


@dataclass(frozen=True)
class Identity:
    """An answer to one query.

    Attributes:
        label: Who it is; None is unknown.
        probability: Of `label`, or of being nobody that the gallery knows, 0 to 1.
        candidates: The labels that were near, most probable first.
    """

    label: str | None
    probability: float
    candidates: tuple[Candidate, ...]


def identify_hits(
    hits: Sequence[Hit], *, labels: int, line: Identification, unknown: float = 0.5, at_least: float = 0.5
) -> Identity:
    """Turn one query's nearest labeled sightings into an answer.

    Labels that are not among `hits` are taken to be as far as the last of them: what is said of the others is then a
    little too low, never too high.

    Args:
        hits: Nearest first, every one labeled; those of one label may be many.
        labels: K, how many different labels passed the filter.
        line: What the model's distances are worth.
        unknown: u, the share of queries that show nobody with a label; between 0 and 1.
        at_least: A name is given from this probability on; 0 to 1.

    Raises:
        GalleryError: For a probability out of its range.
    """
    if not 0 < unknown < 1:
        raise GalleryError(f"unknown: got {unknown}, expected a share between 0 and 1, both excluded")
    if not 0 <= at_least <= 1:
        raise GalleryError(f"at_least: got {at_least}, expected a probability from 0 to 1")
    nearest: dict[str, Hit] = {}
    for hit in hits:
        assert hit.label is not None
        nearest.setdefault(hit.label, hit)
    if not nearest:
        return Identity(None, 1.0, ())
    ratios = line.log_ratio([hit.distance for hit in nearest.values()]) + np.log((1 - unknown) / labels)
    rest = labels - len(nearest)
    others = line.log_ratio(hits[-1].distance) + np.log((1 - unknown) / labels)
    total = logsumexp([*ratios, others, np.log(unknown)], b=[*np.ones(len(ratios)), max(rest, 0), 1])
    candidates = tuple(
        Candidate(label, float(np.exp(ratio - total)), hit)
        for (label, hit), ratio in zip(nearest.items(), ratios, strict=True)
    )
    best = candidates[0]  # the nearest: the ratio never rises with the distance
    nobody = float(np.exp(np.log(unknown) - total))
    return (
        Identity(best.label, best.probability, candidates)
        if best.probability >= at_least
        else Identity(None, nobody, candidates)
    )
