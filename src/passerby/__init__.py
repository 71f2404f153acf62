"""Person re-identification: train, evaluate and search, with ConvNeXt-AP and other models.

Public names are imported at their first use, so that `import passerby` does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Embeddings": "passerby.types",
    "Labels": "passerby.types",
    "Ranking": "passerby.types",
    "Sample": "passerby.types",
    "Scores": "passerby.evaluation.summary",
    "load_data": "passerby.data.datasets",
    "convnext_ap": "passerby.model.convnext_ap",
    "load": "passerby.model.embed",
    "score": "passerby.evaluation.score",
    "rank": "passerby.ranking.rank",
    "rerank": "passerby.ranking.rerank",
    "rerank_top": "passerby.ranking.rerank",
    "normalize_cameras": "passerby.ranking.camera_normalization",
    "expand_queries": "passerby.ranking.expand",
    "fuse": "passerby.ranking.fuse",
    "pool": "passerby.ranking.sets",
    "train": "passerby.runs.train",
    "resume": "passerby.runs.train",
    "evaluate": "passerby.runs.evaluate",
    "calibrate": "passerby.runs.calibrate",
    "load_calibration": "passerby.runs.calibrate",
    "find_threshold": "passerby.runs.threshold",
    "Gallery": "passerby.gallery.gallery",
    "open_set": "passerby.openset.detection",
    "Recipe": "passerby.recipe",
    "load_recipe": "passerby.recipe",
}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604

if TYPE_CHECKING:
    from passerby.data.datasets import load_data as load_data
    from passerby.evaluation.score import score as score
    from passerby.evaluation.summary import Scores as Scores
    from passerby.gallery.gallery import Gallery as Gallery
    from passerby.model.convnext_ap import convnext_ap as convnext_ap
    from passerby.model.embed import load as load
    from passerby.openset.detection import open_set as open_set
    from passerby.ranking.camera_normalization import normalize_cameras as normalize_cameras
    from passerby.ranking.expand import expand_queries as expand_queries
    from passerby.ranking.fuse import fuse as fuse
    from passerby.ranking.rank import rank as rank
    from passerby.ranking.rerank import rerank as rerank
    from passerby.ranking.rerank import rerank_top as rerank_top
    from passerby.ranking.sets import pool as pool
    from passerby.recipe import Recipe as Recipe
    from passerby.recipe import load_recipe as load_recipe
    from passerby.runs.calibrate import calibrate as calibrate
    from passerby.runs.calibrate import load_calibration as load_calibration
    from passerby.runs.evaluate import evaluate as evaluate
    from passerby.runs.threshold import find_threshold as find_threshold
    from passerby.runs.train import resume as resume
    from passerby.runs.train import train as train
    from passerby.types import Embeddings as Embeddings
    from passerby.types import Labels as Labels
    from passerby.types import Ranking as Ranking
    from passerby.types import Sample as Sample


def __getattr__(name: str) -> Any:
    """Import the module that defines a public name, at its first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'passerby' has no attribute {name!r}; it has {', '.join(sorted(_HOME))}")
    try:
        value = getattr(import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        from passerby.extras import find_missing_extra

        raise find_missing_extra(error) or error from None
    globals()[name] = value
    return value
