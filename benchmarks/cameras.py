"""Camera-wise normalization with few images per camera: accuracy, and the weight of the camera's own statistics.

    python benchmarks/cameras.py CUHK01 [MODEL ...]

CUHK01 is the folder of its images, MODEL the folder of a run or `default` (the default). The images are those of the
485 *training* identities of the split, because the weight is chosen on them: the first image of an identity in a camera
is a query, the second is in the gallery, Market-1501 protocol. The statistics of a camera come from n gallery images,
mean of 5 draws. `PRIOR_IMAGES` is the number of images at which a camera and all cameras together have the same weight.
Last: the fraction of the ten nearest under normalization that `search_across` returns.
"""

from __future__ import annotations

import argparse

import numpy as np

import passerby
from passerby.gallery.camera_search import CameraViews, search_across
from passerby.gallery.filters import Filter
from passerby.gallery.sightings import Sighting
from passerby.ranking.camera_normalization import CameraStatistics
from passerby.types import Embeddings

PRIORS = (0, 3, 10, 30, 100)
DRAWS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cuhk01")
    parser.add_argument("models", nargs="*", default=["default"])
    chosen = parser.parse_args()
    (data,) = passerby.load_data(f"cuhk01:{chosen.cuhk01}")
    samples = sorted(data.train, key=lambda sample: str(sample.path))
    identities, cameras = (
        np.array([getattr(sample, name) for sample in samples]) for name in ("person_id", "camera_id")
    )
    keys = list(zip(identities.tolist(), cameras.tolist(), strict=True))
    first = np.array([index == 0 or keys[index] != keys[index - 1] for index in range(len(keys))])
    for model in chosen.models:
        vectors = passerby.load(model).embed(samples)
        query, gallery = (Embeddings(vectors[rows], identities[rows], cameras[rows]) for rows in (first, ~first))
        plain = passerby.score(query, gallery)
        print(f"\n{model}, plain: {100 * plain.rank1:.1f} / {100 * plain.mAP:.1f}\n")
        print(f"| n | {' | '.join(f'PRIOR_IMAGES {prior}' for prior in PRIORS)} |\n| ---: |" + " ---: |" * 5)
        for count in (5, 10, 20, 50, 100, 485):
            drawn = [_draw_statistics(gallery, count, np.random.default_rng(seed)) for seed in range(DRAWS)]
            row = [_score(query, gallery, drawn, count, prior) for prior in PRIORS]
            print(f"| {count} | {' | '.join(row)} |", flush=True)
        percent = 100 * _measure_search(model, query, gallery)
        print(f"\nof the ten nearest, a search of the gallery returns {percent:.1f} %")


def _draw_statistics(gallery: Embeddings, count: int, generator: np.random.Generator) -> dict[int, CameraStatistics]:
    cameras = np.unique(gallery.camera_ids).tolist()
    rows = [generator.permutation(np.flatnonzero(gallery.camera_ids == camera))[:count] for camera in cameras]
    return {
        camera: CameraStatistics.from_vectors(gallery.vectors[indices])
        for camera, indices in zip(cameras, rows, strict=True)
    }


def _shrink(statistics: dict[int, CameraStatistics], count: int, prior: int) -> dict[int, CameraStatistics]:
    overall = CameraStatistics.merge(list(statistics.values()), [count] * len(statistics))
    return {camera: own.shrink(overall, prior / (prior + count)) for camera, own in statistics.items()}


def _standardized(side: Embeddings, statistics: dict[int, CameraStatistics]) -> Embeddings:
    vectors = np.empty_like(side.vectors)
    for camera, own in statistics.items():
        rows = side.camera_ids == camera
        vectors[rows] = own.standardize(side.vectors[rows])
    return Embeddings(vectors, side.person_ids, side.camera_ids)


def _score(
    query: Embeddings, gallery: Embeddings, drawn: list[dict[int, CameraStatistics]], count: int, prior: int
) -> str:
    """Rank-1 / mAP in percent."""
    scores = [
        passerby.score(*(_standardized(side, _shrink(statistics, count, prior)) for side in (query, gallery)))
        for statistics in drawn
    ]
    return f"{100 * np.mean([one.rank1 for one in scores]):.1f} / {100 * np.mean([one.mAP for one in scores]):.1f}"


def _measure_search(model: str, query: Embeddings, gallery: Embeddings, top: int = 10) -> float:
    """Fraction of the `top` nearest under normalization that a search of the gallery returns."""
    store = passerby.Gallery("memory", model=model).store
    columns = (gallery.vectors, gallery.camera_ids.tolist(), range(len(gallery)))
    store.add([Sighting(vector=v, camera=str(camera), source=str(n)) for v, camera, n in zip(*columns, strict=True)])
    statistics = CameraViews(store)
    named = {camera: statistics[str(camera)] for camera in np.unique(gallery.camera_ids).tolist()}
    query_vectors, gallery_vectors = (_standardized(side, named).vectors for side in (query, gallery))
    fractions = []
    for index in range(0, len(query), 5):
        nearest = np.argsort(-(gallery_vectors @ query_vectors[index]))[:top]
        camera = str(query.camera_ids[index])
        (hits,) = search_across(store, statistics, query.vectors[index], seen_by=camera, top=top, where=Filter())
        fractions.append(len({int(hit.source) for hit in hits} & set(nearest.tolist())) / top)
    return float(np.mean(fractions))


if __name__ == "__main__":
    main()
