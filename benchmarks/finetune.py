"""Does the default model pay: `lab-atto` on CUHK01's training people from it and from nothing, in the same time.

    python benchmarks/finetune.py CUHK01 OUT [--model RUN] [--seeds 3] [--epochs 8] [--lr 5e-4]

CUHK01 is the folder of its images, OUT where the runs go; one that is finished there is not trained again. Both sides
have the same recipe, epochs and batches, hence the same time; the start and the highest learning rate differ (from
nothing it is the recipe's). Figures are of the 486 test people, Market rule; `--holdout N` measures on N training
people instead, which is where a learning rate may be chosen.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import passerby
from passerby.runs.folder import RunFolder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cuhk01")
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="default", help="folder of a model to start from")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--holdout", type=int, default=0)
    parser.add_argument("--only", choices=("scratch", "default"))
    chosen = parser.parse_args()
    data = f"cuhk01:{chosen.cuhk01}" + (f"?holdout={chosen.holdout}" if chosen.holdout else "")
    weights = chosen.model if chosen.model == "default" else str(Path(chosen.model) / "model.safetensors")
    starts = {"scratch": [], "default": [f"model.weights={weights}", f"schedule.lr_max={chosen.lr}"]}
    shared = [f"schedule.epochs={chosen.epochs}", f"schedule.warmup_epochs={max(1, chosen.epochs // 5)}"]
    print("| start | seed | Rank-1 | mAP |\n| --- | ---: | ---: | ---: |", flush=True)
    for start, settings in starts.items():
        if chosen.only not in (None, start):
            continue
        found = []
        for seed in range(chosen.seeds):
            out = chosen.out / f"{start}-{seed}"
            if not RunFolder(out).scores.is_file():
                recipe = passerby.load_recipe("lab-atto", overrides=[*shared, *settings, f"training.seed={seed}"])
                passerby.train(recipe, data, out)
            (evaluation,) = json.loads(RunFolder(out).scores.read_text(encoding="utf-8"))["evaluations"]
            found.append((100 * evaluation["rank1"], 100 * evaluation["mAP"]))
            print(f"| {start} | {seed} | {found[-1][0]:.1f} | {found[-1][1]:.1f} |", flush=True)
        means = " | ".join(f"**{statistics.mean(column):.1f}**" for column in zip(*found, strict=True))
        print(f"| {start} | mean | {means} |", flush=True)


if __name__ == "__main__":
    main()
