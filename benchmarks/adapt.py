"""`passerby.adapt` on real people: learned from the training people of a data set, measured on its test people.

python benchmarks/adapt.py --cuhk01 DIR --cuhk03 DIR [--seeds 0 1 2] [--evidence none tracks labels] [--out DIR]

The crops of the training people are given without labels (none), with tracks (all crops of a person in a camera), or
with labels. Rank-1 / mAP in percent on the test people, Market rule: P, and +z after camera-wise normalization. Images
of the test people are never read by the adaptation.
"""

from __future__ import annotations

import argparse
import csv
import resource
import shutil
from pathlib import Path

import passerby
from passerby.types import DataSet, Embeddings


def write_table(data: DataSet, path: Path, *, tracks: bool) -> str:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "camera_id", "person_id", *(["track"] if tracks else [])])  # the person is only measured
        for sample in data.train:
            track = [f"p{sample.person_id}"] if tracks else []
            rows.writerow([str(sample.path.resolve()), f"c{sample.camera_id}", sample.person_id, *track])
    return f"table:{path}?labels=none"


def measure(data: DataSet, run: str | Path) -> str:
    model = passerby.load(run, device="cpu", runtime="torch")
    query, gallery = (model.embed_samples(samples) for samples in (data.query, data.gallery))
    return "   ".join(format_scores(query, gallery, cameras=cameras) for cameras in (False, True))


def format_scores(query: Embeddings, gallery: Embeddings, *, cameras: bool) -> str:
    scores = passerby.score(query, gallery, cameras=cameras, bootstrap=1000)
    low, high = scores.intervals["mAP"]
    return f"{100 * scores.rank1:4.1f} / {100 * scores.mAP:4.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def run(name: str, spec: str, evidence: str, *, seed: int, passes: int, out: Path) -> None:
    (data,) = passerby.load_data(spec)
    folder = out / f"{name}-{evidence}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    labels = evidence == "labels"
    crops = spec if labels else write_table(data, out / f"{name}-{evidence}.csv", tracks=evidence == "tracks")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    result = passerby.adapt(folder, data=crops, labels=labels, passes=passes, seed=seed, device="cpu", progress=True)
    seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
    print(f"{name}, {evidence}, seed {seed}: {result.crops} crops, {seconds:.0f} s of processor time")
    for rung in result.rungs:
        gain = "" if rung.gain is None else f"{100 * rung.gain:+.1f} ± {100 * (rung.error or 0):.1f}"
        kept = "" if rung.rendered is None else f"{100 * rung.rendered:.0f} %"
        print(f"    {rung.name:8} {gain:12} rendered {kept:6} {rung.note}")
        for number, entry in enumerate((rung.details or {}).get("passes", ()), start=1):
            print(f"        pass {number}: " + ", ".join(f"{key} {value:.3f}" for key, value in entry.items()))
    print(f"    {result.chosen:12} {measure(data, result.folder) if result.folder else 'as the start'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuhk01", help="folder of CUHK01")
    parser.add_argument("--cuhk03", help="folder of pairs 2 to 5 of CUHK03-detected, with train/, query/ and gallery/")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--evidence", nargs="+", default=["none", "tracks", "labels"])
    parser.add_argument("--passes", type=int, default=0, help="of a fine-tuning; 0 leaves it out")
    parser.add_argument("--out", type=Path, default=Path("adapt-benchmark"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    specs = {
        "cuhk01": arguments.cuhk01 and f"cuhk01:{arguments.cuhk01}",
        "cuhk03": arguments.cuhk03 and f"folder:{arguments.cuhk03}",
    }
    for name, spec in specs.items():
        if not spec:
            continue
        (data,) = passerby.load_data(spec)
        print(f"{name}: start        {measure(data, 'default')}", flush=True)
        for evidence in arguments.evidence:
            for seed in arguments.seeds:
                run(name, spec, evidence, seed=seed, passes=arguments.passes, out=arguments.out)


if __name__ == "__main__":
    main()
