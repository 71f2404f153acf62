"""Embed the queries and the gallery of a data set, rank and score them.

Q queries   G gallery items
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from passerby.data.datasets.public_spec import public_spec
from passerby.data.fingerprint import fingerprint
from passerby.errors import DataError, argument
from passerby.evaluation.multi_query import average_queries
from passerby.evaluation.score import score
from passerby.evaluation.summary import Scores, describe
from passerby.openset.calibration import Calibration
from passerby.progress import ProgressCallback, no_progress, part_of
from passerby.ranking.rank import record_ranking
from passerby.recipe import Recipe
from passerby.runs.camera_embedding import NOTE, embed_by_camera, find_method, normalizes_by_camera, require_cameras
from passerby.runs.open_set import OpenSetResult, measure_open_set
from passerby.runs.ranking_method import RankingMethod, count_items, number_tracks, rank_with
from passerby.runtime.embedder import Embedder
from passerby.runtime.file_metadata import AccuracyKind, find_accuracy
from passerby.text import plural
from passerby.types import ApRule, DataSet, Embeddings, ProtocolName, Ranking, Result, Sample

RECORDED = 10
"""Items of each rank list that a result keeps."""


@dataclass(frozen=True)
class EvaluationOptions:
    """Rules of an evaluation.

    Attributes:
        protocol: `market`, `single-gallery-shot` or `multi-query`; None is the data set's own.
        ap: `step` or `trapezoid`.
        flip: Average each embedding with that of the mirrored image.
        bootstrap: Replicates of the intervals.
        batch: Images per forward pass.
        workers: Threads that decode images ahead of the network; 0 decodes in this one.
        ranking: From embeddings to rank lists.

    Raises:
        DataError: For an unknown protocol or AP rule.
    """

    protocol: ProtocolName | None
    ap: ApRule
    flip: bool
    bootstrap: int
    batch: int = 128
    workers: int = 0
    ranking: RankingMethod = field(default_factory=RankingMethod)

    def __post_init__(self) -> None:
        for name, choices in (("protocol", get_args(ProtocolName)), ("ap", get_args(ApRule))):
            if (value := getattr(self, name)) is not None and value not in choices:
                raise DataError(f"{argument(name)}: got {value!r}, expected one of {', '.join(choices)}")


@dataclass(frozen=True)
class EvaluationResult(Result):
    """Metrics of one model on one data set.

    Attributes:
        data: The data set.
        scores: The metrics.
        query: Q embeddings of `data.query` by the first model; under `multi-query` the mean of the images of each
            query's identity in its camera.
        gallery: G embeddings of `data.gallery`.
        flip: Whether embeddings are averaged with those of the mirrored images.
        method: From embeddings to rank lists.
        ranking: The first `RECORDED` items of every list.
        query_samples: One image of each list's query.
        gallery_samples: One image of each gallery item.
        open_set: Open-set metrics, if they were measured.
        precision: In which the first model's embeddings were computed, `fp32`, `fp16`, `bf16` or `int8`.
        accuracy: Evidence that the first model's file is as accurate as the model that was exported, see
            `Certificate`; None for a model that is no exported file.
        by_camera: Whether a model has camera-based batch norms, which used the test cameras' unlabeled images.

    Example:
        >>> (result,) = passerby.evaluate("runs/m")
        >>> result
        EvaluationResult(... Rank-1 ... %, mAP ... %, market rule, step AP, ... queries valid, gallery ...)
        >>> sorted(result.to_dict())[:3]
        ['ap', 'cmc', 'data']
    """

    data: DataSet
    scores: Scores
    query: Embeddings
    gallery: Embeddings
    flip: bool
    method: RankingMethod
    ranking: Ranking
    query_samples: Sequence[Sample]
    gallery_samples: Sequence[Sample]
    open_set: OpenSetResult | None = None
    precision: str = "fp32"
    accuracy: AccuracyKind | None = None
    by_camera: bool = False

    def __repr__(self) -> str:
        scores = self.scores
        metrics = f"Rank-1 {100 * scores.rank1:.1f} %, mAP {100 * scores.mAP:.1f} %"
        return f"EvaluationResult({self.title}: {metrics}, {describe(scores)})"

    @property
    def title(self) -> str:
        """Title of the data set, followed by the ranking method and the precision unless they are the default."""
        precision = "" if self.precision == "fp32" else describe_precision(self.precision, self.accuracy)
        return ", ".join(filter(None, (self.data.title, self.method_title, precision)))

    @property
    def method_title(self) -> str:
        """Description of the way from images to rank lists; empty for cosine distance."""
        return ", ".join(filter(None, (NOTE if self.by_camera else "", self.method.title)))

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `scores.json`: the metrics and the rules that they were measured with."""
        return {
            "data": public_spec(self.data.spec),
            "title": self.data.title,
            "fingerprint": fingerprint([self.data]),
            "flip": self.flip,
            "method": self.method_title,
            **({} if self.precision == "fp32" else {"precision": self.precision}),
            **({"accuracy": self.accuracy} if self.accuracy == "not verified" else {}),
            **self.scores.to_dict(per_query=False),
            **({} if self.open_set is None else self.open_set.to_dict()),
        }


def describe_precision(precision: str, accuracy: str | None) -> str:
    """Describe the precision of embeddings, with a note on a file whose accuracy is not verified.

    Example:
        >>> describe_precision("int8", "not verified")
        'int8, accuracy not verified'
    """
    return f"{precision}, accuracy {accuracy}" if accuracy == "not verified" else precision


def evaluation_options(recipe: Recipe) -> EvaluationOptions:
    """Return the recipe's section `evaluation` as options of `evaluate_model`."""
    settings = recipe.evaluation
    return EvaluationOptions(
        protocol=settings.protocol,
        ap=settings.ap,
        flip=settings.flip,
        bootstrap=settings.bootstrap,
        batch=settings.batch,
        workers=recipe.batches.workers,
        ranking=RankingMethod(cameras=settings.cameras),
    )


def evaluate_model(
    embedders: Sequence[Embedder],
    data: DataSet,
    options: EvaluationOptions,
    *,
    calibrations: Sequence[Calibration | None] = (None,),
    open_set: bool = False,
    progress: ProgressCallback = no_progress,
) -> EvaluationResult:
    """Evaluate one model, or several whose lists are fused, on one data set.

    A model with camera-based batch norms is evaluated camera by camera (`embed_by_camera`), without its calibration,
    which is that of vectors of unknown cameras.

    In a data set of tracks, the items to rank are tracks, each the mean of the embeddings of its images, or the sets of
    `options.ranking`.

    Args:
        embedders: The models; the first one's embeddings are kept.
        data: A data set with queries and a gallery.
        options: Rules of the evaluation.
        calibrations: Calibrations of each model, None where it has none.
        open_set: Measure the first model's open-set metrics, too.
        progress: Callback that receives the number of embedded images, as task `embed`.

    Raises:
        DataError: For such a model and data with unknown cameras, or a camera with one image.
    """
    for embedder in embedders:
        require_cameras(find_method(embedder), data)
    if by_camera := any(map(normalizes_by_camera, embedders)):
        calibrations = [None] * len(calibrations)
    rule = options.protocol or data.protocol
    splits = [data.query, data.gallery, data.multi_query if rule == "multi-query" else ()]
    total, done = sum(map(len, splits)) * len(embedders), 0
    pairs = []
    for embedder in embedders:
        query, gallery, more = _embed_splits(embedder, splits, options, part_of(progress, done, total))
        done += total // len(embedders)
        assert query is not None
        assert gallery is not None
        pairs.append((average_queries(query, more) if rule == "multi-query" else query, gallery))
    # Distances are summed in float64, which CUDA has and MPS has not.
    device = embedders[0].device if embedders[0].device.startswith("cuda") else "cpu"
    tracks = number_tracks(data.query), number_tracks(data.gallery)
    method = options.ranking if tracks[1] is None else options.ranking.of_tracks()
    method = method.limit(count_items(pairs[0][1], method, tracks[1]))
    lists = rank_with(method, pairs, [c for c in calibrations if c is not None], tracks=tracks, device=device)
    ranking, blocks = record_ranking(lists.query, lists.gallery, lists.blocks, top=RECORDED)
    scores = score(
        lists.query, lists.gallery, distances=blocks, protocol=rule, ap=options.ap, bootstrap=options.bootstrap
    )
    return EvaluationResult(
        data=data,
        scores=scores,
        query=pairs[0][0],
        gallery=pairs[0][1],
        flip=options.flip,
        method=method,
        ranking=ranking,
        query_samples=[data.query[index] for index in lists.query_images],
        gallery_samples=[data.gallery[index] for index in lists.gallery_images],
        open_set=measure_open_set(*pairs[0], calibration=calibrations[0]) if open_set else None,
        precision=embedders[0].encoder.precision,
        accuracy=find_accuracy(embedders[0].exported),
        by_camera=by_camera,
    )


def _embed_splits(
    embedder: Embedder, splits: Sequence[Sequence[Sample]], options: EvaluationOptions, progress: ProgressCallback
) -> list[Embeddings | None]:
    """Embed the images of several splits; None for an empty one."""
    if normalizes_by_camera(embedder):
        return embed_by_camera(
            embedder, splits, flip=options.flip, batch=options.batch, workers=options.workers, progress=progress
        )
    embedded, done = [], 0
    for samples in splits:
        part = part_of(progress, done, 0)
        embedded.append(
            embedder.embed_samples(
                samples, flip=options.flip, batch=options.batch, workers=options.workers, progress=part
            )
            if samples
            else None
        )
        done += len(samples)
    return embedded


def require_valid_queries(data: DataSet) -> None:
    """Check, before any work, that some query has a match.

    Raises:
        DataError: If there are queries and none has a match.
    """
    cameras: dict[int, set[int]] = {}
    for sample in data.gallery:
        cameras.setdefault(sample.person_id, set()).add(sample.camera_id)
    if data.query and not any(cameras.get(s.person_id, set()) - {s.camera_id} for s in data.query):
        if "cameras unknown" in data.variant:
            raise DataError(
                f"{data.title}: no query has another image of its identity in the gallery "
                f"({plural(len(data.query), 'query')}, "
                f"{plural(len(data.gallery), 'gallery image')}); a query's own file is not a match"
            )
        count = len({sample.camera_id for sample in (*data.query, *data.gallery)})
        raise DataError(
            f"{data.title}: no query has its identity in the gallery in another camera "
            f"({plural(len(data.query), 'query')}, {plural(len(data.gallery), 'gallery image')}, "
            f"{plural(count, 'camera')}); the market rule counts matches between cameras only; the option camera=none "
            "of the data set counts matches within a camera too"
        )
