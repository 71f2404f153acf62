"""Evaluate a finished run and record its metrics and plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from passerby.errors import DataError, RecipeError, WeightsError, argument, require_several
from passerby.model.embed import load
from passerby.progress import ProgressOption, open_progress
from passerby.recipe import load_recipe
from passerby.runs.calibrate import has_calibration, load_calibration
from passerby.runs.camera_embedding import find_method, normalizes_by_camera, require_cameras
from passerby.runs.evaluate_model import (
    EvaluationResult,
    evaluate_model,
    evaluation_options,
    require_valid_queries,
)
from passerby.runs.ranking_method import RankingMethod
from passerby.runs.run_data import load_run_data
from passerby.runs.run_folder import RunFolder, find_run
from passerby.runs.run_plots import plot_evaluations
from passerby.runs.scores_file import read_scores, record_evaluations
from passerby.runtime.model_manifest import DEFAULT_MODEL, model_folder
from passerby.runtime.networks import ComputePrecision
from passerby.types import ApRule, ProtocolName


def evaluate(
    run: str | Path,
    data: str | None = None,
    *,
    out: str | Path | None = None,
    protocol: ProtocolName | None = None,
    ap: ApRule | None = None,
    flip: bool | None = None,
    ranking: RankingMethod | None = None,
    fuse: Sequence[str | Path] = (),
    open_set: bool = False,
    precision: ComputePrecision = "fp32",
    device: str = "auto",
    progress: ProgressOption = False,
) -> list[EvaluationResult]:
    """Evaluate a finished run on its own data or on other data, and record the metrics and plots.

    Args:
        run: Folder of a finished run, or `default`.
        data: Data sets, as for `train`; None is the training's own. Required for `default`.
        out: Folder for `scores.json` and `plots`; None is the run. Required for `default`.
        protocol: `market`, `single-gallery-shot` or `multi-query`; None is the recipe's, then the data set's own.
        ap: `step` or `trapezoid`; None is the recipe's.
        flip: Average each embedding with that of the mirrored image; None is the recipe's.
        ranking: From embeddings to rank lists, such as `RankingMethod(rerank="k-reciprocal", k1=25)`; None is cosine
            distance with the recipe's camera-wise normalization.
        fuse: Other runs, whose lists are fused with this one's by `ranking.fuse_by`.
        open_set: Measure detection and identification rates, ROC and the error of the calibration, too.
        precision: In which embeddings are computed: `fp32`, or `bf16` as for `load`.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        One result for each data set.

    Raises:
        PasserbyError: If there is no finished run, or the data have no valid query.

    Example:
        >>> (plain,) = passerby.evaluate("runs/m")
        >>> reranked = passerby.evaluate("runs/m", ranking=passerby.RankingMethod(rerank="k-reciprocal", k1=10))
        >>> reranked[0].method.title
        're-ranked (k-reciprocal, 10, 6, 0.3)'
    """
    require_several("fuse", fuse, RecipeError)
    folders = [find_run(run).root, *(model_folder(name) for name in fuse)]
    record = RunFolder(folders[0] if out is None else Path(out))
    if record.root.resolve() == DEFAULT_MODEL.resolve():
        raise WeightsError(
            f"{run}: the folder of the default model is not written to; name another one with {argument('out')}"
        )
    embedders = [load(folder, device=device, precision=precision).use_cache() for folder in folders]
    calibrations = [load_calibration(folder) if has_calibration(folder) else None for folder in folders]
    options = evaluation_options(load_recipe(RunFolder(folders[0]).recipe))
    method = (ranking or RankingMethod()).resolve(
        cameras=bool(options.ranking.cameras),
        models=tuple(map(str, fuse)),
        calibrated=None not in calibrations and not any(map(normalizes_by_camera, embedders)),
    )
    options = replace(
        options,
        protocol=protocol or options.protocol,
        ap=ap or options.ap,
        flip=options.flip if flip is None else flip,
        ranking=method,
    )
    sets = load_run_data(folders[0], embedders[0].manifest, data)
    for data_set in sets:
        require_valid_queries(data_set)
        for embedder in embedders:
            require_cameras(find_method(embedder), data_set)
        if not data_set.query:
            raise DataError(
                f"{data_set.title}: {data_set.root} has no query split; name one, or evaluate on another data set"
            )
    record.create()
    read_scores(record)  # a file of something else is refused before the work
    with open_progress(progress) as report:
        results = [
            evaluate_model(embedders, data_set, options, calibrations=calibrations, open_set=open_set, progress=report)
            for data_set in sets
        ]
    with record.lock(wait=True):  # a second evaluation of this run may end at the same time
        record_evaluations(record, results)
        plot_evaluations(record, results)
    return results
