"""Adaptation of the default model by linear maps: accuracy on other people, and how well the indicators rank settings.

python benchmarks/adapt_maps.py --cuhk01 DIR --cuhk03 DIR [--cache DIR] [--tune]

Maps are learned on the training people and measured on the test people, under the Market rule (P) and after camera-wise
normalization (+z). With --tune, half of the training people replace the test people.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

import passerby
from indicators import find_mutual, halves_agreement, nearest_elsewhere, track_separation
from passerby.metric.covariance import UNKNOWN
from passerby.metric.part_maps import METHODS, Parts, apply_maps, learn_maps, split_parts
from passerby.ranking.camera_normalization import standardize_cameras
from passerby.types import Embeddings

PARTS = 4


SPLITS = ("train", "query", "gallery")


def embed(spec: str, cache: Path, name: str, *, names: Sequence[str] = SPLITS) -> list[Embeddings]:
    (data,) = passerby.load_data(spec)
    splits = []
    for split in names:
        file = cache / f"{name}-{split}.npy"
        samples = getattr(data, split)
        if not file.is_file():
            np.save(file, passerby.load("default", runtime="torch").embed_samples(samples).vectors)
        ids = ([getattr(sample, key) for sample in samples] for key in ("person_id", "camera_id"))
        splits.append(Embeddings(np.load(file), *ids))
    return splits


def take(images: Embeddings, rows: np.ndarray) -> Embeddings:
    return Embeddings(images.vectors[rows], images.person_ids[rows], images.camera_ids[rows])


def change(images: Embeddings, maps: Parts | None) -> Embeddings:
    parts = apply_maps(split_parts(images.vectors, PARTS), maps)
    return Embeddings(parts.reshape(len(parts), -1).astype(np.float32), images.person_ids, images.camera_ids)


def normalize(images: Embeddings) -> Embeddings:
    return standardize_cameras(images)


def track_groups(images: Embeddings) -> np.ndarray:
    return images.person_ids * 1000 + images.camera_ids


def link_groups(images: Embeddings) -> np.ndarray:
    vectors = normalize(images).vectors.astype(np.float64)
    mutual, nearest = find_mutual(vectors, images.camera_ids), nearest_elsewhere(vectors, images.camera_ids)
    rows = np.arange(len(nearest))
    return np.where(mutual, np.minimum(rows, nearest), UNKNOWN)


def split_queries(images: Embeddings) -> tuple[Embeddings, Embeddings]:
    """First image of a person in a camera is a query."""
    _, first = np.unique(track_groups(images), return_index=True)
    rest = np.setdiff1d(np.arange(len(images)), first)
    return take(images, first), take(images, rest)


def indicators(images: Embeddings, maps: Parts | None) -> list[float]:
    changed = normalize(change(images, maps))
    parts = changed.vectors.astype(np.float64).reshape(len(images), PARTS, -1)
    vectors = changed.vectors.astype(np.float64)
    return [
        float(find_mutual(vectors, images.camera_ids).mean()),
        halves_agreement(parts, images.camera_ids),
        track_separation(vectors, images.camera_ids, track_groups(images)) or 0.0,
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuhk01", required=True)
    parser.add_argument("--cuhk03", required=True)
    parser.add_argument("--cache", type=Path, default=Path("/tmp"))
    parser.add_argument("--tune", action="store_true")
    args = parser.parse_args()
    for name, spec in (("cuhk01", f"cuhk01:{args.cuhk01}"), ("cuhk03", f"folder:{args.cuhk03}")):
        train, query, gallery = embed(spec, args.cache, name)
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(np.unique(train.person_ids))
            if args.tune:
                first = np.isin(train.person_ids, order[: len(order) // 2])
                learn, (q, g) = take(train, first), split_queries(take(train, ~first))
                held = take(train, ~first)  # indicators use no identity across cameras
            else:
                learn, q, g = train, query, gallery
            measure(name, seed, learn, q, g, held if args.tune else None)
            if not args.tune:
                break


def measure(
    name: str, seed: int, learn: Embeddings, query: Embeddings, gallery: Embeddings, held: Embeddings | None
) -> None:
    parts = split_parts(learn.vectors, PARTS)
    links = link_groups(learn)
    linked = links != UNKNOWN
    partner = nearest_elsewhere(normalize(learn).vectors.astype(np.float64), learn.camera_ids)
    right = (learn.person_ids[partner] == learn.person_ids)[linked].mean()
    print(f"{name} seed {seed}: {len(learn)} crops, {linked.mean():.2f} linked, {right:.3f} of the links right")
    rows: list[tuple[str, Parts | None]] = [("start", None)]
    for source, groups in (("links", links), ("tracks", track_groups(learn)), ("labels", learn.person_ids)):
        for method in METHODS:
            rows.append((f"{source} {method}", learn_maps(parts, learn.camera_ids, groups, method=method)))
    table = []
    for label, maps in rows:
        q, g = change(query, maps), change(gallery, maps)
        plain, normal = passerby.score(q, g), passerby.score(q, g, cameras=True)
        values = [100 * value for value in (plain.rank1, plain.mAP, normal.rank1, normal.mAP)]
        signs = indicators(held, maps) if held is not None else []
        table.append((values, signs))
        print(f"{label:15}" + " ".join(f"{v:5.1f}" for v in values) + "  " + " ".join(f"{v:.4f}" for v in signs))
    if held is not None:
        truth = [values[3] for values, _ in table]
        for index, indicator in enumerate(("mutual", "halves", "tracks")):
            rho = spearmanr(truth, [signs[index] for _, signs in table]).statistic
            print(f"spearman {indicator}: {rho:.2f}")


if __name__ == "__main__":
    main()
