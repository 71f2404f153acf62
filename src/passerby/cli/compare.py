"""`passerby compare`: methods beside each other, trained here under one harness."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from passerby.cli.common import Device, Json, Overrides, print_json


def compare(
    data: Annotated[str, typer.Option("--data", help="One data set, name:path?option=value.")],
    methods: Annotated[str, typer.Option("--methods", help="Recipes, joined with commas: osnet,pcb,convnext-ap.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs and tables; what is done there is kept.")],
    epochs: Annotated[int | None, typer.Option(help="Epochs of every training.")] = None,
    budget_minutes: Annotated[
        float | None, typer.Option("--budget-minutes", help="Or minutes of every training on this machine.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each method.")] = 1,
    like: Annotated[
        str | None, typer.Option(help="A recipe whose images, batches, optimizer and schedule all of them take.")
    ] = None,
    overrides: Overrides = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train methods on one data set, for the same epochs or minutes, and write comparison.md and comparison.csv.

    [bold]passerby compare --data cuhk01:/data/cuhk01 --methods pcb,hpm,bdb --like lab-atto --epochs 12 --out runs/t5[/]
    """
    from passerby.experiments import compare as runs

    chosen = [name for name in methods.split(",") if name]
    done = runs.compare(
        data,
        out,
        methods=chosen,
        epochs=epochs,
        budget_minutes=budget_minutes,
        seeds=seeds,
        like=like,
        overrides=overrides or [],
        device=device,
        progress=True,
    )
    if as_json:
        from passerby.evaluation.serialize import scores_to_dict

        rows = [asdict(row) | {"scores": scores_to_dict(row.scores, per_query=False)} for row in done.rows]
        print_json({"rows": rows, "failed": done.failed})
    elif done.rows:
        typer.echo((out / "comparison.md").read_text(encoding="utf-8"))
        typer.echo(f"tables: {out}/comparison.md, comparison.csv")
    if done.failed:
        typer.echo(f"{len(done.failed)} failed: {'; '.join(done.failed)}. The same command tries them again", err=True)
        raise typer.Exit(1)
