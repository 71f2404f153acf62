"""`passerby train`: from a recipe and a data set to a model and its figures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from passerby.cli.common import Device, Json, Overrides, print_json
from passerby.errors import RecipeError

if TYPE_CHECKING:
    from passerby.runs.evaluate import EvaluationResult

RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="A shipped recipe (such as lab-atto, convnext-ap) or a YAML file.")
]
DataSpec = Annotated[
    str | None,
    typer.Option("--data", help="name:path?option=value; several joined with +. An unknown name lists all."),
]
Out = Annotated[Path | None, typer.Option("--out", help="The new folder for the run.")]
Resume = Annotated[Path | None, typer.Option("--resume", help="Continue the run in this folder from its checkpoint.")]


def train(
    recipe: RecipeName = None,
    data: DataSpec = None,
    out: Out = None,
    resume: Resume = None,
    overrides: Overrides = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train a model and evaluate it.

    [bold]passerby train --recipe lab-atto --data cuhk01:/data/cuhk01 --out runs/c01[/]

    [bold]passerby train --resume runs/c01[/]
    """
    if resume is not None:
        given = [name for name, value in (("--recipe", recipe), ("--data", data), ("--out", out)) if value is not None]
        if given or overrides:
            raise RecipeError(
                f"--resume {resume}: a run is resumed as it was started; leave out {', '.join(given or ['--set'])}"
            )
    elif recipe is None or data is None or out is None:
        missing = [name for name, value in (("--recipe", recipe), ("--data", data), ("--out", out)) if value is None]
        raise RecipeError(f"train: {', '.join(missing)} missing; a new run needs --recipe, --data and --out")

    results = _start(recipe, data, out, resume, overrides or [], device)
    if os.environ.get("RANK", "0") == "0":
        report(results, as_json=as_json, root=resume or out)


def _start(
    recipe: str | None,
    data: str | None,
    out: Path | None,
    resume: Path | None,
    overrides: list[str],
    device: str,
) -> list[EvaluationResult]:
    """Validate the recipe before torch is loaded, then run."""
    if resume is not None:
        from passerby.runs.train import resume as continue_run

        return continue_run(resume, device=device, progress=True)
    assert recipe is not None
    assert data is not None
    assert out is not None
    from passerby.recipe import load_recipe

    chosen = load_recipe(recipe, overrides=overrides)
    from passerby.runs.train import train as start_run

    return start_run(chosen, data, out, device=device, progress=True)


def report(results: list[EvaluationResult], *, as_json: bool, root: Path | None) -> None:
    """Print figures as a table or as JSON, and where the pictures are."""
    if as_json:
        print_json({"run": str(root), "evaluations": [result.to_dict() for result in results]})
        return
    from passerby.cli.tables import open_set_table, scores_table

    console = Console()
    if results:
        console.print(scores_table({result.title: result.scores for result in results}))
    for result in results:
        if result.open_set is not None:
            console.print(open_set_table(result.data.title, **vars(result.open_set)))
    console.print(f"run: {root}", markup=False, highlight=False, soft_wrap=True)
