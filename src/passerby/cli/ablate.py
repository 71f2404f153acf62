"""`passerby ablate`: train the grid of an ablation under several seeds and make the paper's tables of it."""

from __future__ import annotations

from typing import Annotated

import typer

from passerby.cli.common import Device, Json, Overrides
from passerby.cli.grid_output import DryRun, GridFolder, print_result


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
    from passerby.recipe import load_recipe

    chosen, levels = load_recipe(recipe, overrides=overrides or []), parse_axes(axes)
    from passerby.experiments.ablate import ablate as run_ablation

    result = run_ablation(
        chosen, data, out=out, axes=levels, seeds=seeds, dry_run=dry_run, device=device, progress=True
    )
    print_result(result, out, dry_run=dry_run, as_json=as_json)
