"""Camera-wise normalization with few sightings of a camera: what it is worth, and how much they should count.

    python benchmarks/cameras.py CUHK01 [MODEL ...]

CUHK01 is the folder of its images; MODEL the folder of a run, or `default`, which it is when none is named. The 485
*training* people of the split, so that the weight could be chosen here: each one's first image in a camera is a query,
the second stands in the gallery, Market rule. Views are learned from n gallery images of each camera, mean of 5 draws;
`PRIOR_IMAGES` is how many images a camera must have before it counts for as much as all together. Last: how many of
the ten nearest under normalization `search_across` finds.
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

DOUBTS = (0, 3, 10, 30, 100)
DRAWS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cuhk01")
    parser.add_argument("models", nargs="*", default=["default"])
    chosen = parser.parse_args()
    (data,) = passerby.load_data(f"cuhk01:{chosen.cuhk01}")
    samples = sorted(data.train, key=lambda each: str(each.path))
    people, cameras = (np.array([getattr(each, name) for each in samples]) for name in ("person_id", "camera_id"))
    seen = list(zip(people.tolist(), cameras.tolist(), strict=True))
    first = np.array([place == 0 or seen[place] != seen[place - 1] for place in range(len(seen))])
    for model in chosen.models:
        vectors = passerby.load(model).embed(samples)
        query, gallery = (Embeddings(vectors[rows], people[rows], cameras[rows]) for rows in (first, ~first))
        plain = passerby.score(query, gallery)
        print(f"\n{model}, plain: {100 * plain.rank1:.1f} / {100 * plain.mAP:.1f}\n")
        print(f"| n | {' | '.join(f'PRIOR_IMAGES {doubt}' for doubt in DOUBTS)} |\n| ---: |" + " ---: |" * 5)
        for count in (5, 10, 20, 50, 100, 485):
            drawn = [_views(gallery, count, np.random.default_rng(seed)) for seed in range(DRAWS)]
            row = [_figures(query, gallery, drawn, count, doubt) for doubt in DOUBTS]
            print(f"| {count} | {' | '.join(row)} |", flush=True)
        print(f"\nof the ten nearest, a gallery's search brings {100 * _found(model, query, gallery):.1f} %")


def _views(gallery: Embeddings, count: int, generator: np.random.Generator) -> dict[int, CameraStatistics]:
    cameras = np.unique(gallery.camera_ids).tolist()
    rows = [generator.permutation(np.flatnonzero(gallery.camera_ids == camera))[:count] for camera in cameras]
    return {
        camera: CameraStatistics.from_vectors(gallery.vectors[some]) for camera, some in zip(cameras, rows, strict=True)
    }


def _mixed(views: dict[int, CameraStatistics], count: int, doubt: int) -> dict[int, CameraStatistics]:
    general = CameraStatistics.merge(list(views.values()), [count] * len(views))
    return {camera: view.shrink(general, doubt / (doubt + count)) for camera, view in views.items()}


def _standardized(side: Embeddings, views: dict[int, CameraStatistics]) -> Embeddings:
    vectors = np.empty_like(side.vectors)
    for camera, view in views.items():
        rows = side.camera_ids == camera
        vectors[rows] = view.standardize(side.vectors[rows])
    return Embeddings(vectors, side.person_ids, side.camera_ids)


def _figures(
    query: Embeddings, gallery: Embeddings, drawn: list[dict[int, CameraStatistics]], count: int, doubt: int
) -> str:
    """Rank-1 / mAP in percent."""
    found = [
        passerby.score(*(_standardized(side, _mixed(views, count, doubt)) for side in (query, gallery)))
        for views in drawn
    ]
    return f"{100 * np.mean([each.rank1 for each in found]):.1f} / {100 * np.mean([each.mAP for each in found]):.1f}"


def _found(model: str, query: Embeddings, gallery: Embeddings, top: int = 10) -> float:
    """Share of the `top` nearest under normalization that a gallery's search brings, as it learns its cameras."""
    store = passerby.Gallery("memory", model=model).store
    columns = (gallery.vectors, gallery.camera_ids.tolist(), range(len(gallery)))
    store.add([Sighting(vector=v, camera=str(camera), source=str(n)) for v, camera, n in zip(*columns, strict=True)])
    views = CameraViews(store)
    named = {camera: views[str(camera)] for camera in np.unique(gallery.camera_ids).tolist()}
    asked, there = (_standardized(side, named).vectors for side in (query, gallery))
    shares = []
    for place in range(0, len(query), 5):
        nearest = np.argsort(-(there @ asked[place]))[:top]
        camera = str(query.camera_ids[place])
        (hits,) = search_across(store, views, query.vectors[place], seen_by=camera, top=top, where=Filter())
        shares.append(len({int(hit.source) for hit in hits} & set(nearest.tolist())) / top)
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
