"""`passerby evaluate`: figures of a trained model, on its own data or on any other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

from passerby.cli.common import Device, Json, Run
from passerby.cli.train import report
from passerby.errors import RecipeError
from passerby.types import ApRule, ProtocolName

PROTOCOLS = get_args(ProtocolName)
AP_RULES = get_args(ApRule)


def evaluate(
    run: Run,
    data: Annotated[str | None, typer.Option("--data", help="Data sets; without it, those of the training.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for scores.json and figures; without it, the run.")
    ] = None,
    protocol: Annotated[str | None, typer.Option(help=f"{', '.join(PROTOCOLS)}; default: the data set's own.")] = None,
    ap: Annotated[str | None, typer.Option(help=f"{', '.join(AP_RULES)}; default: the recipe's.")] = None,
    flip: Annotated[bool | None, typer.Option("--flip/--no-flip", help="Average with the mirrored image.")] = None,
    cameras: Annotated[
        bool | None,
        typer.Option(
            "--cameras/--no-cameras",
            help="Camera-wise normalization, by the test cameras' unlabeled images; default: the recipe's.",
        ),
    ] = None,
    rerank: Annotated[str | None, typer.Option(help="k-reciprocal: re-rank every list.")] = None,
    expand: Annotated[str | None, typer.Option(help="Query expansion: average, alpha.")] = None,
    sets: Annotated[
        str | None,
        typer.Option(help="All images of a person in a camera as one: mean, attention, best, average, hausdorff."),
    ] = None,
    fuse: Annotated[str | None, typer.Option(help="Other runs, joined with commas, whose lists are fused in.")] = None,
    fuse_by: Annotated[str, typer.Option(help="reciprocal, average, borda.")] = "reciprocal",
    open_set: Annotated[
        bool, typer.Option("--open-set", help="Also known against unknown people: DIR at FAR, ROC, reliability.")
    ] = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Rank-1, mAP and the rest, with intervals and with the rules that they were made by.

    [bold]passerby evaluate runs/m --data dukemtmc:/data/DukeMTMC-reID[/]

    [bold]passerby evaluate default --data cuhk01:/data/cuhk01 --out runs/default[/]

    [bold]passerby evaluate runs/m --rerank k-reciprocal --fuse runs/a,runs/b[/]
    """
    for name, value, known in (("--protocol", protocol, PROTOCOLS), ("--ap", ap, AP_RULES)):
        if value is not None and value not in known:
            raise RecipeError(f"{name} {value!r}: expected one of {', '.join(known)}")
    from passerby.runs.evaluate import evaluate as evaluate_run

    results = evaluate_run(
        run,
        data,
        out=out,
        protocol=cast("ProtocolName | None", protocol),
        ap=cast("ApRule | None", ap),
        flip=flip,
        cameras=cameras,
        rerank=cast("Any", rerank),
        expand=cast("Any", expand),
        sets=cast("Any", sets),
        fuse=[name for name in (fuse or "").split(",") if name],
        fuse_by=cast("Any", fuse_by),
        open_set=open_set,
        device=device,
        progress=True,
    )
    report(results, as_json=as_json, root=out or run)
