"""`passerby train`: from a recipe and a data set to a trained model and its metrics."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from passerby.cli.common import Device, Json, Overrides
from passerby.errors import RecipeError


def train(
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="A shipped recipe (such as lab-atto, convnext-ap) or a YAML file.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="name:path?option=value. Join several with +. An unknown name lists all."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="New folder for the run.")] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Continue the run in this folder from its checkpoint.")
    ] = None,
    overrides: Overrides = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train a model and evaluate it.

    [bold]passerby train --recipe lab-atto --data cuhk01:/data/cuhk01 --out runs/c01[/]

    [bold]passerby train --resume runs/c01[/]
    """
    options = {"--recipe": recipe, "--data": data, "--out": out}
    if resume is not None:
        given = [name for name, value in options.items() if value is not None]
        if given or overrides:
            raise RecipeError(
                f"--resume {resume}: a run is resumed with its own settings; leave out {', '.join(given or ['--set'])}"
            )
        from passerby.runs.train import resume as resume_run

        results = resume_run(resume, device=device, progress=True)
    elif recipe is None or data is None or out is None:
        missing = [name for name, value in options.items() if value is None]
        raise RecipeError(f"train: {', '.join(missing)} missing; a new run needs --recipe, --data and --out")
    else:
        from passerby.recipe import load_recipe

        settings = load_recipe(recipe, overrides=overrides or [])  # a wrong one is refused before torch is loaded
        from passerby.runs.train import train as train_run

        results = train_run(settings, data, out, device=device, progress=True)
    if os.environ.get("RANK", "0") == "0":
        from passerby.cli.tables import print_results

        print_results(results, as_json=as_json, root=resume or out)
