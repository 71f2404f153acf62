"""`passerby embed`: embed any number of images to shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.text import Text

from passerby.cli.common import Device, Json, cell, describe_failure, print_json
from passerby.cli.gallery_options import parse_time
from passerby.text import plural


def embed(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Folder, image, .csv or .parquet table, data set, .tar files, or s3://bucket/folder.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the job. The same command continues it.")],
    model: Annotated[str, typer.Option(help="Folder of a run, a model file, or default.")] = "default",
    camera: Annotated[str | None, typer.Option(help="Camera of all images.")] = None,
    time: Annotated[str | None, typer.Option(help="Time of all images: ISO 8601 (UTC) or seconds since 1970.")] = None,
    label: Annotated[str | None, typer.Option(help="Label of all images.")] = None,
    folders: Annotated[
        str | None, typer.Option(help="Meaning of the folders inside: camera, label, camera/label, label/camera.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of a data set: train, query or gallery (default).")] = None,
    numbers: Annotated[str, typer.Option(help="Number type of stored vectors: fp32, fp16 or int8.")] = "fp32",
    runtime: Annotated[str, typer.Option(help="torch, onnx, openvino or auto.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, or bf16 by openvino.")] = "fp32",
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Average with the mirror image.")] = True,
    batch: Annotated[int, typer.Option(help="Images per forward pass.")] = 32,
    threads: Annotated[int, typer.Option(help="Threads of the runtime in each worker.")] = 1,
    shard_size: Annotated[int, typer.Option(help="Images of a shard; a .tar file is one shard.")] = 4096,
    workers: Annotated[int, typer.Option(help="Worker processes on this machine.")] = 1,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Engine that runs the workers.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster; default: a cluster on this machine.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Embed images to Parquet shards. The same command continues a killed job, and may run on several machines.

    [bold]passerby embed crops/ --folders camera --out shards --workers 2[/]

    [bold]passerby enroll people --embeddings shards[/]
    """
    from passerby.extraction.embed_source import EmbedSettings
    from passerby.extraction.embed_source import embed as run
    from passerby.extraction.items import SourceOptions

    folder_meaning: Any = folders
    number_type: Any = numbers
    result = run(
        source,
        model,
        out,
        options=SourceOptions(camera, parse_time(time, "--time"), label, folder_meaning, split),
        settings=EmbedSettings(runtime, precision, number_type, flip, batch, threads, shard_size, device),
        workers=workers,
        engine=engine,
        address=address,
        progress=True,
    )
    if as_json:
        print_json(result.to_dict())
    else:
        console = Console(highlight=False, soft_wrap=True)
        console.print(cell(f"{out}: {plural(result.embedded, 'crop')} in {plural(result.shards, 'shard')}"))
        for origin, reason in result.unreadable[:3]:
            console.print(Text.assemble(("not embedded", "yellow"), " ", cell(describe_failure(origin, reason))))
        if result.failures > 3:
            console.print(f"and {result.failures - 3:,} more; {out}/errors has them")
    if result.failures:
        raise typer.Exit(1)
