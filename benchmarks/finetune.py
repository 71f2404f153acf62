"""Compare fine-tuning the default model with training from random weights, on CUHK01.

    python benchmarks/finetune.py CUHK01 OUT [--model RUN] [--seeds 3] [--only random]

CUHK01 is the folder of its images, OUT the folder of the runs; finished runs in it are not trained again. Training from
random weights is `lab-atto` with the epochs of `fine-tune`: both have the same batches and steps, hence the same time.
They differ in the initial weights, the highest learning rate and the default model's instance normalization and layer
of tones. Scores are of the 486 test identities by the Market rule; `--holdout N` evaluates on N training identities
instead, on which settings may be chosen.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import passerby
from passerby.runs.run_folder import RunFolder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cuhk01")
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="default", help="folder of a model to start from")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--holdout", type=int, default=0)
    parser.add_argument("--only", choices=("random", "default"))
    arguments = parser.parse_args()
    data = f"cuhk01:{arguments.cuhk01}" + (f"?holdout={arguments.holdout}" if arguments.holdout else "")
    weights = arguments.model if arguments.model == "default" else str(Path(arguments.model) / "model.safetensors")
    schedule = passerby.load_recipe("fine-tune").schedule
    same_epochs = [f"schedule.epochs={schedule.epochs}", f"schedule.warmup_epochs={schedule.warmup_epochs}"]
    starts = {"random": ("lab-atto", same_epochs), "default": ("fine-tune", [f"model.weights={weights}"])}
    print("| start | seed | Rank-1 | mAP |\n| --- | ---: | ---: | ---: |", flush=True)
    for start, (name, settings) in starts.items():
        if arguments.only not in (None, start):
            continue
        scores = []
        for seed in range(arguments.seeds):
            out = arguments.out / f"{start}-{seed}"
            if not RunFolder(out).scores.is_file():
                recipe = passerby.load_recipe(name, overrides=[*settings, f"training.seed={seed}"])
                passerby.train(recipe, data, out)
            (evaluation,) = json.loads(RunFolder(out).scores.read_text(encoding="utf-8"))["evaluations"]
            scores.append((100 * evaluation["rank1"], 100 * evaluation["mAP"]))
            print(f"| {start} | {seed} | {scores[-1][0]:.1f} | {scores[-1][1]:.1f} |", flush=True)
        means = " | ".join(f"**{statistics.mean(column):.1f}**" for column in zip(*scores, strict=True))
        print(f"| {start} | mean | {means} |", flush=True)


if __name__ == "__main__":
    main()
