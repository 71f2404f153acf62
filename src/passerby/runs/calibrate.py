"""Calibrate: what a run's distances mean, learned from people set aside for learning, kept beside the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np

from passerby.data.datasets import load_data
from passerby.errors import DataError
from passerby.evaluation.pair_histogram import PairHistogram, count_pairs, merge_histograms
from passerby.model.embed import Embedder, load
from passerby.openset.calibration import Calibration, CalibrationMethod, FittedOn
from passerby.openset.fitting import fit_calibration
from passerby.openset.identification import fit_identification
from passerby.progress import ProgressCallback, ProgressOption, no_progress, open_progress, part_of
from passerby.ranking.camera_normalization import standardize_cameras
from passerby.recipe import load_recipe
from passerby.runs.run_folder import RunFolder, write_json
from passerby.types import DataSet, Embeddings, Sample

IMAGES = 4000
"""Most training images that are embedded: 8 million pairs."""


def calibrate(
    run: str | Path,
    data: str | None = None,
    *,
    method: CalibrationMethod = "logistic",
    images: int = IMAGES,
    seed: int = 0,
    device: str = "auto",
    progress: ProgressOption = False,
) -> Calibration:
    """Fit a calibration to the *training* people of a data set and write it into the run as `calibration.json`.

    Without `data` these are the people that the network was trained on. It tells them apart better than anybody else,
    so the probabilities will be over-confident; the training people of another data set are not learned by heart.
    Pairs are of images from different cameras, within one data set; beside them stands what the nearest of many people
    is worth (`fit_identification`), and both again for distances under camera-wise normalization.

    Args:
        run: The folder of a finished run.
        data: Data sets, as for `train`, whose train splits are used; None is what the run was trained on.
        method: `logistic` or `isotonic`; see `fit_calibration`.
        images: At most so many, shared by the data sets: whole people, drawn with `seed`.
        seed: Of that draw, and of the galleries that identification is learned from.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        The calibration that was written.

    Raises:
        PasserbyError: When there is no finished run, or the data hold no pair of either kind.
    """
    folder = Path(run)
    embedder = load(folder, device=device)
    sets = load_data(data or embedder.manifest["data"])
    with open_progress(progress) as report:
        embedded = embed_groups(folder, embedder, draw_training(sets, images, seed=seed), progress=report)
    pairs = _pairs(embedded)
    fitted_on = FittedOn(
        data=data or str(embedder.manifest["data"]),
        identities=sum(len(np.unique(each.person_ids)) for each in embedded),
        images=sum(map(len, embedded)),
        same=int(pairs.same.sum()) // 2,  # a set against itself holds each pair twice
        different=int(pairs.different.sum()) // 2,
        trained_on=any(was_trained_on(embedder, each) for each in sets),
    )
    normalized = [standardize_cameras(each) for each in embedded]
    plain, cameras = (
        replace(
            fit_calibration(counted, fitted_on, method=method), identification=fit_identification(groups, seed=seed)
        )
        for counted, groups in ((pairs, embedded), (_pairs(normalized), normalized))
    )
    calibration = replace(plain, cameras=cameras)
    write_json(RunFolder(folder).calibration, calibration.to_dict())
    return calibration


def _pairs(groups: Sequence[Embeddings]) -> PairHistogram:
    """All pairs within each group."""
    return merge_histograms(count_pairs(each, each) for each in groups)


def has_calibration(run: str | Path) -> bool:
    """Whether a run has been calibrated."""
    return RunFolder(Path(run)).calibration.is_file()


def load_calibration(run: str | Path) -> Calibration:
    """The calibration of a run or a saved model.

    Raises:
        DataError: When there is none, or it cannot be read; the file is named.
    """
    path = RunFolder(Path(run)).calibration
    if not path.is_file():
        raise DataError(f"{path}: no such file; make it with passerby.calibrate({str(run)!r})")
    try:
        return Calibration.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}") from None


def embed_groups(
    run: Path,
    embedder: Embedder,
    groups: Sequence[Sequence[Sample]],
    *,
    progress: ProgressCallback = no_progress,
) -> list[Embeddings]:
    """Embed several lists of images as the run's recipe evaluates, one progress for all."""
    recipe = load_recipe(RunFolder(run).recipe)
    total = sum(map(len, groups))

    def embed_one(samples: Sequence[Sample], before: int) -> Embeddings:
        part = part_of(progress, before, total)
        settings = recipe.evaluation
        workers = recipe.batches.workers
        return embedder.embed_samples(samples, flip=settings.flip, batch=settings.batch, workers=workers, progress=part)

    starts = [0, *accumulate(map(len, groups))]
    return [embed_one(samples, before) for samples, before in zip(groups, starts, strict=False)]


def draw_training(sets: Sequence[DataSet], images: int, *, seed: int) -> list[list[Sample]]:
    """Training images of each data set: whole people, drawn until its share of `images` is reached.

    Raises:
        DataError: For `images` below 1, or a data set without a train split.
    """
    if images < 1:
        raise DataError(f"images: got {images}, expected at least 1")
    generator = np.random.default_rng(seed)
    return [draw_people(each, images // len(sets), generator) for each in sets]


def draw_people(data: DataSet, images: int, generator: np.random.Generator) -> list[Sample]:
    """All training images of people drawn one by one, until `images` are reached; at least two people.

    Raises:
        DataError: For an empty train split.
    """
    by_person: dict[int, list[Sample]] = {}
    for sample in data.train:
        by_person.setdefault(sample.person_id, []).append(sample)
    if not by_person:
        raise DataError(f"{data.title}: the train split of {data.root} is empty; expected images to learn from")
    drawn: list[Sample] = []
    for number, person in enumerate(generator.permutation(sorted(by_person)).tolist()):
        if number >= 2 and len(drawn) + len(by_person[person]) > images:
            break
        drawn += by_person[person]
    return drawn


def was_trained_on(embedder: Embedder, data: DataSet) -> bool:
    """Whether the network has seen this data set's training people, as far as its manifest tells."""
    return data.title in embedder.manifest.get("titles", ())
