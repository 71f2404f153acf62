"""`passerby model export`: a run as a file that runs without PyTorch."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from passerby.cli.common import Json, Run, cell, print_json
from passerby.text import plural


def export_command(
    run: Run,
    out: Annotated[Path, typer.Option("--out", help="File to write: .onnx, or .xml with a .bin beside it.")],
    to: Annotated[str, typer.Option("--to", help="onnx, openvino.")] = "onnx",
    precision: Annotated[
        str,
        typer.Option(
            help="fp32; fp16: weights stored in half precision; int8: convolutions and matrix products in 8 bits."
        ),
    ] = "fp32",
    flip: Annotated[
        bool,
        typer.Option(
            "--flip/--no-flip", help="Average each embedding with that of the mirrored image, inside the file."
        ),
    ] = False,
    check: Annotated[
        str | None, typer.Option(help="Data set on which Rank-1 and mAP are compared before and after.")
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            help="Folder of crops, or a data set whose training images are used, for the comparison and the ranges of "
            "int8; default: synthetic people."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the synthetic people and of the choice of images.")] = 0,
    min_cosine: Annotated[
        float | None,
        typer.Option(help="Least cosine to the model's vectors; default: 0.999 for fp32, 0.998 for fp16."),
    ] = None,
    max_loss: Annotated[float, typer.Option(help="Largest loss of mAP by --check, in percentage points.")] = 0.5,
    as_json: Json = False,
) -> None:
    """Export a run to a file that runs without PyTorch, with a certificate of its accuracy.

    [bold]passerby model export default --out default.onnx[/]

    [bold]passerby model export runs/m --to openvino --precision int8 --check cuhk01:/data/cuhk01 --out m.xml[/]
    """
    from passerby.exporting.export_model import export_model

    with _removing_drafts():
        exported = export_model(
            run,
            out,
            to=cast("Any", to),
            precision=cast("Any", precision),
            flip=flip,
            check=check,
            images=images,
            seed=seed,
            min_cosine=min_cosine,
            max_loss=max_loss,
            progress=True,
        )
    if as_json:
        print_json(exported.to_dict())
        return
    certificate = exported.certificate
    console = Console(highlight=False, soft_wrap=True)
    console.print(cell(f"{out}: {precision}, {exported.size / 1e6:.2f} MB"))
    console.print(
        cell(
            f"cosine to the model's vectors: least {certificate.cosine_min:.5f}, mean {certificate.cosine_mean:.5f} "
            f"({plural(certificate.images, 'crop')} of {certificate.source})"
        )
    )
    if certificate.check is not None:
        console.print(cell(str(certificate.check)))
    if certificate.accuracy == "not verified":
        people = "a labeled data set" if certificate.check is None else "a labeled data set of real people"
        console.print(f"[yellow]accuracy not verified[/]: name {people} with --check")


@contextmanager
def _removing_drafts() -> Iterator[None]:
    """End at SIGTERM by an exception, as at Ctrl-C, so that drafts are removed."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
