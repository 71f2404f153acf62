"""`passerby calibrate`: from distances to probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from passerby.cli.common import Device, Json, print_json
from passerby.text import plural


def calibrate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    data: Annotated[
        str | None, typer.Option("--data", help="Data sets whose training images are used; default: the run's own.")
    ] = None,
    method: Annotated[str, typer.Option(help="logistic, isotonic.")] = "logistic",
    dims: Annotated[
        int | None,
        typer.Option(min=1, help="Calibrate vectors projected to this width, for galleries made with `enroll --dims`."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Fit the probability that two images are of the same person, and write it into the run as calibration.json.

    [bold]passerby calibrate runs/m --data folder:/data/ours[/]
    """
    from passerby.runs.calibrate import calibrate as calibrate_run
    from passerby.runs.run_folder import RunFolder

    calibration = calibrate_run(run, data, method=cast("Any", method), dims=dims, device=device, progress=True)
    if as_json:
        print_json({"run": str(run), "calibration": calibration.to_dict()})
        return
    folder, fitted_on = RunFolder(run), calibration.fitted_on
    path = folder.calibration if dims is None else folder.narrow_calibration(dims)
    typer.echo(
        f"{path}: {calibration.method}, fitted to {plural(fitted_on.same, 'pair')} of the same "
        f"and {plural(fitted_on.different, 'pair')} of different identities, "
        f"{plural(fitted_on.identities, 'identity')} of {fitted_on.data}"
    )
    if fitted_on.trained_on:
        typer.echo("The network was trained on these images: probabilities on other images will be over-confident.")
