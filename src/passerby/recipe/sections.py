"""The sections of a recipe: their keys, defaults and bounds, each in its field's words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from passerby.types import ApRule, ProtocolName

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class Settings(BaseModel):
    """A part of the recipe: unknown keys are errors, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ErasingSettings(Settings):
    """Random erasing (Zhong et al. 2020): a rectangle of random values.

    `area` is the share of the image that is erased, `aspect` the rectangle's height over width.
    """

    p: Share = 0.5
    area: tuple[Share, Share] = (0.02, 0.4)
    aspect: tuple[Positive, Positive] = (0.3, 3.3)

    @model_validator(mode="after")
    def _ordered(self) -> ErasingSettings:
        for name in ("area", "aspect"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: [{low}, {high}] runs backwards; give the smaller number first")
        return self


class JitterSettings(Settings):
    """Random brightness, contrast, saturation (each x 1 +- value) and hue (share of the color circle)."""

    p: Share = 1.0
    brightness: Share = 0.2
    contrast: Share = 0.2
    saturation: Share = 0.2
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class ImageSettings(Settings):
    """From a file to normalized pixels. `null` switches a step off.

    `size` is (height, width) in pixels; `pad` is the border in pixels that pad-and-crop adds before cropping back.
    """

    size: tuple[Annotated[int, Field(ge=32, le=2048)], Annotated[int, Field(ge=16, le=2048)]] = (256, 128)
    flip: Share = 0.5
    pad: Annotated[int, Field(ge=0, le=256)] = 10
    erasing: ErasingSettings | None = ErasingSettings()
    jitter: JitterSettings | None = None
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat] = (0.485, 0.456, 0.406)
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)


class BatchSettings(Settings):
    """P x K batches: `persons` identities of `images` images each, on all processes together.

    `alike` draws the persons in groups of so many who look like each other, from epoch `alike_from` on, as the network
    sees them when an epoch begins (graph sampling). `cache` keeps resized images in memory: `auto` when they fit in a
    quarter of the free memory.
    """

    persons: Annotated[int, Field(ge=2)] = 16
    images: Annotated[int, Field(ge=1)] = 4
    alike: Annotated[int, Field(ge=1)] = 1
    alike_from: Annotated[int, Field(ge=0)] = 1
    workers: Annotated[int, Field(ge=0, le=256)] = 4
    prefetch: Count = 4
    cache: Literal["auto", "always", "never"] = "auto"


METHODS: dict[str, tuple[str, ...]] = {
    "convnext_ap": (
        "attention",
        "attention_position",
        "parts",
        "part_dim",
        "refine",
        "global_branch",
        "layer_scale",
        "instance_norm",
    ),
    "hpm": ("part_dim",),
    "bdb": ("drop_height", "drop_width"),
}
"""Every method with the options that not all of them have; its builder has the same words."""
_SHARED = ("method", "backbone", "pretrained", "weights", "embedding", "last_stride", "drop_path")


class ModelSettings(Settings):
    """The network; the words are those of the method's builder, such as `passerby.convnext_ap`.

    Only what the method has is written back; an option of another method is an error.
    """

    method: Literal["convnext_ap", "hpm", "bdb"] = "convnext_ap"
    backbone: str = "convnext_base"
    pretrained: bool = False
    weights: Path | None = None
    attention: bool = True
    attention_position: Literal["depthwise", "block"] = "depthwise"
    parts: Annotated[int, Field(ge=0, le=16)] = 6
    part_dim: Annotated[int, Field(ge=8, le=4096)] = 256
    refine: bool = True
    global_branch: bool = False
    embedding: Literal["reduced", "full"] = "reduced"
    last_stride: Literal[1, 2] = 2
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    layer_scale: Positive | None = 1e-6
    instance_norm: Annotated[int, Field(ge=0, le=3)] = 0
    drop_height: Annotated[float, Field(gt=0, le=1)] = 0.3
    drop_width: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _own(self) -> ModelSettings:
        own = (*_SHARED, *METHODS[self.method])
        foreign = [name for name in type(self).model_fields if name in self.model_fields_set and name not in own]
        if foreign:
            raise ValueError(f"method {self.method} has no {', '.join(foreign)}; it has {', '.join(own)}")
        return self

    @model_serializer(mode="wrap")
    def _write_own(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        own = (*_SHARED, *METHODS[self.method])
        return {name: value for name, value in write(self).items() if name in own}

    @property
    def stripes(self) -> int:
        """Horizontal stripes that the network cuts a map into; 0 for none, and for methods that cut otherwise."""
        return self.parts if self.method == "convnext_ap" else 0

    @property
    def refines(self) -> bool:
        """Whether there is a part classifier."""
        return self.method == "convnext_ap" and self.refine

    @model_validator(mode="after")
    def _sensible(self) -> ModelSettings:
        if self.drop_height == self.drop_width == 1:
            raise ValueError(
                "drop_height and drop_width are both 1, which leaves nothing of the map; lower one of them"
            )
        if self.refine and self.parts < 2:
            raise ValueError("refine: true needs parts of at least 2; set refine: false")
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained: true and weights: FILE are both given; keep one")
        return self


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
    """Batch-hard triplet (Hermans et al. 2017) on Euclidean distances; `margin: null` is the soft margin."""

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


class CenterLossSettings(Settings):
    """Distance to the center of the own person (Wen et al. 2016), which moves `alpha` of the way."""

    weight: NotNegative = 5e-4
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.5


class LossSettings(Settings):
    """Which losses, each with its weight; `null` leaves one out."""

    identity: IdentityLossSettings | None = IdentityLossSettings()
    circle: CircleLossSettings | None = CircleLossSettings()
    triplet: TripletLossSettings | None = None
    contrastive: ContrastiveLossSettings | None = None
    supcon: SupConLossSettings | None = None
    center: CenterLossSettings | None = None

    @model_validator(mode="after")
    def _any(self) -> LossSettings:
        chosen = (self.identity, self.circle, self.triplet, self.contrastive, self.supcon)
        if not any(loss is not None and loss.weight > 0 for loss in chosen):
            raise ValueError(
                "every loss is off; give at least one of identity, circle, triplet, contrastive, supcon"
                + (", as center alone draws everybody to one point" if self.center is not None else "")
            )
        return self

    @property
    def keeps_centers(self) -> bool:
        """Whether the training needs the network's centers."""
        return self.center is not None and self.center.weight > 0

    @property
    def knows_classes(self) -> bool:
        """Whether the training needs something of each identity: a classifier's weights, or a center."""
        return self.keeps_centers or (self.identity is not None and self.identity.weight > 0)


class OptimizerSettings(Settings):
    """How a gradient becomes a step. `backbone_scale` multiplies the learning rate of the backbone.

    `layer_decay` makes each layer of the backbone that much slower than the one above it; 1 makes all alike.
    `clip` is the largest gradient norm (null: no clipping); `accumulate` adds that many batches to one step.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    backbone_scale: Positive = 0.1
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    weight_decay: NotNegative = 5e-4
    momentum: Decay = 0.9
    nesterov: bool = True
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    clip: Positive | None = None
    accumulate: Count = 1


class ScheduleSettings(Settings):
    """Linear warm-up from `lr_init` to `lr_max`, then cosine down to `lr_min` at the end of the last epoch."""

    epochs: Count = 120
    warmup_epochs: Annotated[int, Field(ge=0)] = 5
    lr_init: NotNegative = 0.02
    lr_max: Positive = 0.1
    lr_min: NotNegative = 0.0

    @model_validator(mode="after")
    def _fits(self) -> ScheduleSettings:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs: {self.warmup_epochs} leaves nothing of {self.epochs} epochs; make it smaller"
            )
        if not self.lr_min <= self.lr_max or not self.lr_init <= self.lr_max:
            raise ValueError("lr_max must be at least lr_init and lr_min")
        return self


class StageSettings(Settings):
    """A stretch of the training with its own rates, that trains a part of the network; null is what `schedule` says.

    `train` names what learns, of the network's three pieces; the rest is frozen, its batch norms' statistics too.
    `refine` pools by the part classifier (true) or by stripes (false); null is what `model.refine` says.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=40)]
    epochs: Count
    warmup_epochs: Annotated[int, Field(ge=0)] | None = None
    lr_init: NotNegative | None = None
    lr_max: Positive | None = None
    lr_min: NotNegative | None = None
    train: tuple[Literal["backbone", "necks", "refinement"], ...] = ("backbone", "necks", "refinement")
    refine: bool | None = None


class TrainingSettings(Settings):
    """The loop's own settings. `ema` is the decay of the averaged weights (null: none); `threads` null: torch's.

    `checkpoint_minutes` is the longest time that a kill can cost, beside the end of every epoch.
    """

    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    channels_last: bool = True
    compile: bool = False
    threads: Count | None = None
    checkpoint_minutes: Positive = 5.0
    evaluate_every: Annotated[int, Field(ge=0)] = 0


class EvaluationSettings(Settings):
    """How figures are made; `protocol: null` is the data set's own.

    `calibration` is fitted to training people when the training is over (null: not at all). `cameras` normalizes
    embeddings camera by camera, which uses the test cameras' unlabeled images.
    """

    protocol: ProtocolName | None = None
    ap: ApRule = "step"
    flip: bool = True
    cameras: bool = False
    batch: Count = 128
    bootstrap: Annotated[int, Field(ge=0)] = 1000
    calibration: Literal["logistic", "isotonic"] | None = "logistic"
