"""`passerby ablate`: the grid of an ablation, trained under several seeds, and the paper's tables of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from passerby.cli.common import Device, Json, Overrides, print_json
from passerby.recipe import load_recipe

if TYPE_CHECKING:
    from passerby.experiments.ablate import Training


def ablate(
    recipe: Annotated[str, typer.Option("--recipe", help="A shipped recipe (such as lab-atto) or a YAML file.")],
    data: Annotated[
        list[str], typer.Option("--data", help="name:path?option=value. Repeatable: each gets its own columns.")
    ],
    axes: Annotated[
        str,
        typer.Option(
            "--axes", help="Such as attention,parts,refine or loss=identity/circle. An unknown one lists all."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs and tables; what is done there is kept.")],
    seeds: Annotated[int, typer.Option(help="Trainings of each cell.")] = 3,
    overrides: Overrides = None,
    device: Device = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the trainings, and train nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Train every combination of the axes' levels and write tables.md, tables.csv and tables.tex.

    [bold]passerby ablate --recipe lab-atto --data cuhk01:/data/cuhk01 --axes attention,parts --out runs/ablation[/]
    """
    from passerby.experiments.axes import parse_axes

    chosen, levels = load_recipe(recipe, overrides=overrides or []), parse_axes(axes)
    from passerby.experiments import ablate as runs
    from passerby.experiments.ablation_tables import to_markdown

    if dry_run:
        _list(runs.plan(chosen, data, out, axes=levels, seeds=seeds), as_json=as_json)
        return
    done = runs.ablate(chosen, data, out, axes=levels, seeds=seeds, device=device, progress=True)
    if as_json:
        print_json({"tables": [asdict(each) for each in done.tables], "failed": done.failed})
    else:
        typer.echo(to_markdown(done.tables))
        typer.echo(f"tables: {out}/tables.md, tables.csv, tables.tex")
    if done.failed:
        typer.echo(f"{len(done.failed)} failed: {'; '.join(done.failed)}. The same command tries them again", err=True)
        raise typer.Exit(1)


def _list(trainings: list[Training], *, as_json: bool) -> None:
    """What would be trained, and where."""
    if as_json:
        rows = [
            {
                "cells": [cell.name for cell in each.cells],
                "data": each.data.spec,
                "seed": each.seed,
                "state": each.state,
                "run": str(each.folder.root),
            }
            for each in trainings
        ]
        print_json(rows)
        return
    for number, each in enumerate(trainings, 1):
        cells = " and ".join(cell.name for cell in each.cells)
        typer.echo(f"[{number}/{len(trainings)}] {cells}, {each.data.title}, seed {each.seed}: {each.state}")
    new = sum(each.state != "done" for each in trainings)
    typer.echo(f"{new} of {len(trainings)} trainings to do")
