"""Camera-wise normalisation with few sightings of a camera: what it is worth, and how much they should count.

    python benchmarks/cameras.py CUHK01 [MODEL ...]

CUHK01 is the folder of its images; MODEL the folder of a run, or `default`, which it is when none is named. The 485
*training* people of the split, so that the weight could be chosen here: each one's first image in a camera is a query,
the second stands in the gallery, Market rule. Views are learnt from n gallery images of each camera, mean of 5 draws;
`DOUBT` is how many images a camera must have before it counts for as much as all together. The last column: of the ten
nearest of the gallery, how many are among the candidates that `search_across` looks at.
"""

from __future__ import annotations

import argparse

import numpy as np

import passerby
from passerby.gallery.cameras import LEAST, WIDER
from passerby.ranking.cameras import DOUBT, CameraView
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
        vectors = passerby.load(None if model == "default" else model).embed(samples)
        query, gallery = (Embeddings(vectors[rows], people[rows], cameras[rows]) for rows in (first, ~first))
        plain = passerby.score(query, gallery)
        print(f"\n{model}, plain: {100 * plain.rank1:.1f} / {100 * plain.mAP:.1f}\n")
        print(f"| n | {' | '.join(f'DOUBT {doubt}' for doubt in DOUBTS)} | candidates |\n| ---: |" + " ---: |" * 6)
        for count in (5, 10, 20, 50, 100, 485):
            drawn = [_views(gallery, count, np.random.default_rng(seed)) for seed in range(DRAWS)]
            row = [_figures(query, gallery, drawn, count, doubt) for doubt in DOUBTS]
            kept = np.mean([_candidates(query, gallery, _mixed(views, count, DOUBT)) for views in drawn])
            print(f"| {count} | {' | '.join(row)} | {100 * kept:.1f} |", flush=True)


def _views(gallery: Embeddings, count: int, generator: np.random.Generator) -> dict[int, CameraView]:
    cameras = np.unique(gallery.camera_ids).tolist()
    rows = [generator.permutation(np.flatnonzero(gallery.camera_ids == camera))[:count] for camera in cameras]
    return {camera: CameraView.of(gallery.vectors[some]) for camera, some in zip(cameras, rows, strict=True)}


def _mixed(views: dict[int, CameraView], count: int, doubt: int) -> dict[int, CameraView]:
    general = CameraView.join(list(views.values()), [count] * len(views))
    return {camera: view.towards(general, doubt / (doubt + count)) for camera, view in views.items()}


def _standardised(side: Embeddings, views: dict[int, CameraView]) -> Embeddings:
    vectors = np.empty_like(side.vectors)
    for camera, view in views.items():
        rows = side.camera_ids == camera
        vectors[rows] = view.standardise(side.vectors[rows])
    return Embeddings(vectors, side.person_ids, side.camera_ids)


def _figures(query: Embeddings, gallery: Embeddings, drawn: list[dict[int, CameraView]], count: int, doubt: int) -> str:
    """Rank-1 / mAP in percent."""
    found = [
        passerby.score(*(_standardised(side, _mixed(views, count, doubt)) for side in (query, gallery)))
        for views in drawn
    ]
    return f"{100 * np.mean([each.rank1 for each in found]):.1f} / {100 * np.mean([each.mAP for each in found]):.1f}"


def _candidates(query: Embeddings, gallery: Embeddings, views: dict[int, CameraView], top: int = 10) -> float:
    """Share of the `top` nearest that the search of each camera's own vectors brings."""
    asked, there = (_standardised(side, views).vectors for side in (query, gallery))
    shares = []
    for vector in asked[:: len(asked) // 100]:
        nearest = np.argsort(-(there @ vector))[:top]
        candidates = []
        for camera, view in views.items():
            rows = np.flatnonzero(gallery.camera_ids == camera)
            order = np.argsort(-(gallery.vectors[rows] @ (vector * view.scale)))
            candidates.append(rows[order[: max(WIDER * top, LEAST)]])
        shares.append(len(np.intersect1d(nearest, np.concatenate(candidates))) / top)
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
