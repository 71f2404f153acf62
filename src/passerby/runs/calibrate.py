"""Calibrate a model: from cosine distances to probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from passerby.data.datasets.public_spec import public_spec
from passerby.data.fingerprint import fingerprint
from passerby.errors import DataError, WeightsError
from passerby.evaluation.pair_histogram import PairHistogram, count_pairs, merge_histograms
from passerby.files import read_json, write_atomic
from passerby.model.embed import load
from passerby.openset.calibration import Calibration, CalibrationMethod, FittedOn, parse_calibration
from passerby.openset.fitting import fit_calibration
from passerby.openset.identification import fit_identification
from passerby.progress import ProgressCallback, ProgressOption, no_progress, open_progress
from passerby.ranking.camera_normalization import standardize_cameras
from passerby.recipe import load_recipe
from passerby.runs.draw import IMAGES, draw_training, embed_groups
from passerby.runs.evaluate_model import EvaluationOptions, evaluation_options
from passerby.runs.run_data import load_run_data
from passerby.runs.run_folder import RunFolder, find_run, write_json
from passerby.runtime.embedder import Embedder
from passerby.runtime.model_fingerprint import fingerprint_network
from passerby.runtime.model_manifest import DEFAULT_MODEL, model_folder
from passerby.runtime.projection import Projection, fit_projection, format_projection, read_projection, require_narrower
from passerby.types import DataSet, Embeddings


def calibrate(
    run: str | Path,
    data: str | None = None,
    *,
    method: CalibrationMethod = "logistic",
    dims: int | None = None,
    images: int = IMAGES,
    seed: int = 0,
    device: str = "auto",
    progress: ProgressOption = False,
) -> Calibration:
    """Fit a calibration to training images and write it into the run as `calibration.json`.

    Without `data` the images are those that the network was trained on. It separates them better than other images, so
    that the probabilities are over-confident. Prefer `data` from the cameras where the model is used.

    With `dims`, the calibration is that of vectors projected to so many numbers, in `calibration-DIMS.json`. The
    projection is `projection.safetensors`; it is fitted to the same images if the run has none, and stays otherwise.

    Args:
        run: Folder of a finished run.
        data: Data sets, as for `train`, whose train splits are used; None is the training's own.
        method: `logistic` or `isotonic`; see `fit_calibration`.
        dims: Width of the projected vectors, below the model's; None calibrates the model's own vectors.
        images: Largest number of images, of all data sets together. All images of random identities are drawn.
        seed: Seed of that draw, and of the galleries for the probabilities of identification.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        The calibration that was written.

    Raises:
        PasserbyError: If there is no finished run, the data have no pair of the same or of different identities, or
            `dims` is not below the model's width or above the components of the projection.

    Example:
        >>> calibration = passerby.calibrate("runs/m", images=40)
        >>> near, far = calibration.probability([0.1, 1.0])
        >>> bool(near >= far)
        True
    """
    folder = find_run(run)
    if folder.root.resolve() == DEFAULT_MODEL.resolve():
        raise WeightsError(
            f"{run}: the folder of the default model is not written to; copy {DEFAULT_MODEL} and calibrate the copy"
        )
    embedder = load(folder.root, device=device).use_cache()
    if dims is not None:
        require_narrower(dims, embedder.width)
    sets = load_run_data(folder.root, embedder.manifest, data)
    with open_progress(progress) as report:
        options, spec = evaluation_options(load_recipe(folder.recipe)), data or str(embedder.manifest["data"])
        groups = embed_groups(embedder, draw_training(sets, images, seed=seed), options, progress=report)
    projection = None
    if dims is not None:
        projection = find_projection(folder, embedder, groups, spec=spec).take(dims)
        groups = [replace(group, vectors=projection.apply(group.vectors)) for group in groups]
    trained_on = any(was_trained_on(embedder, data) for data in sets)
    calibration = calibrate_embeddings(groups, spec=spec, trained_on=trained_on, method=method, seed=seed)
    if projection is None:
        write_calibration(folder, calibration)
    else:  # the hash ties it to the projection
        tree = {**calibration.to_dict(), "projection": projection.sha256}
        write_json(folder.narrow_calibration(projection.dims), tree)
    return calibration


def find_projection(folder: RunFolder, embedder: Embedder, groups: Sequence[Embeddings], *, spec: str) -> Projection:
    """Read the projection of a run, or fit it to the embeddings of its calibration and write it.

    Args:
        folder: Folder of the run.
        embedder: Its model.
        groups: Embeddings of each data set.
        spec: Name of the data sets in the result.
    """
    network = fingerprint_network(embedder)
    projection = read_projection(folder.root, network=network)
    if projection is None:
        projection = fit_projection([group.vectors for group in groups], data=public_spec(spec))
        write_atomic(folder.projection, format_projection(projection, network=network))
    return projection


def calibrate_model(
    embedder: Embedder,
    sets: Sequence[DataSet],
    options: EvaluationOptions,
    *,
    spec: str,
    method: CalibrationMethod = "logistic",
    images: int = IMAGES,
    seed: int = 0,
    progress: ProgressCallback = no_progress,
) -> Calibration:
    """Fit a calibration of a model in memory; see `calibrate`.

    Pairs are of images from different cameras within one data set. The result also holds the probabilities of
    identification (`fit_identification`), and both again for distances under camera-wise normalization.

    Args:
        embedder: The model.
        sets: Data sets with a train split.
        options: How images are embedded.
        spec: Name of the data sets in the result.
        method: As for `calibrate`.
        images: As for `calibrate`.
        seed: As for `calibrate`.
        progress: Callback that receives the number of embedded images, as task `embed`.
    """
    plain = embed_groups(embedder, draw_training(sets, images, seed=seed), options, progress=progress)
    trained_on = any(was_trained_on(embedder, data) for data in sets)
    return calibrate_embeddings(plain, spec=spec, trained_on=trained_on, method=method, seed=seed)


def calibrate_embeddings(
    plain: Sequence[Embeddings], *, spec: str, trained_on: bool, method: CalibrationMethod = "logistic", seed: int = 0
) -> Calibration:
    """Fit a calibration to embeddings; see `calibrate_model`.

    Args:
        plain: Embeddings of each data set.
        spec: Name of the data sets in the result.
        trained_on: Whether the network was trained on these identities.
        method: As for `calibrate`.
        seed: Seed of the galleries for the probabilities of identification.

    Raises:
        DataError: Without a pair of the same or of different identities in two cameras.
    """
    pairs = _count_pairs(plain)
    fitted_on = FittedOn(
        data=public_spec(spec),
        identities=sum(len(np.unique(embeddings.person_ids)) for embeddings in plain),
        images=sum(map(len, plain)),
        same=int(pairs.same.sum()) // 2,  # a set against itself has each pair twice
        different=int(pairs.different.sum()) // 2,
        trained_on=trained_on,
    )
    normalized = [standardize_cameras(embeddings) for embeddings in plain]
    calibration, cameras = (
        replace(
            fit_calibration(histogram, fitted_on, method=method), identification=fit_identification(groups, seed=seed)
        )
        for histogram, groups in ((pairs, plain), (_count_pairs(normalized), normalized))
    )
    return replace(calibration, cameras=cameras)


def write_calibration(folder: RunFolder, calibration: Calibration) -> None:
    """Write `calibration.json` of a run."""
    write_json(folder.calibration, calibration.to_dict())


def has_calibration(run: str | Path) -> bool:
    """Return whether a run or a saved model has a calibration."""
    return RunFolder(model_folder(run)).calibration.is_file()


def load_calibration(run: str | Path) -> Calibration:
    """Load the calibration of a run or a saved model.

    Args:
        run: Folder of a finished run, or `default`.

    Raises:
        DataError: If there is none, or it cannot be read; the message names the file.

    Example:
        >>> passerby.load_calibration("runs/m").method
        'logistic'
    """
    path = RunFolder(model_folder(run)).calibration
    if not path.is_file():
        raise DataError(f"{path}: no such file; make it with passerby.calibrate({str(run)!r})")
    try:
        tree = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: {error}") from None
    return parse_calibration(tree, path)


def was_trained_on(embedder: Embedder, data: DataSet) -> bool:
    """Return whether the model was trained on this data set, by the fingerprints in its manifest.

    A run that `upgrade_run` has converted without its data has no fingerprint for each data set; its titles are
    compared then, which two data sets may share.
    """
    fingerprints = embedder.manifest.get("fingerprints")
    if fingerprints is None:
        return data.title in embedder.manifest.get("titles", ())
    return fingerprint([data]) in fingerprints


def _count_pairs(groups: Sequence[Embeddings]) -> PairHistogram:
    """Count the pairs within each group."""
    return merge_histograms(count_pairs(embeddings, embeddings) for embeddings in groups)
