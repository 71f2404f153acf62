"""Card of a gallery: the model that made its vectors and its settings, fixed when the gallery is made."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from passerby.errors import GalleryError
from passerby.types import Result

CARD_FORMAT = 2
Keep = Literal["vectors", "thumbnails", "crops"]


_TYPES: dict[str, Any] = {
    "architecture": str,
    "weights": str,
    "preprocessing": Mapping,
    "calibration": Mapping | None,
    "source": str | None,
}


@dataclass(frozen=True)
class GalleryModel(Result):
    """The model that made a gallery's vectors. Vectors of two models cannot be compared, even if their widths agree.

    Attributes:
        architecture: SHA-256 of the model settings in its manifest, hexadecimal. Some settings change the computation
            and no tensor.
        weights: SHA-256 of the weights, hexadecimal.
        preprocessing: Size, mean and standard deviation for images.
        dimension: Width of the vectors.
        calibration: Content of the model's `calibration.json`; None if it is not calibrated. It does not change
            vectors, so two calibrations of one model are compatible.
        source: Folder from which the model was loaded, so that it need not be named again; `default` for the default
            model, None if unknown. Copies of one model are compatible.
    """

    architecture: str
    weights: str
    preprocessing: Mapping[str, Any]
    dimension: int
    calibration: Mapping[str, Any] | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.dimension, int) or self.dimension < 1:
            raise GalleryError(f"model: dimension is {self.dimension!r}, expected at least 1")
        for name, kind in _TYPES.items():
            if not isinstance(getattr(self, name), kind):
                raise GalleryError(f"model: {name} is {getattr(self, name)!r:.80}, expected a value of another type")

    def __str__(self) -> str:
        size = "x".join(map(str, self.preprocessing.get("size", ()))) or "unknown size"
        return (
            f"model {self.architecture[:12]} (weights {self.weights[:12]}, {self.dimension} dimensions, images of "
            f"{size}, {'calibrated' if self.calibration else 'not calibrated'})"
        )

    def __repr__(self) -> str:
        return f"<{self}>"

    def same_vectors(self, other: GalleryModel) -> bool:
        """Whether both models compute the same vectors of the same image."""
        return self._vector_key == other._vector_key

    @property
    def _vector_key(self) -> str:
        """Everything that a vector depends on. JSON, in which lists and tuples are equal."""
        return json.dumps([self.architecture, self.weights, self.preprocessing, self.dimension], sort_keys=True)


@dataclass(frozen=True, repr=False)
class GalleryCard(Result):
    """Model and settings of a gallery.

    Attributes:
        model: Model that made the vectors.
        keep: What is stored of a crop: `vectors` (nothing), `thumbnails` of at most 64 x 128 pixels, or `crops`.
        retention: Days after which a sighting is erased, counted from its enrollment; None keeps it.

    Raises:
        GalleryError: For a value outside its range.
    """

    model: GalleryModel
    keep: Keep = "thumbnails"
    retention: float | None = None

    def __post_init__(self) -> None:
        if self.keep not in get_args(Keep):
            raise GalleryError(f"keep: got {self.keep!r}, expected one of {', '.join(get_args(Keep))}")
        if self.retention is not None and not 0 < self.retention < math.inf:
            raise GalleryError(f"retention: got {self.retention}, expected days above 0, or None to keep everything")

    def to_json(self) -> str:
        """Serialize to one line of JSON."""
        return json.dumps({"format": CARD_FORMAT, **self.to_dict()}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str) -> GalleryCard:
        """Parse the output of `to_json`.

        Args:
            text: JSON.
            source: Gallery or file that contains the card, for error messages.

        Raises:
            GalleryError: If the text is not a card of this format.
        """
        try:
            tree = json.loads(text)
            if tree["format"] == 1:
                raise GalleryError(f"{source}: {UPGRADE_HINT.format(source)}")
            if tree["format"] != CARD_FORMAT:
                raise ValueError(f"format {tree['format']!r}, this version reads {CARD_FORMAT}")
            return cls(GalleryModel(**tree["model"]), keep=tree["keep"], retention=tree["retention"])
        except GalleryError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise GalleryError(f"{source}: the gallery's card cannot be read ({error})") from None


UPGRADE_HINT = "written by an earlier version; convert it with `passerby gallery upgrade {}`"


def check_card(
    card: GalleryCard, address: str, *, model: GalleryModel | None, keep: Keep | None, retention: float | None
) -> None:
    """Compare a gallery's card with a model and settings; None is not compared.

    Raises:
        GalleryError: If they differ; the message contains both.
    """
    if model is not None and not card.model.same_vectors(model):
        raise GalleryError(
            f"{address}: contains vectors of {card.model}, opened with {model}; distances between them have no "
            "meaning. Open it with its own model, or enroll the images into a new gallery"
        )
    for name, value in (("keep", keep), ("retention", retention)):
        if value is not None and value != getattr(card, name):
            raise GalleryError(
                f"{address}: {name} is {getattr(card, name)!r} since the gallery was made, opened with {value!r}; "
                "leave it out, or export into a new gallery"
            )
