"""Adapt a model to the cameras of a site: read crops, try the rungs, write a run or nothing."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from passerby.adaptation.adapt_result import NOTHING, AdaptResult, Rung
from passerby.adaptation.adapted_run import calibrate_adapted, write_adapted
from passerby.adaptation.crop_groups import find_crop_groups
from passerby.adaptation.finetune import NAME as FINETUNE
from passerby.adaptation.finetune import FineTuning, finetune
from passerby.adaptation.groups import Groups, describe_groups, find_groups
from passerby.adaptation.ladder import Start, choose, climb_maps, learn_rung, map_rungs, normalize_cameras
from passerby.adaptation.norms import NAME as NORMS
from passerby.adaptation.norms import try_norms
from passerby.adaptation.pictures import Adapted, write_pictures
from passerby.adaptation.rendered import RENDERED, RenderedPeople, read_rendered
from passerby.adaptation.site import Site, count, read_site
from passerby.adaptation.sources import Source
from passerby.adaptation.start_model import StartModel
from passerby.distributed import Process, from_first, join_processes
from passerby.metric.fold import find_obstacle
from passerby.metric.part_maps import split_parts
from passerby.openset.calibration import Calibration
from passerby.progress import ProgressCallback, ProgressOption, open_progress
from passerby.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from passerby.video.boxes import Detector

logger = logging.getLogger(__name__)

PASSES = 6
"""Passes of the fine-tuning where no number is given."""
WORK = ".adapting"
"""Folder of the checkpoints of the fine-tuning, inside the run; it exists while an adaptation is not finished."""


def adapt(
    out: str | Path,
    *,
    data: str | None = None,
    gallery: str | Path | None = None,
    videos: Mapping[str | Path, str] | None = None,
    model: str | Path | None = None,
    labels: bool = False,
    answers: str | Path | None = None,
    detector: Detector | None = None,
    every: int = 1,
    rendered: str = RENDERED,
    passes: int | None = None,
    images: bool = True,
    seed: int = 0,
    device: str = "auto",
    progress: ProgressOption = False,
) -> AdaptResult:
    """Adapt a model to the cameras of a site, mostly without labels, and write it as a run; or write nothing.

    Crops of one track show one person, as do crops with the answer `same` of a review. Without tracks, crops of a
    camera are grouped by their embeddings. Maps of the parts of the embedding are learned from 70 % of these groups and
    compared with the start on the others; a copy of the network is fine-tuned and compared likewise. The best rung
    whose gain exceeds two standard errors is written. Repeat an interrupted call with the same arguments to continue
    it. Under torchrun, the processes divide the batches of the fine-tuning, on the CPU; the first one writes the run.

    Args:
        out: A folder that holds no run yet.
        data: Crops: `folder:DIR?labels=none` (`CAMERA/IMAGE` or `CAMERA/TRACK/IMAGE`), `table:FILE?labels=none`
            (columns path, camera_id, track), or with `labels` data sets, as for `train`.
        gallery: A gallery that keeps crops, in place of `data`.
        videos: Camera of each video file, in place of `data`; people are tracked.
        model: The start: folder of a run, or `default`. None is the model of the gallery, else `default`.
        labels: Learn from the identities of `data`, or from the labels of the gallery.
        answers: Table of answers of a review, about ids of sightings or paths of crops.
        detector: Finds people in the frames of videos; None is OpenCV's HOG detector.
        every: Use every n-th frame of the videos.
        rendered: Data set of synthetic people: a rung keeps 60 % of the mAP on them or more, and without labels the
            calibration is fitted to them.
        passes: Passes of the fine-tuning over the crops, which take minutes; 0 leaves it out. None is 6, and 0 for a
            model that cannot be fine-tuned.
        images: Keep pictures with crops of the site in the run, for its report.
        seed: Seed of the held-out groups and other draws.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        The rungs with their gains, and the folder of the run if one was written.

    Raises:
        DataError: For crops from which nothing can be learned.
        WeightsError: For a model whose weights cannot be changed, and for passes of a `cbn` model.
        TrainingError: For a folder that holds a run or other files.

    Example:
        >>> people = "synth:identities=7,cameras=2,images=2,height=64,test=1"
        >>> result = passerby.adapt("runs/site", data="folder:crops?labels=none", model="runs/m", rendered=people)
        >>> result.chosen, result.folder
        ('nothing', None)
    """
    folder = RunFolder(Path(out))
    folder.require_unused()
    source = Source(data, gallery, videos, detector, every, labels, answers)
    with join_processes("cpu") as process, open_progress(progress if process.first else False) as report:
        start, crops, links = source.read(model, device=device, passes=passes or 0, progress=report)
        if passes is None:
            passes = PASSES if start.fine_tunable else 0
        site = read_site(crops, start.embedder, title=source.title, links=links, seed=seed, progress=report)
        return _climb(
            folder,
            site,
            start,
            source,
            rendered=rendered,
            passes=passes,
            images=images,
            seed=seed,
            process=process,
            progress=report,
        )


def _climb(
    folder: RunFolder,
    site: Site,
    start: StartModel,
    source: Source,
    *,
    rendered: str,
    passes: int,
    images: bool,
    seed: int,
    process: Process,
    progress: ProgressCallback,
) -> AdaptResult:
    """Try the rungs, and write the best one."""
    groups, vectors = find_groups(site, labels=source.labels, seed=seed), None
    if groups.judge is None and not source.labels and not count(site.tracks):
        vectors = from_first(start.embed(site.pixels, progress=progress), process)
        groups = find_crop_groups(site, normalize_cameras(vectors, site.camera_ids), start.parts, seed=seed)
    logger.info("%s; %s", site.describe(), describe_groups(groups.usable, groups.kind))
    if groups.judge is None:
        names = (NORMS, *map_rungs(groups), *((FINETUNE,) if passes else ()))
        rungs = tuple(Rung(name, note=groups.obstacle) for name in names)
        return _summarize(site, groups, rungs, NOTHING, seed=seed)
    people = read_rendered(start, rendered, progress=progress)
    if vectors is None:
        vectors = from_first(start.embed(site.pixels, progress=progress), process)
    shown = from_first(start.embed(people.pixels, progress=progress), process)
    parts = split_parts(vectors, start.parts)
    before = Start(vectors, shown, start.parts, site.camera_ids)
    precision = float(groups.judge.precision(before.normalize(vectors)).mean())
    rung, network = try_norms(start, site, groups, people, start=before, seed=seed)
    networks = {NORMS: network}
    rungs, chosen = _climb_maps(before, groups, people, site, start)
    rungs = (rung, *rungs)
    if passes:
        maps = None
        if chosen is not None:
            maps, _ = learn_rung(chosen, parts, site, groups.learned)
        with folder.lock() if process.first else nullcontext():
            work = folder.root / WORK
            job = FineTuning(start, site, groups, before, people, work, seed, passes, progress, process)
            rung, networks[FINETUNE] = finetune(job, maps)
        rungs = (*rungs, rung)
    chosen = choose(rungs)
    process.wait()  # until all have read the checkpoints
    if chosen is None:
        _delete_work(folder, process)
        return _summarize(site, groups, rungs, NOTHING, start=precision, seed=seed)
    if chosen in networks:
        changed = networks[chosen]
        assert changed is not None
        start.embedder.network.load_state_dict(changed.state_dict())
    else:
        start.apply_maps(learn_rung(chosen, parts, site, groups.numbers)[0])
    after = start.embed(site.pixels, progress=progress)
    calibration = calibrate_adapted(
        site,
        after,
        people,
        start.embed(people.pixels, progress=progress),
        labels=source.labels,
        seed=seed,
    )
    result = _summarize(
        site, groups, rungs, chosen, start=precision, seed=seed, folder=folder.root, calibration=calibration
    )
    description = {**result.to_dict(), "data": site.title, "fingerprint": site.fingerprint, "rendered": rendered}
    del description["folder"]
    if not process.first:
        return result
    source.record(folder.root, site.names)  # first, so that no run exists that the gallery does not list
    write_adapted(folder, start, description, calibration)
    if images:
        write_pictures(folder.root, Adapted(site, groups, before, after))
    _delete_work(folder, process)
    return result


def _delete_work(folder: RunFolder, process: Process) -> None:
    """Delete the checkpoints of the fine-tuning, and the folder if nothing else is in it; by the first process."""
    if not process.first:
        return
    shutil.rmtree(folder.root / WORK, ignore_errors=True)
    if folder.root.is_dir() and not any(folder.root.iterdir()):
        folder.root.rmdir()


def _climb_maps(
    before: Start, groups: Groups, people: RenderedPeople, site: Site, start: StartModel
) -> tuple[tuple[Rung, ...], str | None]:
    """Try the maps, if they can be folded into the network."""
    obstacle = find_obstacle(start.embedder.network) if start.trainable else None
    if obstacle is None:
        return climb_maps(before, groups, people, site=site)
    note = f"the model: {obstacle}; maps cannot be folded into it"
    return tuple(Rung(name, note=note) for name in map_rungs(groups)), None


def _summarize(
    site: Site,
    groups: Groups,
    rungs: tuple[Rung, ...],
    chosen: str,
    *,
    seed: int,
    start: float | None = None,
    folder: Path | None = None,
    calibration: Calibration | None = None,
) -> AdaptResult:
    judge = groups.judge
    return AdaptResult(
        folder=folder,
        chosen=chosen,
        start=start,
        rungs=rungs,
        crops=len(site),
        cameras=len(site.cameras),
        groups=groups.usable,
        held_out=0 if judge is None else count(groups.numbers[judge.held_out]),
        evidence=groups.kind,
        calibration="" if calibration is None else calibration.fitted_on.data,
        seed=seed,
    )
