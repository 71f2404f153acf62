"""`passerby calibrate`: what a run's distances mean, as probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from passerby.cli.common import Device, Json, print_json


def calibrate(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    data: Annotated[
        str | None, typer.Option("--data", help="Fit to the training people of these sets, not to the run's own.")
    ] = None,
    method: Annotated[str, typer.Option(help="logistic, isotonic.")] = "logistic",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Learn the probability that two images show the same person, and keep it beside the model.

    [bold]passerby calibrate runs/m --data folder:/data/ours[/]
    """
    from passerby.runs.calibrate import calibrate as calibrate_run
    from passerby.runs.run_folder import RunFolder

    found = calibrate_run(run, data, method=cast("Any", method), device=device, progress=True)
    if as_json:
        print_json({"run": str(run), "calibration": found.to_dict()})
        return
    seen = found.fitted_on
    typer.echo(
        f"{RunFolder(run).calibration}: {found.method}, fitted to {seen.same:,} pairs of one person and "
        f"{seen.different:,} of two, {seen.identities:,} people of {seen.data}"
    )
    if seen.trained_on:
        typer.echo("the network was trained on these people: its probabilities will be over-confident on others")
