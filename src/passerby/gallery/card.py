"""Card of a gallery: the model that made its vectors and its settings, fixed when the gallery is made."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from passerby.errors import GalleryError, argument, explain
from passerby.gallery.accepted_models import AcceptedModel, Rounding, parse_rounding
from passerby.runtime.projection import Projection
from passerby.text import plural
from passerby.types import FloatArray, Result

CARD_FORMAT = 5
"""Version of the card. 3: it has `flip` and `precision`. 4: it has `accepted`, and its model `rounding`. 5: its model
has `projection`. A card that an earlier format can express is written in that, which earlier versions read."""
Keep = Literal["vectors", "thumbnails", "crops"]
Precision = Literal["fp32", "bf16"]


_TYPES: dict[str, Any] = {
    "architecture": str,
    "weights": str,
    "preprocessing": Mapping,
    "calibration": Mapping | None,
    "source": str | None,
    "rounding": Rounding | None,
    "projection": Projection | None,
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
        rounding: Difference from the network that it was made from, of an int8 file for example; None if their vectors
            are interchangeable.
        projection: Map of the network's vectors to the gallery's narrower ones; None if they are the network's own.
            Stores keep its components beside the card.
    """

    architecture: str
    weights: str
    preprocessing: Mapping[str, Any]
    dimension: int
    calibration: Mapping[str, Any] | None = None
    source: str | None = None
    rounding: Rounding | None = None
    projection: Projection | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.dimension, int) or self.dimension < 1:
            raise GalleryError(f"model: dimension is {self.dimension!r}, expected at least 1")
        for name, kind in _TYPES.items():
            if not isinstance(getattr(self, name), kind):
                raise GalleryError(f"model: {name} is {getattr(self, name)!r:.80}, expected a value of another type")

    def __str__(self) -> str:
        size = "x".join(map(str, self.preprocessing.get("size", ()))) or "unknown size"
        width = plural(self.dimension, "dimension")
        if self.projection is not None:
            width = f"{width} by projection {self.projection.sha256[:12]}"
        return (
            f"model {self.architecture[:12]} (weights {self.weights[:12]}, {width}, "
            f"images of {size}, {'calibrated' if self.calibration else 'not calibrated'}"
            f"{f'; {self.rounding}' if self.rounding else ''})"
        )

    def __repr__(self) -> str:
        return f"<{self}>"

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any], components: FloatArray | None = None) -> GalleryModel:
        """Parse the output of `to_dict`.

        Args:
            tree: The output.
            components: Components of the projection, for a model that has one.

        Raises:
            ValueError: If the components are missing, or are not those that `to_dict` described.
        """
        projection = _restore_projection(tree.get("projection"), components)
        return cls(**{**tree, "rounding": parse_rounding(tree.get("rounding")), "projection": projection})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serializable values; `rounding` and `projection` only if there is one."""
        tree = super().to_dict()
        if self.rounding is None:
            del tree["rounding"]  # earlier versions do not know it
        if self.projection is None:
            del tree["projection"]
        else:
            tree["projection"] = self.projection.describe()
        return tree

    def project(self, projection: Projection, *, calibration: Mapping[str, Any] | None) -> GalleryModel:
        """Return the record of this model with its vectors projected, and the calibration of the projected vectors.

        Raises:
            GalleryError: If the projection is for vectors of another width.
        """
        if self.projection is not None or projection.width != self.dimension:
            raise GalleryError(f"{projection!r} does not fit {self}")
        return replace(self, dimension=projection.dims, projection=projection, calibration=calibration)

    def same_vectors(self, other: GalleryModel) -> bool:
        """Whether both models compute the same vectors of the same image."""
        return self._key(self.weights) == other._key(other.weights)

    def same_network(self, other: GalleryModel) -> bool:
        """Whether both compute the vectors of one network, in different precisions or by different files."""
        return self._key(self.network) == other._key(other.network)

    @property
    def network(self) -> str:
        """SHA-256 of the weights of the network from which the model was made."""
        return self.weights if self.rounding is None else self.rounding.network

    def _key(self, weights: str) -> str:
        """Everything that a vector depends on. JSON, in which lists and tuples are equal."""
        key = [self.architecture, weights, self.preprocessing, self.dimension]
        return json.dumps(key if self.projection is None else [*key, self.projection.sha256], sort_keys=True)


def _restore_projection(tree: Mapping[str, Any] | None, components: FloatArray | None) -> Projection | None:
    if tree is None:
        return None
    if components is None:
        raise ValueError("its projection is missing")
    projection = Projection(components, tree["data"], tree["images"])
    if projection.describe() != dict(tree):
        raise ValueError("its projection is not the one that the card describes")
    return projection


def check_keep_and_retention(keep: str | None, retention: float | None) -> None:
    """Check two settings of a gallery, before a model is loaded for it; None is the default of `keep`.

    Raises:
        GalleryError: For a value outside its range.
    """
    if keep is not None and keep not in get_args(Keep):
        raise GalleryError(f"{argument('keep')}: got {keep!r}, expected one of {', '.join(get_args(Keep))}")
    if retention is not None and not 0 < retention < math.inf:
        raise GalleryError(
            f"{argument('retention')}: got {retention}, expected days above 0, or None to keep everything"
        )


@dataclass(frozen=True, repr=False)
class GalleryCard(Result):
    """Model and settings of a gallery.

    Attributes:
        model: Model that made the vectors.
        keep: What is stored of a crop: `vectors` (nothing), `thumbnails` of at most 64 x 128 pixels, or `crops`.
        retention: Days after which a sighting is erased, counted from its enrollment; None keeps it.
        flip: Whether each vector is the mean of the image and its mirror image.
        precision: In which vectors are computed: `fp32`, or `bf16`.
        accepted: Models that differ from `model` by rounding, whose vectors the gallery holds too.

    Raises:
        GalleryError: For a value outside its range.
    """

    model: GalleryModel
    keep: Keep = "thumbnails"
    retention: float | None = None
    flip: bool = True
    precision: Precision = "fp32"
    accepted: tuple[AcceptedModel, ...] = ()

    def __post_init__(self) -> None:
        check_keep_and_retention(self.keep, self.retention)
        if not isinstance(self.flip, bool):
            raise GalleryError(f"{argument('flip')}: got {self.flip!r}, expected true or false")
        if self.precision not in get_args(Precision):
            raise GalleryError(f"{argument('precision')}: got {self.precision!r}, expected fp32 or bf16")

    def to_json(self) -> str:
        """Serialize to one line of JSON."""
        tree = {"format": CARD_FORMAT, **self.to_dict()}
        if self.model.projection is None:
            tree["format"] = 4
        if not self.accepted and self.model.rounding is None and self.model.projection is None:
            tree["format"] = 3
            del tree["accepted"]
            if self.flip and self.precision == "fp32":
                tree["format"] = 2
                del tree["flip"], tree["precision"]
        return json.dumps(tree, sort_keys=True)

    def holds(self, model: GalleryModel) -> bool:
        """Whether the gallery may hold vectors of a model: of its own, or one that was accepted."""
        return self.model.same_vectors(model) or (
            self.model.same_network(model) and model.weights in (item.weights for item in self.accepted)
        )

    def takes(self, other: GalleryCard) -> bool:
        """Whether the gallery may hold all vectors of another gallery."""
        return self.flip == other.flip and all(self.holds(model) for model in (other.model, *other.accepted_models()))

    def project(self, model: GalleryModel) -> GalleryModel:
        """Return the record of a model with the gallery's projection, if it has one that is for vectors of this width.

        The result has no calibration.
        """
        projection = self.model.projection
        if projection is None or model.projection is not None or model.dimension != projection.width:
            return model
        return model.project(projection, calibration=None)

    def accepted_models(self) -> tuple[GalleryModel, ...]:
        """Return the models that were accepted."""
        return tuple(replace(self.model, weights=item.weights, rounding=item.rounding) for item in self.accepted)

    def accept(self, model: GalleryModel) -> GalleryCard:
        """Return the card that also accepts the vectors of a model of the same network."""
        if self.holds(model):
            return self
        return replace(self, accepted=(*self.accepted, AcceptedModel(model.weights, model.rounding)))

    def describe_vectors(self) -> str:
        """Return what made the vectors, for messages."""
        accepted = "".join(f", accepted {item}" for item in self.accepted)
        return f"{self.model}, {describe_flip(self.flip)}{accepted}"

    @classmethod
    def from_json(cls, text: str, source: str, *, components: FloatArray | None = None) -> GalleryCard:
        """Parse the output of `to_json`.

        Args:
            text: JSON.
            source: Gallery or file that contains the card, for error messages.
            components: (K, D) components of the model's projection, which are stored beside the card.

        Raises:
            GalleryError: If the text is not a card of this format.
        """
        try:
            tree = json.loads(text)
            if tree["format"] not in range(1, CARD_FORMAT + 1):
                raise ValueError(f"format {tree['format']!r}, this version reads 2 to {CARD_FORMAT}")
            if tree["format"] != 1:
                return cls.from_dict(tree, components)
        except (GalleryError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise GalleryError(
                f"{source}: the gallery's card cannot be read ({explain(error)}); restore a backup"
            ) from None
        raise GalleryError(f"{source}: {UPGRADE_HINT.format(source)}")

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any], components: FloatArray | None = None) -> GalleryCard:
        """Parse the output of `to_dict`; what earlier formats lack has its default."""
        return cls(
            GalleryModel.from_dict(tree["model"], components),
            keep=tree["keep"],
            retention=tree["retention"],
            accepted=tuple(AcceptedModel.from_dict(item) for item in tree.get("accepted", ())),
            **{name: tree[name] for name in ("flip", "precision") if name in tree},
        )


UPGRADE_HINT = "written by an earlier version; convert it with `passerby gallery upgrade {}`"


def describe_flip(flip: bool) -> str:
    """Return `with the mirror image` or `without the mirror image`."""
    return f"{'with' if flip else 'without'} the mirror image"
