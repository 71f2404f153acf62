"""Command line: `python -m tools.default_model --out RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from passerby.cli.common import Device, Overrides
from passerby.errors import PasserbyError
from passerby.progress import show_log
from tools.default_model.build import DATA, build_continued, build_default_model


def main(
    out: Annotated[Path, typer.Option(help="Folder of the run. The model to ship is written to OUT/shipped.")],
    data: Annotated[str, typer.Option(help="A synth: data set with a test split.")] = DATA,
    overrides: Overrides = None,
    first: Annotated[
        Path | None, typer.Option(help="A built model, to be packed with --continued, --set model.KEY=VALUE, or both.")
    ] = None,
    continued: Annotated[
        list[Path] | None,
        typer.Option(help="A run that continues the one before. Repeatable; the last one is shipped."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Build the default model. Takes hours on two cores; the same command resumes an interrupted run."""
    if continued and not first:
        raise SystemExit("error: --continued: needs --first, the model that the runs continue")
    try:
        with show_log():
            if first:
                shipped = build_continued(
                    out, first, continued or [], overrides=overrides or [], data=data, device=device
                )
            else:
                shipped = build_default_model(out, data=data, overrides=overrides or [], device=device, progress=True)
    except PasserbyError as error:
        raise SystemExit(f"error: {error}") from None
    typer.echo(f"{shipped}: model, recipe, calibration and MODEL_CARD.md")


if __name__ == "__main__":
    typer.run(main)
