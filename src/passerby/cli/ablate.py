"""`passerby ablate`: train the grid of an ablation under several seeds and make the paper's tables of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from passerby.cli.common import Device, Json, Overrides, print_json
from passerby.recipe import load_recipe

if TYPE_CHECKING:
    from passerby.experiments.grid_tables import Ablation, Comparison

DryRun = Annotated[bool, typer.Option("--dry-run", help="List the trainings and train nothing.")]
GridFolder = Annotated[Path, typer.Option("--out", help="Folder of the runs and tables. Finished runs are kept.")]


def ablate(
    recipe: Annotated[str, typer.Option("--recipe", help="A shipped recipe (such as lab-atto) or a YAML file.")],
    data: Annotated[
        list[str], typer.Option("--data", help="name:path?option=value. Repeatable: each has its own columns.")
    ],
    axes: Annotated[
        str,
        typer.Option(
            "--axes",
            help="Axes, such as attention,parts,refine or loss=identity/circle. An unknown axis lists all.",
        ),
    ],
    out: GridFolder,
    seeds: Annotated[int, typer.Option(help="Trainings of each cell.")] = 3,
    overrides: Overrides = None,
    device: Device = "auto",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train every combination of the axes' levels and write tables.md, tables.csv and tables.tex.

    [bold]passerby ablate --recipe lab-atto --data cuhk01:/data/cuhk01 --axes attention,parts --out runs/ablation[/]
    """
    from passerby.experiments.axes import parse_axes

    chosen, levels = load_recipe(recipe, overrides=overrides or []), parse_axes(axes)
    from passerby.experiments.ablate import ablate as run_ablation

    result = run_ablation(
        chosen, data, out=out, axes=levels, seeds=seeds, dry_run=dry_run, device=device, progress=True
    )
    print_result(result, out, dry_run=dry_run, as_json=as_json)


def print_result(result: Ablation | Comparison, out: Path, *, dry_run: bool, as_json: bool) -> None:
    """Print the tables, or in a dry run the trainings with their states; exit with code 1 if a training failed."""
    if as_json:
        print_json([run.to_dict() for run in result.runs] if dry_run else result.to_dict())
    elif dry_run:
        for number, run in enumerate(result.runs, 1):
            typer.echo(f"[{number}/{len(result.runs)}] {run}")
        typer.echo(f"{sum(run.state != 'done' for run in result.runs)} of {len(result.runs)} trainings to do")
    else:
        typer.echo(result.to_markdown())
        typer.echo(f"tables: {out}/{', '.join(result.to_files())}")
    if result.failed:
        titles = "; ".join(result.failed)
        typer.echo(f"{len(result.failed)} failed: {titles}. Repeat the command to try them again", err=True)
        raise typer.Exit(1)
