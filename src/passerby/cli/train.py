"""`passerby train`: from a recipe and a data set to a trained model and its metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from passerby.cli.common import Device, Json, Overrides, prints_results
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
        Path | None,
        typer.Option("--resume", help="Continue the run in this folder; --data and more epochs may be given."),
    ] = None,
    resume_existing: Annotated[
        bool,
        typer.Option("--resume-existing", help="Continue the run in --out if there is one."),
    ] = False,
    overrides: Overrides = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train a model and evaluate it.

    [bold]passerby train --recipe lab-atto --data cuhk01:/data/cuhk01 --out runs/c01[/]

    [bold]passerby train --resume runs/c01[/]

    [bold]passerby train --resume runs/c01 --set schedule.epochs=240 --data cuhk01:/new/place[/]
    """
    options = {"--recipe": recipe, "--data": data, "--out": out}
    if resume is not None:
        given = [name for name in ("--recipe", "--out") if options[name] is not None]
        given += ["--resume-existing"] if resume_existing else []
        others = [override for override in overrides or [] if not override.startswith("schedule.epochs=")]
        if given or others:
            raise RecipeError(
                f"--resume {resume}: a run is resumed with its own settings; leave out "
                f"{', '.join(given or ['--set'])}. Only --data and --set schedule.epochs=N can be given"
            )
        epochs = _read_epochs(overrides[-1]) if overrides else None
        from passerby.runs.train import resume as resume_run

        results = resume_run(resume, data, epochs=epochs, device=device, progress=True)
    elif recipe is None or data is None or out is None:
        missing = [name for name, value in options.items() if value is None]
        raise RecipeError(f"train: {', '.join(missing)} missing; a new run needs --recipe, --data and --out")
    else:
        from passerby.recipe import load_recipe

        settings = load_recipe(recipe, overrides=overrides or [])  # a wrong one is refused before torch is loaded
        from passerby.runs.train import train as train_run

        results = train_run(settings, data, out, resume_existing=resume_existing, device=device, progress=True)
    if prints_results():
        from passerby.cli.tables import print_results

        print_results(results, as_json=as_json, root=resume or out)


def _read_epochs(override: str) -> int:
    """Return the number of epochs in `schedule.epochs=N`."""
    from passerby.recipe import load_recipe

    return load_recipe("lab-atto", overrides=["schedule.warmup_epochs=0", override]).schedule.epochs
