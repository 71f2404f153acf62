"""`passerby compare`: train methods on one data set for the same epochs or minutes and make tables of them."""

from __future__ import annotations

from typing import Annotated

import typer

from passerby.cli.common import Device, Json, Overrides, print_json
from passerby.cli.grid_output import DryRun, GridFolder, print_result


def compare(
    data: Annotated[str, typer.Option("--data", help="One data set, name:path?option=value.")],
    methods: Annotated[
        str,
        typer.Option(
            "--methods", help="Recipes, joined with commas: osnet,pcb. table5 is every row of the paper's Table 5."
        ),
    ],
    out: GridFolder,
    epochs: Annotated[int | None, typer.Option(help="Epochs of every training.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Minutes of every training on this machine; with --epochs, a second table.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each method.")] = 1,
    best: Annotated[
        int,
        typer.Option(help="Number of methods with the highest mAP that get --best-seeds."),
    ] = 0,
    best_seeds: Annotated[
        int, typer.Option("--best-seeds", help="Trainings of the best methods and the reference.")
    ] = 3,
    like: Annotated[
        str | None,
        typer.Option(
            help="Recipe whose images, batches, optimizer and schedule all methods use; table5 takes its backbone too."
        ),
    ] = None,
    tune: Annotated[
        list[str] | None,
        typer.Option(
            help="Values that are tried for each method on held-out training people: lr=0.001,0.002. Repeatable."
        ),
    ] = None,
    tune_epochs: Annotated[
        int | None,
        typer.Option("--tune-epochs", help="Epochs of these trainings; a quarter of --epochs, or 4, by default."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Method that the others are tested against; default: --like if it is a row, otherwise the first."
        ),
    ] = None,
    overrides: Overrides = None,
    device: Device = "auto",
    plan: Annotated[
        bool, typer.Option("--plan", help="Time a few steps of each method, print the hours of the whole, and stop.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train methods on one data set for the same epochs and minutes; write comparison.md and .csv, and differences.csv.

    [bold]passerby compare --data cuhk01:/data/cuhk01 --methods table5 --like lab-atto --epochs 12 --out runs/t5[/]
    """
    names = [name for name in methods.split(",") if name]
    if plan:
        from passerby.experiments.comparison_grid import Budgets
        from passerby.experiments.comparison_plan import plan_comparison

        planned = plan_comparison(
            names,
            data,
            budgets=Budgets(epochs, minutes, seeds, best, best_seeds, tune_epochs),
            like=like,
            tune=tune or [],
            overrides=overrides or [],
            device=device,
            progress=True,
        )
        if as_json:
            print_json(planned.to_dict())
        else:
            typer.echo(planned.to_markdown())
        if not planned.is_possible:
            raise typer.Exit(1)
        return
    from passerby.experiments.compare import compare as run_comparison

    result = run_comparison(
        names,
        data,
        out=out,
        epochs=epochs,
        minutes=minutes,
        seeds=seeds,
        best=best,
        best_seeds=best_seeds,
        like=like,
        tune=tune or [],
        tune_epochs=tune_epochs,
        reference=reference,
        overrides=overrides or [],
        dry_run=dry_run,
        device=device,
        progress=True,
    )
    print_result(result, out, dry_run=dry_run, as_json=as_json)
