"""`passerby evaluate`: metrics of a finished run on its own data or on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from passerby.cli.common import Device, Json, Run
from passerby.errors import DataError


def evaluate(
    run: Run,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Data sets; default: those of the training. Required for default."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for scores.json and plots; default: the run. The default model needs it."),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="market, single-gallery-shot, multi-query; default: the data set's own.")
    ] = None,
    ap: Annotated[str | None, typer.Option(help="step, trapezoid; default: the recipe's.")] = None,
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Average each embedding with that of the mirrored image.")
    ] = None,
    cameras: Annotated[
        bool | None,
        typer.Option(
            "--cameras/--no-cameras",
            help="Normalize per camera, by the test cameras' unlabeled images; default: the recipe's.",
        ),
    ] = None,
    rerank: Annotated[str | None, typer.Option(help="Re-rank every list: k-reciprocal.")] = None,
    k1: Annotated[
        int | None, typer.Option("--k1", help="Re-ranking: neighbors of the reciprocity test; default: 20.")
    ] = None,
    k2: Annotated[
        int | None, typer.Option("--k2", help="Re-ranking: neighbors that are averaged, 1 is off; default: 6.")
    ] = None,
    lambda_: Annotated[
        float | None,
        typer.Option("--lambda", help="Re-ranking: weight of the original distance, 0 to 1; default: 0.3."),
    ] = None,
    expand: Annotated[str | None, typer.Option(help="Query expansion: average, alpha.")] = None,
    sets: Annotated[
        str | None,
        typer.Option(
            help="All images of an identity in a camera as one item: mean, attention, best, average, hausdorff."
        ),
    ] = None,
    fuse: Annotated[str | None, typer.Option(help="Other runs whose rank lists are fused, joined with commas.")] = None,
    fuse_by: Annotated[
        str | None, typer.Option(help="Rule of --fuse: reciprocal, average, borda; default: reciprocal.")
    ] = None,
    open_set: Annotated[
        bool, typer.Option("--open-set", help="Also measure DIR at FAR, ROC and the error of the calibration.")
    ] = False,
    precision: Annotated[
        str, typer.Option(help="In which embeddings are computed: fp32, or bf16 by OpenVINO.")
    ] = "fp32",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure Rank-1, mAP and other metrics, with intervals, and record them with the rules of the measurement.

    [bold]passerby evaluate runs/m --data dukemtmc:/data/DukeMTMC-reID[/]

    [bold]passerby evaluate default --data cuhk01:/data/cuhk01 --out runs/default[/]

    [bold]passerby evaluate runs/m --rerank k-reciprocal --k1 25 --fuse runs/a,runs/b[/]
    """
    from passerby.cli.tables import print_results
    from passerby.runs.evaluate import evaluate as evaluate_run
    from passerby.runs.ranking_method import RankingMethod

    parameters = {"k1": k1, "k2": k2, "lambda_": lambda_, "fuse_by": fuse_by}
    given: dict[str, Any] = {name: value for name, value in parameters.items() if value is not None}
    for name in given:
        needed, value = ("--fuse", fuse) if name == "fuse_by" else ("--rerank", rerank)
        if value is None:
            raise DataError(f"--{name.strip('_').replace('_', '-')} has no effect without {needed}; add {needed}")
    ranking = RankingMethod(
        cameras=cameras, rerank=cast("Any", rerank), expand=cast("Any", expand), sets=cast("Any", sets), **given
    )
    results = evaluate_run(
        run,
        data,
        out=out,
        protocol=cast("Any", protocol),
        ap=cast("Any", ap),
        flip=flip,
        ranking=ranking,
        fuse=[name for name in (fuse or "").split(",") if name],
        open_set=open_set,
        precision=cast("Any", precision),
        device=device,
        progress=True,
    )
    print_results(results, as_json=as_json, root=out or run)
