"""`passerby model import`: a checkpoint, ONNX or OpenVINO file of another toolkit becomes a run folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from passerby.cli.common import Json, Overrides, cell, print_json
from passerby.errors import DataError
from passerby.text import plural

if TYPE_CHECKING:
    from passerby.importers.file_models import ImportedFile
    from passerby.importers.import_model import ImportedModel


def import_command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Checkpoint (.pth, .pt, .tar, .safetensors), ONNX file, OpenVINO .xml, folder of reid, timm or "
            "OpenCLIP, or hf_hub:OWNER/NAME.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="New folder for the model, a run to other commands.")],
    family: Annotated[
        str | None,
        typer.Option("--from", metavar="FAMILY", help="Family of the network, needed if the tensors fit several."),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Size of the images, such as 256x128; default: the toolkit's.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="Mean of the channels, such as 0.485,0.456,0.406.")
    ] = None,
    std: Annotated[str | None, typer.Option(metavar="R,G,B", help="Standard deviation of the channels.")] = None,
    channels: Annotated[
        Literal["rgb", "bgr"] | None,
        typer.Option(help="Order of the channels of an ONNX or OpenVINO file: rgb or bgr."),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(help="Divisor of the pixels of an ONNX or OpenVINO file: 255 for 0 to 1, 1 for 0 to 255."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the output with the embedding, of an ONNX or OpenVINO file."),
    ] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Import a model of another toolkit. Its code is not executed."""
    from passerby.importers.import_model import import_model

    imported = import_model(
        file,
        out,
        family=family,
        size=None if size is None else _parse_size(size),
        mean=None if mean is None else _parse_three(mean, "--mean"),
        std=None if std is None else _parse_three(std, "--std"),
        channels=channels,
        scale=scale,
        output=output,
        overrides=overrides or (),
    )
    if as_json:
        print_json(imported.to_dict())
        return
    Console().print(_describe_import(imported))


def _parse_size(text: str) -> tuple[int, int]:
    """Parse 256x128 as (height, width)."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise DataError(f"--size {text!r}: expected height and width in pixels, such as 256x128")
    return int(height), int(width)


def _parse_three(text: str, option: str) -> tuple[float, float, float]:
    """Parse 0.485,0.456,0.406."""
    try:
        red, green, blue = map(float, text.split(","))
    except ValueError:
        raise DataError(f"{option} {text!r}: expected three numbers, such as 0.485,0.456,0.406") from None
    return red, green, blue


def _describe_import(model: ImportedModel | ImportedFile) -> Table:
    """Build a table of what was imported."""
    from passerby.importers.file_models import ImportedFile
    from passerby.importers.import_model import ImportedModel

    images = model.preprocessing
    rows = _describe_checkpoint(model) if isinstance(model, ImportedModel) else _describe_file(model)
    rows |= {
        "image size": "{} x {} pixels".format(*images["size"]),
        "mean": ", ".join(map(str, images["mean"])),
        "standard deviation": ", ".join(map(str, images["std"])),
        "source": "passerby model export" if model.family == "passerby" else model.family,
        **({"license": model.license} if isinstance(model, ImportedFile) and model.license else {}),
        "sha256": model.sha256,
    }
    table = Table(title=cell(model.folder), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, cell(value))
    return table


def _describe_file(model: ImportedFile) -> dict[str, str]:
    rows = {"embedding": f"{plural(model.width, 'number')}: output {model.output}", "resize": "bicubic"}
    rows |= {
        name: str(model.preprocessing.get(name, default)) for name, default in (("channels", "rgb"), ("scale", 255))
    }
    if model.precision is not None:
        rows |= {
            "precision": model.precision,
            "accuracy": str(model.accuracy),
            "mirror image": "averaged inside" if model.flip else "not inside",
        }
    return rows


def _describe_checkpoint(model: ImportedModel) -> dict[str, str]:
    """List what was recognized in a checkpoint, what was assumed, and what was left out."""
    resize, dropped = model.interpolation, model.dropped
    rows = {
        "network": f"{model.model['backbone']}, head {model.model['head']}",
        "not in the tensors": "; ".join(
            f"{key} {model.model.get(key, '')}".strip() + f" ({source})" for key, source in model.assumed.items()
        ),
        "embedding": f"{plural(model.width, 'number')}: {model.embedding}",
        "resize": "bicubic" if resize == "bicubic" else f"bicubic (the toolkit: {resize})",
        "tensors not used": f"{len(dropped)}: {group_layers(dropped)}" if dropped else "none",
        "not tensors": ", ".join(f"{name} ({kind})" for name, kind in model.skipped.items()),
    }
    return {name: value for name, value in rows.items() if value}


def group_layers(names: Sequence[str]) -> str:
    """List the layers of tensors with the number of their tensors; blocks are one layer each.

    Example:
        >>> group_layers(["base.blocks.1.norm1.bias", "base.blocks.1.norm1.weight", "classifier.weight"])
        'base.blocks.1 (2), classifier (1)'
    """
    counts: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")[:-1] or [name]
        numbers = [index for index, part in enumerate(parts) if part.isdecimal()]
        counts[".".join(parts[: numbers[0] + 1 if numbers else 2])] += 1
    return ", ".join(f"{layer} ({count})" for layer, count in counts.items())
