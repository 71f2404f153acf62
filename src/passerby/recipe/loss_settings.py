"""Section `loss` of a recipe: the losses with their weights."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from passerby.recipe.settings_base import NotNegative, Positive, Settings


class IdentityLossSettings(Settings):
    """Softmax cross-entropy over the training identities, averaged over the parts."""

    weight: NotNegative = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1


class CircleLossSettings(Settings):
    """Pairwise circle loss (Sun et al. 2020) on the unit embedding."""

    weight: NotNegative = 1.0
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.25
    gamma: Positive = 64.0


class TripletLossSettings(Settings):
    """Batch-hard triplet loss (Hermans et al. 2017) on Euclidean distances; `margin: null` is the soft margin."""

    weight: NotNegative = 1.0
    margin: Positive | None = 0.3


class ContrastiveLossSettings(Settings):
    """Contrastive (verification) loss on Euclidean distances of unit vectors."""

    weight: NotNegative = 1.0
    margin: Positive = 1.0


class SupConLossSettings(Settings):
    """Supervised contrastive loss (Khosla et al. 2020) on the unit embedding."""

    weight: NotNegative = 1.0
    temperature: Positive = 0.1


class RankingLossSettings(Settings):
    """Ranking loss of MaskReID (Qi et al. 2018) on the unit embedding; `positive_weight` is the paper's lambda."""

    weight: NotNegative = 1.0
    margin: Annotated[float, Field(ge=0, le=2)] = 0.15
    positive_weight: NotNegative = 2.0


class CenterLossSettings(Settings):
    """Distance to the center of the image's identity (Wen et al. 2016); `alpha` is the centers' rate."""

    weight: NotNegative = 5e-4
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.5


class LossSettings(Settings):
    """Losses with their weights; `null` leaves one out."""

    identity: IdentityLossSettings | None = Field(default_factory=IdentityLossSettings)
    circle: CircleLossSettings | None = Field(default_factory=CircleLossSettings)
    triplet: TripletLossSettings | None = None
    contrastive: ContrastiveLossSettings | None = None
    supcon: SupConLossSettings | None = None
    ranking: RankingLossSettings | None = None
    center: CenterLossSettings | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> LossSettings:
        if not self._list_active() - {"center"}:
            names = ", ".join(name for name in type(self).model_fields if name != "center")
            raise ValueError(
                f"every loss is off; give at least one of {names}"
                + (", as center alone moves all embeddings to one point" if self.center is not None else "")
            )
        return self

    def _list_active(self) -> set[str]:
        """Return the names of the losses with a weight."""
        losses = {name: getattr(self, name) for name in type(self).model_fields}
        return {name for name, loss in losses.items() if loss is not None and loss.weight > 0}

    @property
    def needs_pairs(self) -> bool:
        """Whether a loss compares images of one identity."""
        return bool(self._list_active() - {"identity", "center"})

    @property
    def needs_centers(self) -> bool:
        """Whether the training needs the network's centers."""
        return "center" in self._list_active()

    @property
    def needs_classes(self) -> bool:
        """Whether the training needs a classifier or a center for each identity."""
        return bool(self._list_active() & {"identity", "center"})
