"""The whole table of `passerby.adapt` on real people, a row at a time, so that an interrupted call continues.

python benchmarks/adapt_seeds.py --cuhk01 DIR --cuhk03 DIR --out DIR [--model RUN] [--passes 6] [--seeds 0 1 2]
    [--settings tracks ...] [--people N] [--table]

Each row is a setting, a data set and a seed; its result is a line of `rows.jsonl` in --out, and a call repeats no row
that is there. Crops of the training people are given as
    none        without tracks and labels
    tracks      with tracks: all crops of a person in a camera
    labels      with identities
    ceiling     supervised fine-tuning on the same people: --passes of `finetune` with identities
    transductive    tracks of the test people themselves, on whom the result is measured; no result on new people
and measured on the test people, whose images are read by `transductive` alone. Rank-1 / mAP in percent, Market rule: P,
and +z after camera-wise normalization, with 95 % intervals of the mAP over identities. --people uses the first
training and test people only, for a trial of the script. --table prints the rows that are there.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import passerby
from passerby.adaptation.rendered import RENDERED
from passerby.types import DataSet, Embeddings, Sample

SETTINGS = ("none", "tracks", "labels", "ceiling", "transductive")


def load(spec: str, *, people: int) -> DataSet:
    """Load a data set; with `people` above 0 the first training and the first test people alone."""
    (data,) = passerby.load_data(spec)
    if not people:
        return data

    def take(samples: Sequence[Sample], among: Sequence[Sample]) -> tuple[Sample, ...]:
        persons = sorted({sample.person_id for sample in among})[:people]
        return tuple(sample for sample in samples if sample.person_id in persons)

    return replace(
        data,
        train=take(data.train, data.train),
        query=take(data.query, data.query),
        gallery=take(data.gallery, data.query),
    )


def write_table(samples: Sequence[Sample], path: Path, *, tracks: bool) -> str:
    rows = ["path,camera_id,person_id" + (",track" if tracks else "")]  # the person is only measured
    for sample in samples:
        track = f",p{sample.person_id}" if tracks else ""
        rows.append(f"{sample.path.resolve()},c{sample.camera_id},{sample.person_id}{track}")
    path.write_text("\n".join(rows) + "\n")
    return f"table:{path}?labels=none"


def write_people(samples: Sequence[Sample], folder: Path) -> str:
    """Link the images of the training people into a folder for each person, which `--labels` reads."""
    for number, sample in enumerate(samples):
        person = folder / f"{sample.person_id:05d}"
        person.mkdir(parents=True, exist_ok=True)
        link = person / f"c{sample.camera_id}_{number:06d}{sample.path.suffix}"
        if not link.exists():
            link.symlink_to(sample.path.resolve())
    return f"folder:{folder}?train=1"


def format_scores(query: Embeddings, gallery: Embeddings, *, cameras: bool) -> str:
    scores = passerby.score(query, gallery, cameras=cameras, bootstrap=1000)
    low, high = scores.intervals["mAP"]
    return f"{100 * scores.rank1:4.1f} / {100 * scores.mAP:4.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def measure(data: DataSet, run: str | Path) -> dict[str, str]:
    model = passerby.load(run, device="cpu")
    query, gallery = (model.embed_samples(samples) for samples in (data.query, data.gallery))
    return {name: format_scores(query, gallery, cameras=cameras) for name, cameras in (("P", False), ("+z", True))}


def run_row(data: DataSet, name: str, setting: str, arguments: argparse.Namespace, *, seed: int) -> dict[str, Any]:
    folder = arguments.out / "runs" / f"{name}-{setting}-{seed}"
    labels = setting in ("labels", "ceiling")
    samples = [*data.query, *data.gallery] if setting == "transductive" else list(data.train)
    if labels:
        crops = write_people(samples, arguments.out / f"{name}-people")
    else:
        crops = write_table(samples, arguments.out / f"{name}-{setting}.csv", tracks=setting != "none")
    if (folder / "manifest.json").is_file():  # the process ended after the run was written and before its row
        shutil.rmtree(folder)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_utime, time.monotonic()
    result = passerby.adapt(
        folder, data=crops, labels=labels, model=arguments.model, passes=0 if setting == "labels" else arguments.passes,
        rendered=arguments.rendered, seed=seed, images=False, device="cpu", progress=True,
    )  # fmt: skip
    row = {
        "data": name,
        "setting": setting,
        "seed": seed,
        "model": arguments.model,
        "passes": arguments.passes,
        "people": arguments.people,
        "crops": result.crops,
        "minutes": (time.monotonic() - started) / 60,
        "processor_minutes": (resource.getrusage(resource.RUSAGE_SELF).ru_utime - before) / 60,
        "processor": platform.processor() or platform.machine(),
        "chosen": result.chosen,
        "rungs": [rung.to_dict() for rung in result.rungs],
    }
    row["scores"] = measure(data, result.folder or arguments.model)
    shutil.rmtree(folder, ignore_errors=True)
    return row


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def is_row_of(row: dict[str, Any], arguments: argparse.Namespace) -> bool:
    return all(row[key] == getattr(arguments, key) for key in ("model", "passes", "people"))


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    print("| data | setting | seed | chosen | minutes | P | +z |\n| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        cells = [row["data"], row["setting"], row["seed"], row["chosen"], f"{row['minutes']:.1f}"]
        print("| " + " | ".join(map(str, [*cells, row["scores"]["P"], row["scores"]["+z"]])) + " |")
        for rung in row["rungs"]:
            for number, entry in enumerate((rung["details"] or {}).get("passes", ()), start=1):
                values = ", ".join(f"{key} {value:.3f}" for key, value in entry.items())
                print(f"  pass {number}: {values}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuhk01", help="folder of CUHK01")
    parser.add_argument("--cuhk03", help="folder of pairs 2 to 5 of CUHK03-detected, with train/, query/ and gallery/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--people", type=int, default=0, help="0 is all")
    parser.add_argument("--rendered", default=RENDERED, help="synthetic people, for a trial of the script")
    parser.add_argument("--table", action="store_true", help="print the finished rows")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "rows.jsonl"
    if arguments.table:
        print_table([row for row in read_rows(path) if is_row_of(row, arguments)])
        return
    specs = {"cuhk03": arguments.cuhk03 and f"folder:{arguments.cuhk03}",
             "cuhk01": arguments.cuhk01 and f"cuhk01:{arguments.cuhk01}"}  # fmt: skip
    for seed in arguments.seeds:
        for name, spec in specs.items():
            start = ("start",) if seed == arguments.seeds[0] else ()
            for setting in (*start, *arguments.settings) if spec else ():
                done = [row for row in read_rows(path) if is_row_of(row, arguments)]
                if any((row["data"], row["setting"], row["seed"]) == (name, setting, seed) for row in done):
                    continue
                data = load(spec, people=arguments.people)
                if setting == "start":
                    row = {"data": name, "setting": setting, "seed": seed, "model": arguments.model, "chosen": "",
                           "passes": arguments.passes, "people": arguments.people, "minutes": 0.0, "rungs": [],
                           "scores": measure(data, arguments.model)}  # fmt: skip
                else:
                    row = run_row(data, name, setting, arguments, seed=seed)
                with path.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print_table([row])


if __name__ == "__main__":
    main()
