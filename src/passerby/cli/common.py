"""Options and output that the commands share. A command's file only parses, calls and prints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from passerby.errors import DataError
from passerby.files import write_atomic
from passerby.text import escape_controls

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


def require_image_name(
    path: Path, *, option: str, inputs: Iterable[Path] = (), endings: Sequence[str] = IMAGE_ENDINGS
) -> None:
    """Check the name of an image to be written, before any work.

    Args:
        path: The image.
        option: Option that names it.
        inputs: Files that the command reads and must not replace.
        endings: Formats that the command writes.

    Raises:
        DataError: If it does not end in one of `endings`, or is one of the inputs.
    """
    if path.suffix.lower() not in endings:
        expected = " or ".join(ending for ending in endings if ending != ".jpeg")
        raise DataError(f"{option} {path}: expected a name that ends in {expected}")
    if path.exists() and any(image.exists() and path.samefile(image) for image in inputs):
        raise DataError(f"{option} {path}: the command reads this file; name another one")


def cell(value: object) -> Text:
    """Make the content of a table's cell from any text: no markup, no terminal sequences."""
    return Text(escape_controls(str(value)))


def save_image(image: Image.Image, path: Path) -> None:
    """Write an image completely or not at all, and print its path and size."""
    content = BytesIO()
    image.save(content, format="PNG" if path.suffix.lower() == ".png" else "JPEG")
    write_atomic(path, content.getvalue())
    typer.echo(f"{path}: {image.width} x {image.height} pixels")
