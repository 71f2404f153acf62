"""Models that differ from a gallery's own by rounding alone, such as its int8 file, and whose vectors it accepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from passerby.errors import GalleryError
from passerby.types import Result


@dataclass(frozen=True, repr=False)
class Rounding(Result):
    """Difference of a model from the network that it was made from, where their vectors are not interchangeable.

    Attributes:
        network: SHA-256 of the network's weights, hexadecimal.
        precision: `fp32`, `fp16`, `bf16` or `int8`.
        cosine_min: Least cosine between both vectors of a crop, by the file's certificate; None without one (bf16).
        cosine_mean: Mean cosine.
    """

    network: str
    precision: str
    cosine_min: float | None = None
    cosine_mean: float | None = None

    def __post_init__(self) -> None:
        texts = isinstance(self.network, str) and isinstance(self.precision, str)
        if not (texts and all(isinstance(value, float | None) for value in (self.cosine_min, self.cosine_mean))):
            raise GalleryError(f"model: rounding is {self.to_dict()!r:.120}, expected texts and cosines")

    def __str__(self) -> str:
        if self.cosine_min is None:
            return self.precision
        return f"{self.precision}, least cosine {self.cosine_min:.4f} to its network's vectors"


@dataclass(frozen=True, repr=False)
class AcceptedModel(Result):
    """A model whose vectors a gallery accepts beside those of its own.

    Attributes:
        weights: SHA-256 of what makes its vectors, hexadecimal.
        rounding: Its difference from its network; None for the network itself.
    """

    weights: str
    rounding: Rounding | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.weights, str):
            raise GalleryError(f"accepted model: weights is {self.weights!r:.80}, expected text")

    def __str__(self) -> str:
        return f"weights {self.weights[:12]} ({self.rounding or 'its network'})"

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> AcceptedModel:
        """Parse the output of `to_dict`."""
        return cls(tree["weights"], parse_rounding(tree["rounding"]))


def parse_rounding(tree: Mapping[str, Any] | None) -> Rounding | None:
    """Parse the output of `Rounding.to_dict`; None stays."""
    return None if tree is None else Rounding(**tree)
