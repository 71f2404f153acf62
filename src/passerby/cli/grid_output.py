"""Options and output that `passerby ablate` and `passerby compare` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from passerby.cli.common import print_json
from passerby.text import plural

if TYPE_CHECKING:
    from passerby.experiments.comparison_tables import Comparison
    from passerby.experiments.grid_tables import Ablation

DryRun = Annotated[bool, typer.Option("--dry-run", help="List the trainings and train nothing.")]
GridFolder = Annotated[Path, typer.Option("--out", help="Folder of the runs and tables. Finished runs are kept.")]


def print_result(result: Ablation | Comparison, out: Path, *, dry_run: bool, as_json: bool) -> None:
    """Print the tables, or in a dry run the trainings with their states; exit with code 1 if a training failed."""
    if as_json:
        print_json(result.to_dict()["runs"] if dry_run else result.to_dict())
    elif dry_run:
        for number, run in enumerate(result.runs, 1):
            typer.echo(f"[{number}/{len(result.runs)}] {run}")
        typer.echo(f"{sum(run.state != 'done' for run in result.runs)} of {plural(len(result.runs), 'training')} to do")
    else:
        typer.echo(result.to_markdown())
        typer.echo(f"tables: {out}/{', '.join(result.to_files())}")
    if result.failed:
        titles = "; ".join(result.failed)
        typer.echo(f"{len(result.failed)} failed: {titles}. Repeat the command to try them again", err=True)
        raise typer.Exit(1)
