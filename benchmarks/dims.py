"""What narrower vectors cost: Rank-1 and mAP of projected vectors, by what the projection was fitted to.

    python benchmarks/dims.py CUHK01 [MODEL ...]

CUHK01 is the folder of its images, MODEL the folder of a run or `default` (the default). Test people are the 486 test
identities of CUHK01, Market-1501 protocol, and 199 rendered identities. A projection is fitted to rendered people of
another seed (those of the default model's calibration), or to the 485 training identities of CUHK01. `parts` keeps the
same number of directions of each part of a model of four parts, fitted to the rendered people. Last, the mean absolute
difference of the probabilities (prior 0.5) of all test pairs of CUHK01 between projected and whole vectors, with the
calibration of the whole vectors and with that of the projected ones.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

import passerby
from measure import machine
from passerby.runs.calibrate import calibrate_embeddings
from passerby.runtime.embedder import Embedder
from passerby.runtime.projection import Projection, fit_projection
from passerby.types import Embeddings

FIT = "synth:identities=500,cameras=100,images=2,seed=2,views=4,test=1"
TEST = "synth:identities=200,cameras=100,images=2,seed=12,views=4,test=199"
DIMS = (64, 128, 256, 512)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cuhk01")
    parser.add_argument("models", nargs="*", default=["default"])
    chosen = parser.parse_args()
    print(machine())
    for model in chosen.models:
        measure_model(model, passerby.load(model), chosen.cuhk01)


def measure_model(name: str, embedder: Embedder, cuhk01: str) -> None:
    (real,), (fit,), (rendered,) = (passerby.load_data(spec) for spec in (f"cuhk01:{cuhk01}", FIT, TEST))
    fitted, trained = (embedder.embed_samples(data.train) for data in (fit, real))
    tests = [(embedder.embed_samples(data.query), embedder.embed_samples(data.gallery)) for data in (real, rendered)]
    width = embedder.width
    print(f"\n{name}\n\n| dims | fitted to | CUHK01 test | rendered |\n| ---: | --- | ---: | ---: |")
    print(f"| {width} | | {' | '.join(score(*sides, None) for sides in tests)} |", flush=True)
    by_data = {
        "rendered": fit_projection([fitted.vectors], data=FIT),
        "CUHK01 training": fit_projection([trained.vectors], data="cuhk01"),
    }
    for dims in (dims for dims in DIMS if dims < width):
        kinds = {what: projection.take(dims) for what, projection in by_data.items()}
        if embedder.manifest.get("model", {}).get("parts") == 4:
            kinds["parts"] = parts(fitted, dims)
        for what, projection in kinds.items():
            print(f"| {dims} | {what} | {' | '.join(score(*sides, projection) for sides in tests)} |", flush=True)
    print("\n| dims | calibration of the whole vectors | of the projected vectors |\n| ---: | ---: | ---: |")
    whole = calibrate_embeddings([fitted], spec=FIT, trained_on=False)
    query, gallery = tests[0]
    truth = whole.probability(1 - query.vectors @ gallery.vectors.T)
    for dims in (dims for dims in DIMS if dims < width):
        projection = by_data["rendered"].take(dims)
        own = calibrate_embeddings([projected(fitted, projection)], spec=FIT, trained_on=False)
        sides = [projected(side, projection).vectors for side in (query, gallery)]
        distances = 1 - sides[0] @ sides[1].T
        errors = [np.abs(item.probability(distances) - truth).mean() for item in (whole, own)]
        print(f"| {dims} | {errors[0]:.4f} | {errors[1]:.4f} |", flush=True)


def parts(fitted: Embeddings, dims: int) -> Projection:
    """Keep `dims` / 4 directions of each of four parts of the vectors."""
    width = fitted.vectors.shape[1] // 4
    rows = np.zeros((dims, 4 * width), np.float32)
    for part in range(4):
        columns = slice(part * width, (part + 1) * width)
        own = fit_projection([fitted.vectors[:, columns]], data=FIT)
        kept = dims // 4
        rows[part * kept : (part + 1) * kept, columns] = own.components[:kept]
    return Projection(rows, FIT, len(fitted))


def projected(side: Embeddings, projection: Projection) -> Embeddings:
    return replace(side, vectors=projection.apply(side.vectors))


def score(query: Embeddings, gallery: Embeddings, projection: Projection | None) -> str:
    """Rank-1 / mAP in percent."""
    sides = [query, gallery] if projection is None else [projected(side, projection) for side in (query, gallery)]
    scores = passerby.score(*sides)
    return f"{100 * scores.rank1:.1f} / {100 * scores.mAP:.1f}"


if __name__ == "__main__":
    main()
