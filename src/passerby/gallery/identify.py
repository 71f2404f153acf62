"""Open-set identification: the label of a gallery with a calibrated probability, or unknown.

Exactly one of the K labels, or none of them, is right. With the likelihood ratio r(k) of the distance to the nearest
sighting of label k (`passerby.openset.identification`, fitted on galleries of other people) and the prior probability u
that the query shows none of the labels,

    p(k) = (1 - u) / K * r(k) / (u + (1 - u) / K * sum of r).

docs/results.md has measurements of how far these probabilities hold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from passerby.errors import GalleryError, argument
from passerby.gallery.results import Candidate, IdentifyResult
from passerby.gallery.sightings import Hit
from passerby.openset.identification import Identification


def identify_hits(
    hits: Sequence[Hit], *, labels: int, line: Identification, unknown: float = 0.5, at_least: float = 0.5
) -> IdentifyResult:
    """Compute the probability of each label from the nearest labeled sightings of one query.

    Labels without a hit count as far as the last hit, so that the probabilities of the others are slightly too low and
    never too high.

    Args:
        hits: Nearest first, all labeled; a label may occur several times.
        labels: K, number of different labels that pass the filter.
        line: Log likelihood ratio of the model's distances.
        unknown: u, prior probability that the query shows none of the labels; between 0 and 1.
        at_least: Least probability for an answer, a label or unknown, 0 to 1.

    Raises:
        GalleryError: If a probability is outside its range.

    Example:
        >>> line = passerby.openset.identification.Identification(slope=12.0, offset=6.0)
        >>> identify_hits([Hit(camera="north", label="Ada", distance=0.1)], labels=1, line=line)
        IdentifyResult(label='Ada', probability=0.992, candidates=1)
    """
    if not 0 < unknown < 1:
        raise GalleryError(
            f"{argument('unknown')}: got {unknown}, expected a probability between 0 and 1, both excluded"
        )
    if not 0 <= at_least <= 1:
        raise GalleryError(f"{argument('at_least')}: got {at_least}, expected a probability from 0 to 1")
    nearest: dict[str, Hit] = {}
    for hit in hits:
        assert hit.label is not None
        nearest.setdefault(hit.label, hit)
    if not nearest:
        return IdentifyResult(None, 1.0)
    prior = np.log((1 - unknown) / labels)
    terms = line.log_ratio([hit.distance for hit in nearest.values()]) + prior  # (labels with a hit,)
    total = np.logaddexp(np.logaddexp.reduce(terms), np.log(unknown))
    if labels > len(nearest):
        others = line.log_ratio(hits[-1].distance) + prior + np.log(labels - len(nearest))
        total = np.logaddexp(total, others)
    candidates = tuple(
        Candidate(label, float(np.exp(term - total)), hit)
        for (label, hit), term in zip(nearest.items(), terms, strict=True)
    )
    best = candidates[0]  # the nearest: the ratio does not increase with the distance
    if best.probability >= at_least:
        return IdentifyResult(best.label, best.probability, candidates, "identified")
    none = float(np.exp(np.log(unknown) - total))
    return IdentifyResult(None, none, candidates, "unknown" if none >= at_least else "not sure")
