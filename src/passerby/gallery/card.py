"""Whose vectors a gallery holds and what it keeps: written when it is made, checked whenever it is opened."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from passerby.errors import GalleryError

if TYPE_CHECKING:
    from passerby.model.embed import Embedder

CARD_FORMAT = 1
Pictures = Literal["vectors", "thumbnails", "crops"]


@dataclass(frozen=True)
class GalleryModel:
    """The model that made a gallery's vectors. Two models' vectors cannot be compared, even of equal width.

    Attributes:
        manifest: SHA-256 of the model's manifest, as hexadecimal digits.
        weights: SHA-256 of its weights; a manifest does not change while its run is training, weights do.
        preprocessing: Size, mean and standard deviation that images go through.
        dimension: Width of its vectors.
        calibration: How its distances become probabilities, as `calibration.json` says it; None when not calibrated.
            It reads distances and does not make vectors: two calibrations of one model do not refuse each other.
        source: The folder that the model was loaded from, so that it need not be named again; empty for the one that
            comes with the package, None when nobody said. Two copies of one model do not refuse each other.
    """

    manifest: str
    weights: str
    preprocessing: Mapping[str, Any]
    dimension: int
    calibration: Mapping[str, Any] | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.dimension, int) or self.dimension < 1:
            raise GalleryError(f"model: dimension is {self.dimension!r}, expected at least 1")

    def __str__(self) -> str:
        size = "x".join(map(str, self.preprocessing.get("size", ()))) or "unknown size"
        return (
            f"model {self.manifest[:12]} (weights {self.weights[:12]}, {self.dimension} dimensions, images of {size}, "
            f"{'calibrated' if self.calibration else 'not calibrated'})"
        )

    def same_vectors(self, other: GalleryModel) -> bool:
        """Whether both make the same vectors of the same image."""
        return self._makes() == other._makes()

    def _makes(self) -> str:
        """Everything that a vector depends on, as JSON: a list and a tuple are the same there."""
        return json.dumps([self.manifest, self.weights, self.preprocessing, self.dimension], sort_keys=True)


def gallery_model(
    embedder: Embedder, *, calibration: Mapping[str, Any] | None = None, source: str | None = None
) -> GalleryModel:
    """What a gallery records of a loaded model.

    Args:
        embedder: As `passerby.load` gives it.
        calibration: As `calibration.json` beside the model says it.
        source: The folder that it was loaded from; empty for the model of the package.
    """
    import torch

    weights = hashlib.sha256()
    for name, tensor in sorted(embedder.network.state_dict().items()):
        weights.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        weights.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return GalleryModel(
        manifest=hashlib.sha256(json.dumps(embedder.manifest, sort_keys=True).encode()).hexdigest(),
        weights=weights.hexdigest(),
        preprocessing=asdict(embedder.preprocessing),
        dimension=embedder.network.embedding_width,
        calibration=calibration,
        source=source,
    )


def load_model(source: str, device: str) -> tuple[Embedder, GalleryModel]:
    """The model in a folder, or the package's for an empty name, and what a gallery records of it.

    Raises:
        WeightsError: When it is no trained model.
        GalleryError: As `calibration_of`.
    """
    from passerby.model.embed import load

    embedder = load(source or "default", device=device)
    return embedder, gallery_model(embedder, calibration=calibration_of(source), source=source)


def calibration_of(source: str) -> dict[str, Any] | None:
    """The calibration beside a model, or beside the package's for an empty name; None when it is not there.

    Raises:
        GalleryError: When it cannot be read.
    """
    from passerby.model.weights import DEFAULT_MODEL

    path = (Path(source) if source else DEFAULT_MODEL) / "calibration.json"
    if not path.is_file():
        return None
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GalleryError(f"{path}: cannot be read ({error}); calibrate the model again") from None
    return known


@dataclass(frozen=True)
class GalleryCard:
    """The model and the settings of a gallery, fixed when it is made.

    Attributes:
        model: Whose vectors it holds.
        pictures: What is kept of a crop: nothing but the `vectors`, `thumbnails` of at most 64 x 128, or the `crops`.
        retention: Days after which a sighting is removed, counted from its enrollment; None keeps it.

    Raises:
        GalleryError: Naming what cannot be.
    """

    model: GalleryModel
    pictures: Pictures = "thumbnails"
    retention: float | None = None

    def __post_init__(self) -> None:
        if self.pictures not in get_args(Pictures):
            raise GalleryError(f"pictures: got {self.pictures!r}, expected one of {', '.join(get_args(Pictures))}")
        if self.retention is not None and not 0 < self.retention < math.inf:
            raise GalleryError(f"retention: got {self.retention}, expected days above 0, or None to keep everything")

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps({"format": CARD_FORMAT, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str) -> GalleryCard:
        """Read `to_json`'s line.

        Raises:
            GalleryError: When it is none; `source` is named.
        """
        try:
            read = json.loads(text)
            if read["format"] != CARD_FORMAT:
                raise GalleryError(f"format {read['format']!r}, this version reads {CARD_FORMAT}")
            return cls(GalleryModel(**read["model"]), pictures=read["pictures"], retention=read["retention"])
        except (ValueError, KeyError, TypeError) as error:
            raise GalleryError(f"{source}: its card is not one of passerby ({error}); it cannot be opened") from None


def check_card(
    found: GalleryCard,
    source: str,
    *,
    model: GalleryModel | None,
    pictures: Pictures | None,
    retention: float | None,
) -> None:
    """Refuse another model's vectors, and settings other than the gallery was made with; None is not compared.

    Raises:
        GalleryError: Naming both.
    """
    if model is not None and not found.model.same_vectors(model):
        raise GalleryError(
            f"{source}: holds vectors of {found.model}, opened with {model}; distances between them mean nothing. "
            "Open it with its own model, or enroll the images again into a new gallery"
        )
    for name, wanted in (("pictures", pictures), ("retention", retention)):
        if wanted is not None and wanted != getattr(found, name):
            raise GalleryError(
                f"{source}: {name} is {getattr(found, name)!r} since it was made, opened with {wanted!r}; leave it "
                "out, or export into a new gallery"
            )
