"""Options and output that the commands share. A command's file only parses, calls and prints."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperCommand
from typer.models import CommandFunctionType

from passerby.errors import DataError, name_arguments, require_device
from passerby.files import write_atomic
from passerby.text import escape_controls

if TYPE_CHECKING:
    from PIL import Image

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")


def _check_device(name: str) -> str:
    """Check the name of a device before any work."""
    with name_arguments({"device": "--device"}):
        require_device(name)
    return name


Device = Annotated[
    str,
    typer.Option(help="auto, cpu, cuda, cuda:0, mps.", callback=_check_device),
]
AcceptDrift = Annotated[
    bool,
    typer.Option(
        "--accept-drift",
        help="Accept a model that differs from the gallery's by rounding, such as its int8 file; the card records it.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe: schedule.epochs=60. Repeatable."),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run, or default for the default model.")]


class Command(TyperCommand):
    """A command whose errors name its options where the library names arguments, and the values it received."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of a command line; the error of an option or argument has the value that was received."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            problems = getattr(error.__cause__, "errors", None)  # of pydantic, whose messages of a range have no value
            if problems is not None:
                received, message = repr(problems()[0]["input"]), error.message.removeprefix("Value error, ")
                error.message = message if received in message else f"got {received}. {message}"
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with name_arguments({str(parameter.name): _name(parameter) for parameter in self.params}):
            return super().invoke(ctx)


class App(typer.Typer):
    """A group of commands of class `Command`."""

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = Command, **settings: Any
    ) -> Callable[[CommandFunctionType], CommandFunctionType]:
        """Register a command."""
        return super().command(name, cls=cls, **settings)


def _name(parameter: Any) -> str:
    """Return `--gallery-size` for an option, RUN for an argument."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name).strip("[].").upper()
    return str(next((text for text in parameter.opts if text.startswith("--")), parameter.opts[0]))


def prints_results() -> bool:
    """Return whether this process prints: the first one under torchrun."""
    return (os.environ.get("RANK") or "0") == "0" or (os.environ.get("WORLD_SIZE") or "1") == "1"


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
    """Make the content of a table's cell from any text: no markup, no terminal sequences.

    What is too wide for the terminal is folded, not cut off, since users copy ids and names.
    """
    return Text(escape_controls(str(value)), overflow="fold")


def describe_failure(source: str, reason: str) -> str:
    """Describe an image that could not be used. Most reasons begin with its name, as it was given.

    Example:
        >>> describe_failure("/data/a.jpg", "a.jpg: no such file"), describe_failure("a.tar::b.jpg", "no camera")
        ('/data/a.jpg: no such file', 'a.tar::b.jpg: no camera')
    """
    name, mark, rest = reason.partition(": ")
    return f"{source}: {rest if mark and source.endswith(name) else reason}"


def save_image(image: Image.Image, path: Path) -> None:
    """Write an image completely or not at all, and print its path and size."""
    content = BytesIO()
    image.save(content, format="PNG" if path.suffix.lower() == ".png" else "JPEG")
    write_atomic(path, content.getvalue())
    typer.echo(f"{path}: {image.width} x {image.height} pixels")
