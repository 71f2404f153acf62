"""`passerby adapt`: adapt a model to the cameras of a site, mostly without labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from passerby.cli.common import Device, Json, cell, print_json, prints_results
from passerby.cli.enroll_sources import load_detector
from passerby.errors import DataError
from passerby.text import plural

if TYPE_CHECKING:
    from passerby.adaptation.adapt_result import AdaptResult, Rung

NOTHING_HELPED = 3
"""Exit code if no run was written because no rung is better than the start."""


def adapt(
    out: Annotated[Path, typer.Option("--out", help="New folder for the adapted run.")],
    data: Annotated[
        str | None,
        typer.Option(help="folder:DIR?labels=none (CAMERA/[TRACK/]IMAGE) or table:FILE?labels=none."),
    ] = None,
    gallery: Annotated[str | None, typer.Option(help="A gallery that was made with --keep crops.")] = None,
    videos: Annotated[list[Path] | None, typer.Option("--video", help="A video of one --camera. Repeatable.")] = None,
    camera: Annotated[list[str] | None, typer.Option(help="Camera of each --video, in the same order.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Run to start from, or default; for a gallery its own model.")
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Learn from the identities of --data or the labels of --gallery.")
    ] = False,
    answers: Annotated[
        Path | None, typer.Option(help="Answers of a review, .csv or .parquet: first, second, answer.")
    ] = None,
    detector: Annotated[
        Path | None, typer.Option(help="Detector for the videos, .onnx or .xml; default: OpenCV's HOG detector.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Use every n-th frame of the videos.")] = 1,
    passes: Annotated[
        int | None,
        typer.Option(min=0, help="Passes of fine-tuning, which take minutes; default: 6, or 0 for a file model."),
    ] = None,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Keep pictures of crops in the run.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the held-out groups and other draws.")] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Adapt a model to your cameras, also without labels. Exit code 3: no gain, and no run; under torchrun 0.

    [bold]passerby adapt --data "folder:/data/site?labels=none" --out runs/site[/]

    [bold]passerby adapt --gallery people --out runs/site[/]

    [bold]passerby adapt --video n.avi --camera north --video s.avi --camera south --out runs/site[/]
    """
    from passerby.adaptation.adapt import adapt as adapt_model

    result = adapt_model(
        out,
        data=data,
        gallery=gallery,
        videos=_pair_cameras(videos or [], camera or []),
        model=model,
        labels=labels,
        answers=answers,
        detector=None if detector is None else load_detector(detector),
        every=every,
        passes=passes,
        images=images,
        seed=seed,
        device=device,
        progress=True,
    )
    if prints_results():
        if as_json:
            print_json(result.to_dict())
        else:
            _print(result)
    if not result.helped and "TORCHELASTIC_RUN_ID" not in os.environ:  # torchrun would take 3 for a failure
        raise typer.Exit(NOTHING_HELPED)


def _pair_cameras(videos: list[Path], cameras: list[str]) -> dict[str | Path, str] | None:
    """Return the camera of each video; None without videos."""
    if len(videos) != len(cameras):
        raise DataError(f"adapt: {len(videos)} --video and {len(cameras)} --camera; give one --camera for each --video")
    if len({video.resolve() for video in videos}) < len(videos):
        raise DataError("adapt: a --video is given twice; give each file once")
    return dict(zip(videos, cameras, strict=True)) or None


def _print(result: AdaptResult) -> None:
    from passerby.adaptation.groups import describe_groups

    console = Console(highlight=False, soft_wrap=True)
    console.print(
        cell(
            f"{plural(result.crops, 'crop')} of {plural(result.cameras, 'camera')}, "
            f"{describe_groups(result.groups, result.evidence)}, {result.held_out:,} of them held out"
        )
    )
    if result.start is None:
        console.print(cell(f"No rung was tried: {result.rungs[0].note}."))
    else:
        _print_rungs(console, result)
    if not result.helped:
        console.print("No rung was accepted; no run was written.")
        return
    console.print(cell(f"{result.folder}: {result.chosen}; calibration fitted to {result.calibration}"))
    console.print(cell(f"Move a gallery to it: passerby gallery reembed GALLERY --model {result.folder}"))


def _print_rungs(console: Console, result: AdaptResult) -> None:
    table = Table()
    for name in ("rung", "gain of held-out mAP", "synthetic people keep", "decision"):
        table.add_column(name)
    chosen = next((rung for rung in result.rungs if rung.name == result.chosen), None)
    for rung in result.rungs:
        table.add_row(*_format_rung(rung, chosen))
    console.print(table)


def _format_rung(rung: Rung, chosen: Rung | None) -> list[Text]:
    from passerby.adaptation.adapt_result import describe_decision

    gain = "" if rung.gain is None else f"{100 * rung.gain:+z.1f} ± {100 * (rung.error or 0):.1f}"
    kept = "" if rung.rendered is None else f"{100 * rung.rendered:.0f} %"
    return [cell(text) for text in (rung.name, gain, kept, describe_decision(rung, chosen))]
