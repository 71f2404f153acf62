"""`passerby compare`: train methods on one data set for the same epochs or minutes and make a table of them."""

from __future__ import annotations

from typing import Annotated

import typer

from passerby.cli.common import Device, Json, Overrides
from passerby.cli.grid_output import DryRun, GridFolder, print_result


def compare(
    data: Annotated[str, typer.Option("--data", help="One data set, name:path?option=value.")],
    methods: Annotated[str, typer.Option("--methods", help="Recipes, joined with commas: osnet,pcb,convnext-ap.")],
    out: GridFolder,
    epochs: Annotated[int | None, typer.Option(help="Epochs of every training.")] = None,
    budget_minutes: Annotated[
        float | None, typer.Option("--budget-minutes", help="Minutes of every training on this machine.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each method.")] = 1,
    like: Annotated[
        str | None, typer.Option(help="Recipe whose images, batches, optimizer and schedule all methods use.")
    ] = None,
    overrides: Overrides = None,
    device: Device = "auto",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train methods on one data set, for the same epochs or minutes, and write comparison.md and comparison.csv.

    [bold]passerby compare --data cuhk01:/data/cuhk01 --methods pcb,hpm,bdb --like lab-atto --epochs 12 --out runs/t5[/]
    """
    from passerby.experiments.compare import compare as run_comparison

    result = run_comparison(
        [name for name in methods.split(",") if name],
        data,
        out=out,
        epochs=epochs,
        budget_minutes=budget_minutes,
        seeds=seeds,
        like=like,
        overrides=overrides or [],
        dry_run=dry_run,
        device=device,
        progress=True,
    )
    print_result(result, out, dry_run=dry_run, as_json=as_json)
