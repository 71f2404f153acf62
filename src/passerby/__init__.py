"""Person re-identification: train a model, evaluate it, search with it.

The names of this module are imported at their first use, so that `import passerby` loads neither NumPy nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    "passerby.types": ("DataSet", "Embeddings", "Labels", "Ranking", "Sample"),
    "passerby.errors": ("PasserbyError",),
    "passerby.recipe": ("Recipe", "load_recipe"),
    "passerby.data.datasets": ("load_data",),
    "passerby.data.doctor": ("check",),
    "passerby.data.statistics": ("stats",),
    "passerby.data.contact_sheet": ("draw_contact_sheet",),
    "passerby.data.fingerprint": ("fingerprint",),
    "passerby.synthesis.dataset": ("SynthSettings",),
    "passerby.synthesis.write": ("SynthResult", "synth"),
    "passerby.model.convnext_ap": ("convnext_ap",),
    "passerby.model.embed": ("load",),
    "passerby.runtime.embedder": ("Embedder",),
    "passerby.model.info": ("model_info", "variants_info"),
    "passerby.model.runtimes": ("model_runtimes",),
    "passerby.evaluation.summary": ("Scores",),
    "passerby.evaluation.score": ("score",),
    "passerby.ranking.rank": ("rank",),
    "passerby.ranking.rerank": ("rerank", "rerank_blocks", "rerank_top"),
    "passerby.ranking.camera_normalization": ("normalize_cameras",),
    "passerby.ranking.expand": ("expand_queries",),
    "passerby.ranking.fuse": ("fuse",),
    "passerby.ranking.sets": ("pool",),
    "passerby.openset.calibration": ("Calibration",),
    "passerby.openset.detection": ("open_set",),
    "passerby.runs.train": ("resume", "train"),
    "passerby.runs.evaluate": ("evaluate",),
    "passerby.runs.evaluate_model": ("EvaluationResult",),
    "passerby.runs.ranking_method": ("RankingMethod",),
    "passerby.runs.calibrate": ("calibrate", "load_calibration"),
    "passerby.runs.threshold": ("find_threshold",),
    "passerby.runs.upgrade_run": ("upgrade_run",),
    "passerby.adaptation.adapt": ("adapt",),
    "passerby.adaptation.adapt_result": ("AdaptResult",),
    "passerby.importers.import_model": ("ImportedModel", "import_model"),
    "passerby.experiments.ablate": ("ablate",),
    "passerby.experiments.compare": ("compare",),
    "passerby.reporting.report": ("report",),
    "passerby.exporting.export_model": ("ExportedModel", "export_model"),
    "passerby.selftests.check_table": ("SelfTest",),
    "passerby.selftests.selftest": ("selftest",),
    "passerby.extraction.embed_source": ("EmbedResult", "EmbedSettings", "embed"),
    "passerby.extraction.items": ("SourceOptions",),
    "passerby.gallery.gallery": ("Gallery",),
    "passerby.gallery.filters": ("Filter",),
    "passerby.gallery.sightings": ("Hit", "Sighting"),
    "passerby.gallery.crops": ("Crop", "list_crops", "list_data_crops"),
    "passerby.gallery.enroll_shards": ("enroll_shards",),
    "passerby.gallery.parquet": ("import_gallery",),
    "passerby.gallery.backup": ("backup_gallery", "restore_gallery"),
    "passerby.gallery.reembed": ("ReembedResult", "reembed_gallery"),
    "passerby.gallery.upgrade": ("upgrade_gallery",),
    "passerby.serving.client": ("Client",),
    "passerby.serving.server": ("serve",),
    "passerby.video.boxes": ("hog_detector", "read_boxes", "supervision_detector", "torchvision_detector"),
    "passerby.video.enroll_live": ("LiveSighting", "enroll_live"),
    "passerby.video.enroll_video": ("enroll_video",),
    "passerby.video.file_detector": ("file_detector",),
    "passerby.video.outputs": ("draw_tracks", "write_tracks"),
    "passerby.video.tracks": ("track_people",),
}
"""Public names by the module that defines them."""
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = ["__version__", *_MODULES]  # noqa: PLE0604

if TYPE_CHECKING:
    from passerby.adaptation.adapt import adapt as adapt
    from passerby.adaptation.adapt_result import AdaptResult as AdaptResult
    from passerby.data.contact_sheet import draw_contact_sheet as draw_contact_sheet
    from passerby.data.datasets import load_data as load_data
    from passerby.data.doctor import check as check
    from passerby.data.fingerprint import fingerprint as fingerprint
    from passerby.data.statistics import stats as stats
    from passerby.errors import PasserbyError as PasserbyError
    from passerby.evaluation.score import score as score
    from passerby.evaluation.summary import Scores as Scores
    from passerby.experiments.ablate import ablate as ablate
    from passerby.experiments.compare import compare as compare
    from passerby.exporting.export_model import ExportedModel as ExportedModel
    from passerby.exporting.export_model import export_model as export_model
    from passerby.extraction.embed_source import EmbedResult as EmbedResult
    from passerby.extraction.embed_source import EmbedSettings as EmbedSettings
    from passerby.extraction.embed_source import embed as embed
    from passerby.extraction.items import SourceOptions as SourceOptions
    from passerby.gallery.backup import backup_gallery as backup_gallery
    from passerby.gallery.backup import restore_gallery as restore_gallery
    from passerby.gallery.crops import Crop as Crop
    from passerby.gallery.crops import list_crops as list_crops
    from passerby.gallery.crops import list_data_crops as list_data_crops
    from passerby.gallery.enroll_shards import enroll_shards as enroll_shards
    from passerby.gallery.filters import Filter as Filter
    from passerby.gallery.gallery import Gallery as Gallery
    from passerby.gallery.parquet import import_gallery as import_gallery
    from passerby.gallery.reembed import ReembedResult as ReembedResult
    from passerby.gallery.reembed import reembed_gallery as reembed_gallery
    from passerby.gallery.sightings import Hit as Hit
    from passerby.gallery.sightings import Sighting as Sighting
    from passerby.gallery.upgrade import upgrade_gallery as upgrade_gallery
    from passerby.importers.import_model import ImportedModel as ImportedModel
    from passerby.importers.import_model import import_model as import_model
    from passerby.model.convnext_ap import convnext_ap as convnext_ap
    from passerby.model.embed import load as load
    from passerby.model.info import model_info as model_info
    from passerby.model.info import variants_info as variants_info
    from passerby.model.runtimes import model_runtimes as model_runtimes
    from passerby.openset.calibration import Calibration as Calibration
    from passerby.openset.detection import open_set as open_set
    from passerby.ranking.camera_normalization import normalize_cameras as normalize_cameras
    from passerby.ranking.expand import expand_queries as expand_queries
    from passerby.ranking.fuse import fuse as fuse
    from passerby.ranking.rank import rank as rank
    from passerby.ranking.rerank import rerank as rerank
    from passerby.ranking.rerank import rerank_blocks as rerank_blocks
    from passerby.ranking.rerank import rerank_top as rerank_top
    from passerby.ranking.sets import pool as pool
    from passerby.recipe import Recipe as Recipe
    from passerby.recipe import load_recipe as load_recipe
    from passerby.reporting.report import report as report
    from passerby.runs.calibrate import calibrate as calibrate
    from passerby.runs.calibrate import load_calibration as load_calibration
    from passerby.runs.evaluate import evaluate as evaluate
    from passerby.runs.evaluate_model import EvaluationResult as EvaluationResult
    from passerby.runs.ranking_method import RankingMethod as RankingMethod
    from passerby.runs.threshold import find_threshold as find_threshold
    from passerby.runs.train import resume as resume
    from passerby.runs.train import train as train
    from passerby.runs.upgrade_run import upgrade_run as upgrade_run
    from passerby.runtime.embedder import Embedder as Embedder
    from passerby.selftests.check_table import SelfTest as SelfTest
    from passerby.selftests.selftest import selftest as selftest
    from passerby.serving.client import Client as Client
    from passerby.serving.server import serve as serve
    from passerby.synthesis.dataset import SynthSettings as SynthSettings
    from passerby.synthesis.write import SynthResult as SynthResult
    from passerby.synthesis.write import synth as synth
    from passerby.types import DataSet as DataSet
    from passerby.types import Embeddings as Embeddings
    from passerby.types import Labels as Labels
    from passerby.types import Ranking as Ranking
    from passerby.types import Sample as Sample
    from passerby.video.boxes import hog_detector as hog_detector
    from passerby.video.boxes import read_boxes as read_boxes
    from passerby.video.boxes import supervision_detector as supervision_detector
    from passerby.video.boxes import torchvision_detector as torchvision_detector
    from passerby.video.enroll_live import LiveSighting as LiveSighting
    from passerby.video.enroll_live import enroll_live as enroll_live
    from passerby.video.enroll_video import enroll_video as enroll_video
    from passerby.video.file_detector import file_detector as file_detector
    from passerby.video.outputs import draw_tracks as draw_tracks
    from passerby.video.outputs import write_tracks as write_tracks
    from passerby.video.tracks import track_people as track_people


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'passerby' has no attribute {name!r}; it has {', '.join(sorted(_MODULES))}")
    try:
        value = getattr(import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        from passerby.extras import find_missing_extra

        raise find_missing_extra(error) or error from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
