"""What weights by visibility change in the mean of several crops of a person: Rank-1 and mAP between tracks.

    python benchmarks/visibility.py DATA [--split train|test] [--model MODEL ...]

All images of a person in one camera of DATA are one track, whose vector is the mean of those of its images, weighted by
a power of `measure_visibility`. Each track is compared with those of other cameras. The interval is that of the
difference of mAP to equal weights, over people.
"""

from __future__ import annotations

import argparse

import numpy as np

import passerby
from measure import machine
from passerby.data.images import read_image
from passerby.evaluation.paired import paired_test
from passerby.ranking.sets import pool
from passerby.runtime.visibility import measure_visibility

POWERS = (0, 1, 2, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--split", choices=("train", "test"), default="test")
    parser.add_argument("--model", nargs="+", default=["default"])
    chosen = parser.parse_args()
    (data,) = passerby.load_data(chosen.data)
    samples = data.train if chosen.split == "train" else [*data.query, *data.gallery]
    samples = [sample for sample in samples if sample.person_id > 0]
    visibility = np.concatenate([measure_visibility([read_image(sample)]) for sample in samples])
    print(f"{machine()}\n\n| model | power | Rank-1 | mAP | difference of mAP |\n| --- | ---: | ---: | ---: | ---: |")
    for model in chosen.model:
        images = passerby.load(model).embed_samples(samples)
        _, sets = np.unique(np.stack([images.person_ids, images.camera_ids]), axis=1, return_inverse=True)
        base = None
        for power in POWERS:
            quality = power * np.log(np.maximum(visibility, 1e-3))
            tracks = pool(images, sets, method="attention", quality=quality, temperature=1)
            scores = passerby.score(tracks, tracks)
            base = scores if base is None else base
            print(f"| {model} | {power} | {100 * scores.rank1:.1f} | {100 * scores.mAP:.1f} | ", end="")
            print("|" if scores is base else f"{compare(scores, base, tracks)} |", flush=True)


def compare(scores: passerby.Scores, base: passerby.Scores, tracks: passerby.Embeddings) -> str:
    """Difference of mAP in points with its interval."""
    valid = scores.first_match > 0
    ours, theirs = (side.average_precision[valid][None] for side in (scores, base))
    test = paired_test(ours, theirs, tracks.person_ids[valid])
    low, high = (100 * end for end in test.interval)
    return f"{100 * test.difference:+.1f} [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    main()
