"""Calibration of `identify` on CUHK01: predicted probabilities against observed fractions.

    python benchmarks/identify.py CUHK01 [MODEL ...] [--draws 10]

CUHK01 is the folder of its images (`campus/PPPPIII.png`), MODEL the folder of a calibrated run or `default` (the
default). Half of the 486 test identities, drawn anew for each draw, are enrolled with a label and both images of each
camera. The first image in each camera of all 486 is a query, with the query's own camera in `not_cameras`. Half of the
queries therefore show no labeled identity.

Each model is measured plainly, and with `seen_by`: under camera-wise normalization by the enrolled images.

Columns, in percent, mean over the draws:
`named`           known queries that are given a label
`correct`         labels that are correct, of all labels given (draws without one are left out)
`predicted`       mean probability of the labels given
`error`           expected calibration error of "the best candidate is correct", in ten bins, over all queries
`unknown, correct`, `predicted`  likewise for the result "unknown"
"""

from __future__ import annotations

import argparse

import numpy as np

import passerby
from passerby.gallery.camera_search import CameraViews, search_across
from passerby.gallery.filters import Filter
from passerby.gallery.identify import identify_hits
from passerby.gallery.sightings import Sighting
from passerby.openset.identification import Identification
from passerby.runs.calibrate import load_calibration
from passerby.runtime.model_manifest import model_folder
from passerby.types import Embeddings, Sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cuhk01")
    parser.add_argument("models", nargs="*", default=["default"])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--at-least", type=float, default=0.5)
    chosen = parser.parse_args()
    (data,) = passerby.load_data(f"cuhk01:{chosen.cuhk01}")
    samples = [*data.query, *data.gallery]
    print(
        "| model | named | correct | predicted | error | unknown, correct | predicted |\n| --- |" + " ---: |" * 6,
        flush=True,
    )
    for model in chosen.models:
        embedder = passerby.load(model)
        embedded = _embeddings(embedder.embed(samples), samples)
        calibration = load_calibration(model_folder(model))
        for across, fitted in ((False, calibration), (True, calibration.cameras)):
            if fitted is not None and fitted.identification is not None:
                settings = fitted.identification, model
                rows = [
                    _measure(*_identify(embedded, len(data.query), *settings, seed, chosen.at_least, across))
                    for seed in range(chosen.draws)
                ]
                columns = [f"{np.nanmean(column):.1f}" for column in zip(*rows, strict=True)]
                print(f"| {model}{', seen_by' if across else ''} | {' | '.join(columns)} |", flush=True)


def _embeddings(vectors: np.ndarray, samples: list[Sample]) -> Embeddings:
    identities, cameras = (
        np.array([getattr(sample, name) for sample in samples]) for name in ("person_id", "camera_id")
    )
    return Embeddings(vectors, identities, cameras)


def _identify(
    embedded: Embeddings,
    queries: int,
    line: Identification,
    model: str,
    seed: int,
    at_least: float,
    across: bool,
) -> tuple[np.ndarray, ...]:
    """(Q,) known, named, correct, probability of the result; best candidate correct, probability of the candidate."""
    identities = np.unique(embedded.person_ids)
    known = set(np.random.default_rng(seed).permutation(identities)[: len(identities) // 2].tolist())
    gallery = passerby.Gallery("memory", model=model)
    images = list(zip(embedded.vectors, embedded.person_ids.tolist(), embedded.camera_ids.tolist(), strict=True))
    gallery.store.add(
        [
            Sighting(camera=str(camera), label=str(identity), vector=vector, source=str(index))
            for index, (vector, identity, camera) in enumerate(images)
            if identity in known
        ]
    )
    views = CameraViews(gallery.store) if across else None
    rows = []
    for vector, identity, camera in images[:queries]:
        where = Filter(not_cameras=[str(camera)], labeled=True)
        if views is None:
            (hits,) = gallery.store.search(vector, top=100, where=where)
        else:
            (hits,) = search_across(gallery.store, views, vector, seen_by=str(camera), top=100, where=where)
        result = identify_hits(hits, labels=len(known), line=line, at_least=at_least)
        best = result.candidates[0]
        correct = result.label == str(identity) if result.label else identity not in known
        best_correct = best.label == str(identity)
        is_named = result.label is not None
        rows.append((identity in known, is_named, correct, result.probability, best_correct, best.probability))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def _measure(
    known: np.ndarray,
    named: np.ndarray,
    correct: np.ndarray,
    probability: np.ndarray,
    best_correct: np.ndarray,
    best_probability: np.ndarray,
) -> list[float]:
    """The columns of the table, in percent."""
    bins = np.minimum((best_probability * 10).astype(int), 9)
    gaps = [best_correct[bins == b].sum() - best_probability[bins == b].sum() for b in range(10)]
    error = sum(map(abs, gaps)) / len(best_correct)
    labels = (correct[named].mean(), probability[named].mean()) if named.any() else (np.nan, np.nan)
    unknown = correct[~named].mean(), probability[~named].mean()
    return [100 * float(value) for value in (named[known].mean(), *labels, error, *unknown)]


if __name__ == "__main__":
    main()
