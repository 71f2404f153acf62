"""Evaluate: a model and a data set in; figures that say how they were made, and the pictures behind them, out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passerby.data.datasets import load_data
from passerby.data.fingerprint import fingerprint
from passerby.data.images import read_image
from passerby.errors import DataError, WeightsError
from passerby.evaluation.multi_query import average_queries
from passerby.evaluation.score import score
from passerby.evaluation.summary import Scores
from passerby.model.embed import Embedder, load
from passerby.model.weights import DEFAULT_MODEL, model_folder
from passerby.openset.calibration import Calibration
from passerby.plots.cmc import plot_cmc
from passerby.plots.rank_lists import Order, choose_queries, plot_rank_lists
from passerby.progress import ProgressCallback, ProgressOption, no_progress, open_progress, part_of
from passerby.ranking.fuse import Fusion
from passerby.ranking.rank import record_ranking
from passerby.ranking.sets import Pooling, SetDistance
from passerby.recipe import Recipe, load_recipe
from passerby.runs.calibrate import has_calibration, load_calibration
from passerby.runs.open_set import OpenSet, draw_open_set, measure_open_set
from passerby.runs.ranking_method import Expansion, Method, Rerank, make_lists
from passerby.runs.run_folder import RunFolder, write_json
from passerby.types import ApRule, DataSet, Embeddings, ProtocolName, Ranking, Sample

SHOWN = 10
"""Items of each list that are kept and drawn."""
ORDERS: tuple[Order, ...] = ("worst", "random", "best")


@dataclass(frozen=True)
class EvaluationResult:
    """One model on one data set.

    Attributes:
        data: What was evaluated on.
        scores: The figures.
        query: Embeddings of `data.query` by the run's own model (averaged under `multi-query`).
        gallery: Embeddings of `data.gallery`.
        flip: Whether each embedding is the mean with the mirrored image's.
        method: How lists were made of the embeddings.
        ranking: The first ten of every list.
        query_samples: An image for each list.
        gallery_samples: An image for each gallery item.
        open_set: What a threshold can do, where that was asked for.
    """

    data: DataSet
    scores: Scores
    query: Embeddings
    gallery: Embeddings
    flip: bool
    method: Method
    ranking: Ranking
    query_samples: Sequence[Sample]
    gallery_samples: Sequence[Sample]
    open_set: OpenSet | None = None

    @property
    def title(self) -> str:
        """The data, and how lists were made where that needs saying."""
        return f"{self.data.title}, {self.method.title}" if self.method.title else self.data.title

    def to_dict(self) -> dict[str, Any]:
        """What `scores.json` holds: the figures with everything that they depend on."""
        return {
            "data": self.data.spec,
            "title": self.data.title,
            "fingerprint": fingerprint([self.data]),
            "flip": self.flip,
            "method": self.method.title,
            **self.scores.to_dict(per_query=False),
            **({} if self.open_set is None else self.open_set.to_dict()),
        }


def evaluate(
    run: str | Path,
    data: str | None = None,
    *,
    out: str | Path | None = None,
    protocol: ProtocolName | None = None,
    ap: ApRule | None = None,
    flip: bool | None = None,
    cameras: bool | None = None,
    rerank: Rerank | None = None,
    expand: Expansion | None = None,
    sets: Pooling | SetDistance | None = None,
    fuse: Sequence[str | Path] = (),
    fuse_by: Fusion = "reciprocal",
    open_set: bool = False,
    device: str = "auto",
    progress: ProgressOption = False,
) -> list[EvaluationResult]:
    """Evaluate a finished run on its own data or on any other, and record the figures and pictures.

    Args:
        run: The folder that `train` made, or `default` for the package's own model.
        data: Data sets, as for `train`; None is what the run was trained on.
        out: A folder for `scores.json` and `figures`; None is the run itself. The package's own model needs one.
        protocol: `market`, `single-gallery-shot` or `multi-query`; None is the recipe's, then the data set's own.
        ap: `step` or `trapezoid`; None is the recipe's.
        flip: Average with the mirrored image; None is the recipe's.
        cameras: Camera-wise normalization, which uses the test cameras' unlabeled images; None is the recipe's.
        rerank: `k-reciprocal` re-ranks every list; see `Method` for this and what follows.
        expand: `average` or `alpha`: query expansion.
        sets: All images of a person in a camera as one query or one gallery item.
        fuse: Other runs, whose lists are fused with this one's.
        fuse_by: `reciprocal`, `average` (of calibrated probabilities, for runs that have them) or `borda`.
        open_set: Also detection and identification rates, ROC, and what the run's calibration is worth.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        One evaluation for each data set.

    Raises:
        PasserbyError: When there is no finished run, or the data cannot be evaluated on.
    """
    folders = [model_folder(name) for name in (run, *fuse)]
    record = RunFolder(Path(out) if out is not None else folders[0])
    if record.root.resolve() == DEFAULT_MODEL.resolve():
        raise WeightsError(f"{run}: the package's own model keeps no figures; say with --out where they go")
    embedder, *others = (load(each, device=device) for each in folders)
    calibrations = [load_calibration(each) if has_calibration(each) else None for each in folders]
    recipe = load_recipe(RunFolder(folders[0]).recipe)
    settings = recipe.evaluation
    cameras = settings.cameras if cameras is None else cameras
    plain = not (rerank or expand or sets or cameras)
    method = Method(
        cameras=cameras,
        rerank=rerank,
        expand=expand,
        sets=sets,
        fuse=fuse_by,
        models=tuple(map(str, fuse)),
        calibrated=fuse_by == "average" and plain and None not in calibrations,
    )
    chosen = load_data(data or embedder.manifest["data"])
    for each in chosen:
        require_valid_queries(each)
        if not each.query:
            raise DataError(f"{each.title}: {each.root} has no query split; name one, or evaluate on another data set")
    record.make()
    with open_progress(progress) as report:
        results = [
            evaluate_network(
                (embedder, *others),
                each,
                method=method,
                calibrations=calibrations,
                open_set=open_set,
                protocol=protocol or settings.protocol,
                ap=ap or settings.ap,
                flip=settings.flip if flip is None else flip,
                batch=settings.batch,
                bootstrap=settings.bootstrap,
                workers=recipe.batches.workers,
                progress=report,
            )
            for each in chosen
        ]
    record_evaluations(record, results)
    return results


def evaluate_network(
    embedders: Sequence[Embedder],
    data: DataSet,
    *,
    protocol: ProtocolName | None,
    ap: ApRule,
    flip: bool,
    batch: int,
    bootstrap: int,
    method: Method | None = None,
    calibrations: Sequence[Calibration | None] = (None,),
    open_set: bool = False,
    workers: int = 0,
    progress: ProgressCallback = no_progress,
) -> EvaluationResult:
    """Embed query and gallery, rank and score them; see `evaluate`. Several networks' lists are fused."""
    rule = protocol or data.protocol
    method = method or Method()
    wanted = [data.query, data.gallery, data.multi_query if rule == "multi-query" else ()]
    total = sum(map(len, wanted)) * len(embedders)
    done = 0

    def embed_samples(embedder: Embedder, samples: Sequence[Sample]) -> Embeddings:
        nonlocal done
        before = done
        done += len(samples)
        part = part_of(progress, before, total)
        return embedder.embed_samples(samples, flip=flip, batch=batch, workers=workers, progress=part)

    pairs = []
    for embedder in embedders:
        query, gallery, more = (embed_samples(embedder, samples) if samples else None for samples in wanted)
        assert query is not None
        assert gallery is not None
        pairs.append((average_queries(query, more) if rule == "multi-query" else query, gallery))
    # Distances are summed in float64, which CUDA has and MPS has not.
    device = str(embedders[0].device) if embedders[0].device.type == "cuda" else "cpu"
    known = [calibration for calibration in calibrations if calibration is not None]
    lists = make_lists(pairs, method, known, device=device)
    ranking, strips = record_ranking(lists.query, lists.gallery, lists.strips, top=SHOWN)
    return EvaluationResult(
        data=data,
        scores=score(lists.query, lists.gallery, distances=strips, protocol=rule, ap=ap, bootstrap=bootstrap),
        query=pairs[0][0],
        gallery=pairs[0][1],
        flip=flip,
        method=method,
        ranking=ranking,
        query_samples=[data.query[place] for place in lists.query_images],
        gallery_samples=[data.gallery[place] for place in lists.gallery_images],
        open_set=measure_open_set(*pairs[0], calibrations[0]) if open_set else None,
    )


def evaluation_arguments(recipe: Recipe) -> dict[str, Any]:
    """A recipe's evaluation as arguments of `evaluate_network`."""
    settings = recipe.evaluation.model_dump(exclude={"calibration", "cameras"})
    return {**settings, "method": Method(cameras=recipe.evaluation.cameras), "workers": recipe.batches.workers}


def require_valid_queries(data: DataSet) -> None:
    """Find out before the work, not after it, that no query could ever be right.

    Raises:
        DataError: When queries are given and none has its person in the gallery in another camera.
    """
    seen = {(sample.person_id, sample.camera_id) for sample in data.gallery}
    cameras: dict[int, set[int]] = {}
    for person, camera in seen:
        cameras.setdefault(person, set()).add(camera)
    if data.query and not any(cameras.get(s.person_id, set()) - {s.camera_id} for s in data.query):
        count = len({sample.camera_id for sample in (*data.query, *data.gallery)})
        raise DataError(
            f"{data.title}: no query has its person in the gallery in another camera ({len(data.query)} queries, "
            f"{len(data.gallery)} gallery images, {count} camera{'' if count == 1 else 's'}); the market rule counts "
            "matches between cameras only"
        )


def record_evaluations(folder: RunFolder, results: Sequence[EvaluationResult]) -> None:
    """Add to the run's `scores.json`, in place of the same evaluation made before, and draw the pictures.

    Open-set figures of before stay where this evaluation was made without.
    """
    known = json.loads(folder.scores.read_text(encoding="utf-8")) if folder.scores.is_file() else {"evaluations": []}
    found = {_key(entry): entry for entry in known["evaluations"]}
    for entry in (result.to_dict() for result in results):
        before = found.get(_key(entry), {})
        found[_key(entry)] = {**(before if before.get("fingerprint") == entry["fingerprint"] else {}), **entry}
    write_json(folder.scores, {**known, "evaluations": list(found.values())})
    for result in results:
        draw_evaluation(result, folder.figures / _slug(result))


def record_stage(folder: RunFolder, stage: str, epochs: int, results: Sequence[EvaluationResult]) -> None:
    """Keep the figures at the end of a stage, `epochs` after the start, under `stages` in the run's `scores.json`."""
    known = json.loads(folder.scores.read_text(encoding="utf-8")) if folder.scores.is_file() else {"evaluations": []}
    entry = {"stage": stage, "epochs": epochs, "evaluations": [result.to_dict() for result in results]}
    others = [each for each in known.get("stages", []) if each["stage"] != stage]
    write_json(folder.scores, {**known, "stages": [*others, entry]})


def draw_evaluation(result: EvaluationResult, out: Path, *, queries: int = 8) -> None:
    """The CMC curve, and the top 10 of the worst, random and best queries, as pictures in `out`."""
    plot_cmc({result.title: result.scores}, out / "cmc.png")
    for order in ORDERS:
        plot_rank_lists(
            result.ranking,
            out / f"ranks-{order}.png",
            query=result.query_samples,
            gallery=result.gallery_samples,
            chosen=choose_queries(result.scores, queries, order=order),
            read=read_image,
            title=f"{result.title}: {order} queries",
        )
    if result.open_set is not None:
        draw_open_set(result.open_set, out, title=result.data.title)


def _key(entry: dict[str, Any]) -> str:
    return json.dumps([entry.get(name, "") for name in ("data", "protocol", "ap", "flip", "method")])


def _slug(result: EvaluationResult) -> str:
    """A folder name for one evaluation's pictures."""
    scores = result.scores
    words = f"{result.title} {scores.protocol} {scores.ap}{'' if result.flip else ' no flip'}"
    return "-".join("".join(letter if letter.isalnum() else " " for letter in words).split())
