"""Command line: `python -m tools.body_estimator --out FOLDER`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from passerby.errors import PasserbyError
from passerby.progress import show_log
from tools.body_estimator.build import STEPS, build_body_estimator


def main(
    out: Annotated[Path, typer.Option(help="Folder for model.safetensors and manifest.json.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps of 32 rendered images.")] = STEPS,
) -> None:
    """Train the body estimator on rendered people and measure it on others."""
    try:
        with show_log():
            build_body_estimator(out, steps=steps, progress=True)
    except PasserbyError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    typer.run(main)
