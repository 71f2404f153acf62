"""Options and output that the verbs share. A verb's file only parses, calls and prints."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from passerby.errors import DataError
from passerby.files import write_atomic

if TYPE_CHECKING:
    from PIL import Image

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")

Data = Annotated[str, typer.Option("--data", help="name:path?option=value. Join several with +.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0, mps. Under torchrun each process has its own GPU.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe: schedule.epochs=60. Repeatable."),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run, or default for the default model.")]


def print_json(tree: Any) -> None:
    """Print a JSON-serializable value to stdout, indented."""
    typer.echo(json.dumps(tree, indent=2))


def require_image_name(path: Path, *, option: str) -> None:
    """Check the name of an image to be written, before any work.

    Raises:
        DataError: If it does not end in one of `IMAGE_ENDINGS`.
    """
    if path.suffix.lower() not in IMAGE_ENDINGS:
        raise DataError(f"{option} {path}: expected a name that ends in .png or .jpg")


def save_image(image: Image.Image, path: Path) -> None:
    """Write an image completely or not at all, and print its path and size."""
    content = BytesIO()
    image.save(content, format="PNG" if path.suffix.lower() == ".png" else "JPEG")
    write_atomic(path, content.getvalue())
    typer.echo(f"{path}: {image.width} x {image.height} pixels")
