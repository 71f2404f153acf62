"""Comparison by halves, without tracks: one draw of held-out crops against cross-fitting, and the truth.

python benchmarks/adapt_halves.py --cuhk01 DIR --cuhk03 DIR [--cache DIR] [--seeds 0 1] [--folds 4]

Training people only. One half of them is learned from, and the change of the mAP (+z) of the others is the truth. Maps
are learned from pairs, tracks, labels, and pairs of which half or all are replaced by random ones within a camera.
`one` learns without the first fold and compares on it; `cross` does so for each fold in turn, and its gain and error
are over the units of all folds. `agree` is cross-fitting with another measure: the fraction of held-out crops for which
both halves of the rung's own embedding have the same nearest crop, among all crops of other cameras.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

import passerby
from adapt_maps import PARTS, change, embed, split_queries, take, track_groups
from adapt_settings import make_site
from passerby.adaptation.crop_groups import find_crop_groups
from passerby.adaptation.halves_judge import HalvesJudge, split_halves
from passerby.adaptation.ladder import LINKS, learn_rung, normalize_cameras, standard_error
from passerby.errors import DataError
from passerby.metric.covariance import UNKNOWN
from passerby.metric.part_maps import METHODS, Parts, split_parts
from passerby.types import Embeddings, IntArray

KINDS = ("one", "cross", "agree")


def shuffle(pairs: IntArray, cameras: IntArray, rng: np.random.Generator, *, fraction: float) -> IntArray:
    """Exchange the pairs of a fraction of the crops of each camera at random."""
    shuffled = pairs.copy()
    for camera in np.unique(cameras):
        rows = rng.permutation(np.flatnonzero((pairs != UNKNOWN) & (cameras == camera)))
        rows = rows[: int(fraction * len(rows))]
        shuffled[rows] = pairs[rng.permutation(rows)]
    return shuffled


def draw_folds(units: IntArray, folds: int, rng: np.random.Generator) -> IntArray:
    """Divide whole units into folds with about equally many crops; return the fold of each crop."""
    names, inverse, sizes = np.unique(units, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    fold = np.empty(len(names), np.int64)
    fold[order] = (np.cumsum(sizes[order]) - 1) * folds // len(units)
    return fold[inverse]


def measure_agreement(vectors: NDArray[np.float32], judge: HalvesJudge) -> NDArray[np.float64]:
    """Return the fraction of crops of each held-out unit whose nearest crop of another camera both halves agree on."""
    rows = np.flatnonzero(judge.held_out)
    other = judge.camera_ids[rows, None] != judge.camera_ids[None]
    halves = split_halves(vectors, judge.parts)
    first, second = (np.where(other, half[rows] @ half.T, -np.inf).argmax(axis=1) for half in halves)
    _, units, sizes = np.unique(judge.units[rows], return_inverse=True, return_counts=True)
    return np.bincount(units, first == second) / sizes


def compare(images: Embeddings, *, folds: int, seed: int) -> Iterator[tuple[str, list[float]]]:
    """Yield each map with the truth, and the gain and the error of each of `KINDS`, in points."""
    order = np.random.default_rng(seed).permutation(np.unique(images.person_ids))
    first = np.isin(images.person_ids, order[: len(order) // 2])
    learned, (query, gallery) = take(images, first), split_queries(take(images, ~first))
    site = make_site(learned, np.arange(len(learned)))
    parts, cameras = split_parts(learned.vectors, PARTS), learned.camera_ids

    def normalize(maps: Parts | None) -> NDArray[np.float32]:
        return normalize_cameras(change(learned, maps).vectors, cameras)

    def measure(maps: Parts | None) -> float:
        return 100 * float(passerby.score(change(query, maps), change(gallery, maps), cameras=True).mAP)

    groups = find_crop_groups(site, normalize(None), PARTS, seed=seed)
    judge, pairs = groups.judge, groups.numbers
    assert isinstance(judge, HalvesJudge)
    rng = np.random.default_rng(100 + seed)
    fold = draw_folds(judge.units, folds, rng)
    judges = [HalvesJudge(judge.links, cameras, judge.units, fold == number, PARTS) for number in range(folds)]
    before, start = normalize(None), measure(None)
    for source, numbers in {
        "pairs": pairs,
        "tracks": track_groups(learned),
        "labels": learned.person_ids,
        "half random": shuffle(pairs, cameras, rng, fraction=0.5),
        "random": shuffle(pairs, cameras, rng, fraction=1),
    }.items():
        for method in (*METHODS, LINKS) if source in ("pairs", "tracks") else METHODS:
            gains, agreed = [], []
            try:
                truth = measure(learn_rung(method, parts, site, numbers)[0]) - start
                for number, judge in enumerate(judges):
                    maps, _ = learn_rung(method, parts, site, np.where(fold == number, UNKNOWN, numbers))
                    after = normalize(maps)
                    gains.append(100 * (judge.precision(after) - judge.precision(before)))
                    agreed.append(100 * (measure_agreement(after, judge) - measure_agreement(before, judge)))
            except DataError as error:
                print(f"  {source} {method}: {error}")
                continue
            kinds = (gains[0], np.concatenate(gains), np.concatenate(agreed))
            values = [value for gain in kinds for value in (float(gain.mean()), standard_error(gain))]
            yield f"{source} {method}", [truth, *values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuhk01", required=True)
    parser.add_argument("--cuhk03", required=True)
    parser.add_argument("--cache", type=Path, default=Path("/tmp"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--folds", type=int, default=4)
    args = parser.parse_args()
    for name, spec in (("cuhk01", f"cuhk01:{args.cuhk01}"), ("cuhk03", f"folder:{args.cuhk03}")):
        (train,) = embed(spec, args.cache, name, names=["train"])
        for seed in args.seeds:
            names, rows = zip(*compare(train, folds=args.folds, seed=seed), strict=True)
            for label, (truth, *values) in zip(names, rows, strict=True):
                pairs = zip(KINDS, values[::2], values[1::2], strict=True)
                print(
                    f"  {label:20} {truth:+5.1f}",
                    *(f" {kind} {gain:+5.1f} ± {error:.1f}" for kind, gain, error in pairs),
                )
            table = np.array(rows)
            for label, column in zip(KINDS, (1, 3, 5), strict=True):
                gains, errors = table[:, column], table[:, column + 1]
                accepted = ", ".join(f"{names[row]} {table[row, 0]:+.1f}" for row in np.flatnonzero(gains > 2 * errors))
                rho = spearmanr(table[:, 0], gains).statistic
                print(
                    f"{name} seed {seed} {label}: {len(table)} maps, rank correlation {rho:.2f}, "
                    f"median error {np.median(errors):.1f}, accepted, with the truth: {accepted or 'none'}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
