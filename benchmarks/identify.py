"""How far can `identify` be believed on real people? What it says, against what is so, on CUHK01.

    python benchmarks/identify.py CUHK01 [MODEL ...] [--draws 10]

CUHK01 is the folder of its images (`campus/PPPPIII.png`); MODEL the folder of a calibrated run, or `default`, which
it is when none is named. Of the 486 test people a half, drawn anew each time, are enrolled by name with
both images of each camera; the first image in each camera of all 486 is asked for, with `not_cameras` the query's own.
So a half of the queries shows nobody with a label, which is what `unknown` says.

Each model plainly, and with `seen_by`: under camera-wise normalization, by what is enrolled.

`named`  known people who are given a name, and of all names given how many are right (draws without one left out)
`said`   the mean probability of the names that were given
`error`  expected calibration error of "it is the best candidate", in ten bins of equal width, over all queries
`knows`  of the answers "unknown", how many are right; and what was said
"""

from __future__ import annotations

import argparse

import numpy as np

import passerby
from passerby.gallery.camera_search import CameraViews, search_across
from passerby.gallery.filters import Filter
from passerby.gallery.identify import identify_hits
from passerby.gallery.sightings import Sighting
from passerby.model.weights import model_folder
from passerby.openset.identification import Identification
from passerby.runs.calibrate import load_calibration
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
    print("| model | named | right | said | error | unknown, right | said |\n| --- |" + " ---: |" * 6, flush=True)
    for model in chosen.models:
        embedder = passerby.load(model)
        embedded = _embeddings(embedder.embed(samples), samples)
        calibration = load_calibration(model_folder(model))
        for across, known in ((False, calibration), (True, calibration.cameras)):
            if known is not None and known.identification is not None:
                rows = [
                    _figures(
                        *_answers(embedded, len(data.query), known.identification, model, seed, chosen.at_least, across)
                    )
                    for seed in range(chosen.draws)
                ]
                columns = [f"{np.nanmean(column):.1f}" for column in zip(*rows, strict=True)]
                print(f"| {model}{', seen_by' if across else ''} | {' | '.join(columns)} |", flush=True)


def _embeddings(vectors: np.ndarray, samples: list[Sample]) -> Embeddings:
    people, cameras = (np.array([getattr(each, name) for each in samples]) for name in ("person_id", "camera_id"))
    return Embeddings(vectors, people, cameras)


def _answers(
    embedded: Embeddings,
    queries: int,
    line: Identification,
    model: str,
    seed: int,
    at_least: float,
    across: bool,
) -> tuple[np.ndarray, ...]:
    """For every query: known, named, right, the probability said, and best candidate right, its probability."""
    people = np.unique(embedded.person_ids)
    known = set(np.random.default_rng(seed).permutation(people)[: len(people) // 2].tolist())
    gallery = passerby.Gallery("memory", model=model)
    gallery.store.add(
        [
            Sighting(camera=str(camera), label=str(person), vector=vector, source=str(place))
            for place, (vector, person, camera) in enumerate(
                zip(embedded.vectors, embedded.person_ids.tolist(), embedded.camera_ids.tolist(), strict=True)
            )
            if person in known
        ]
    )
    views = CameraViews(gallery.store) if across else None
    found = []
    for vector, person, camera in zip(
        embedded.vectors[:queries], embedded.person_ids.tolist(), embedded.camera_ids.tolist(), strict=False
    ):
        where = Filter(not_cameras=[str(camera)], labeled=True)
        if views is None:
            (hits,) = gallery.store.search(vector, top=100, where=where)
        else:
            (hits,) = search_across(gallery.store, views, vector, seen_by=str(camera), top=100, where=where)
        answer = identify_hits(hits, labels=len(known), line=line, at_least=at_least)
        first = answer.candidates[0]
        right = answer.label == str(person) if answer.label else person not in known
        best = first.label == str(person), first.probability
        found.append((person in known, answer.label is not None, right, answer.probability, *best))
    return tuple(np.array(column) for column in zip(*found, strict=True))


def _figures(
    known: np.ndarray, named: np.ndarray, right: np.ndarray, said: np.ndarray, best: np.ndarray, chance: np.ndarray
) -> list[float]:
    """The columns of the table, in percent."""
    bins = np.minimum((chance * 10).astype(int), 9)
    error = sum(abs(best[bins == each].sum() - chance[bins == each].sum()) for each in range(10)) / len(best)
    given = (right[named].mean(), said[named].mean()) if named.any() else (np.nan, np.nan)
    names = named[known].mean(), *given
    return [100 * float(value) for value in (*names, error, right[~named].mean(), said[~named].mean())]


if __name__ == "__main__":
    main()
