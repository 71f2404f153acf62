"""Rank correlation of indicators without labels with the true mAP of other people, over many checkpoints.

python benchmarks/adapt_indicators.py --cuhk01 DIR --cuhk03 DIR [--cache DIR] [--runs RUN ...] [--people N]

Checkpoints: the start and the maps of each rung, learned from tracks of all training people but the held-out ones, of
100, 50 and 25 people, of one camera, of mixed tracks and of labels, for two seeds; and --runs, whole networks. The
indicators are computed on held-out training people, the mAP on the test people after camera-wise normalization. Shown
are Spearman's rank correlation and its 95 % interval by 2,000 bootstrap samples of the checkpoints.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

import passerby
from adapt_maps import PARTS, change, embed, normalize, take, track_groups
from adapt_settings import SETTINGS, make_site, read_people
from indicators import find_mutual, halves_agreement, track_separation
from passerby.adaptation.judge import Judge
from passerby.adaptation.ladder import LINKS, learn_rung
from passerby.adaptation.site_tracks import find_tracks
from passerby.errors import DataError
from passerby.metric.part_maps import METHODS, Parts, split_parts
from passerby.types import Embeddings

LEARNED = ("all people", "100 people", "50 people", "25 people", "one camera", "a third of tracks mixed")
INDICATORS = ("held-out AP", "mutual", "halves", "track AUC", "links", "rendered")


def learn_checkpoints(train: Embeddings, *, seeds: int) -> Iterator[tuple[str, Parts | None]]:
    yield "start", None
    for seed in range(seeds):
        for setting in (*LEARNED, "labels"):
            labels = setting == "labels"
            images, tracks = SETTINGS["all people" if labels else setting](train, np.random.default_rng(seed))
            numbers = images.person_ids if labels else tracks
            site = make_site(images, numbers)
            for name in (*METHODS, LINKS):
                try:
                    maps, _ = learn_rung(name, split_parts(images.vectors, PARTS), site, site.tracks)
                except DataError:
                    continue
                yield f"{setting} {name} {seed}", maps


def measure_indicators(held: Embeddings, rendered: float, parts: int) -> list[float]:
    changed = normalize(held)
    vectors, tracks = changed.vectors.astype(np.float64), track_groups(held)
    site = make_site(held, tracks)
    judge = Judge(tracks, held.camera_ids, np.ones(len(held), bool), across=False)
    found = find_tracks(site, site.tracks).link(changed.vectors)
    return [
        float(judge.precision(changed.vectors).mean()),
        float(find_mutual(vectors, held.camera_ids).mean()),
        halves_agreement(vectors.reshape(len(held), parts, -1), held.camera_ids) if parts > 1 else np.nan,
        track_separation(vectors, held.camera_ids, tracks) or np.nan,
        float(found.probabilities.sum()),
        rendered,
    ]


def correlate(truth: NDArray[np.float64], signs: NDArray[np.float64], rng: np.random.Generator) -> str:
    known = ~np.isnan(signs)
    truth, signs = truth[known], signs[known]
    draws = []
    for _ in range(2000):
        rows = rng.integers(0, len(truth), len(truth))
        if len(np.unique(truth[rows])) > 1 and len(np.unique(signs[rows])) > 1:
            draws.append(spearmanr(truth[rows], signs[rows]).statistic)
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{spearmanr(truth, signs).statistic:+.2f} [{low:+.2f}, {high:+.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuhk01")
    parser.add_argument("--cuhk03")
    parser.add_argument("--cache", type=Path, default=Path("/tmp"))
    parser.add_argument("--runs", nargs="*", default=[], help="folders of runs, such as passes of a fine-tuning")
    parser.add_argument("--people", type=int, default=0, help="use the first people only; 0 is all")
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    people, images_of_rendered = read_people(args.cache)
    for name, spec in (
        ("cuhk01", args.cuhk01 and f"cuhk01:{args.cuhk01}"),
        ("cuhk03", args.cuhk03 and f"folder:{args.cuhk03}"),
    ):
        if not spec:
            continue
        train, query, gallery = embed(spec, args.cache, name)
        if args.people:
            train = take(train, train.person_ids <= np.unique(train.person_ids)[args.people - 1])
        persons = np.random.default_rng(9).permutation(np.unique(train.person_ids))
        apart = np.isin(train.person_ids, persons[: len(persons) * 3 // 10])
        learned, held = take(train, ~apart), take(train, apart)
        rows, names = [], []
        for label, maps in learn_checkpoints(learned, seeds=args.seeds):
            rendered = people.mean_precision(change(people.label(images_of_rendered), maps).vectors)
            truth = 100 * passerby.score(change(query, maps), change(gallery, maps), cameras=True).mAP
            rows.append([truth, *measure_indicators(change(held, maps), rendered, PARTS)])
            names.append(label)
        for run in args.runs:
            model = passerby.load(run, runtime="torch")
            (data,) = passerby.load_data(spec)
            q, g, t = (model.embed_samples(samples) for samples in (data.query, data.gallery, data.train))
            rendered = people.mean_precision(model.embed(passerby.load_data(people.spec)[0].train))
            kept = take(t, np.isin(t.person_ids, np.unique(held.person_ids)))
            parts = len(model.network.embedding_parts)
            rows.append([100 * passerby.score(q, g, cameras=True).mAP, *measure_indicators(kept, rendered, parts)])
            names.append(Path(run).name)
        table = np.array(rows)
        for label, row in zip(names, table, strict=True):
            print(f"{name} {label:36} mAP {row[0]:5.1f}  " + " ".join(f"{value:8.3f}" for value in row[1:]))
        print(f"{name}: {len(table)} checkpoints, mAP {table[:, 0].min():.1f} to {table[:, 0].max():.1f}")
        for column, indicator in enumerate(INDICATORS, start=1):
            print(
                f"{name}: {indicator:12} {correlate(table[:, 0], table[:, column], np.random.default_rng(0))}",
                flush=True,
            )


if __name__ == "__main__":
    main()
