"""Sections of a recipe: keys, defaults and bounds; losses are in `loss_settings.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, SerializerFunctionWrapHandler, model_serializer, model_validator

from passerby.recipe.settings_base import Count, Decay, Fraction, NotNegative, Positive, Settings
from passerby.text import plural
from passerby.types import ApRule, ProtocolName


class ErasingSettings(Settings):
    """Random erasing (Zhong et al. 2020): a rectangle of random values.

    `area` is the erased fraction of the image, `aspect` the rectangle's height over width.
    """

    p: Fraction = 0.5
    area: tuple[Fraction, Fraction] = (0.02, 0.4)
    aspect: tuple[Positive, Positive] = (0.3, 3.3)

    @model_validator(mode="after")
    def _ordered(self) -> ErasingSettings:
        for name in ("area", "aspect"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: [{low}, {high}] is in the wrong order; give the smaller number first")
        return self


class JitterSettings(Settings):
    """Random brightness, contrast, saturation (each times 1 +- value) and hue (fraction of the color circle)."""

    p: Fraction = 1.0
    brightness: Fraction = 0.2
    contrast: Fraction = 0.2
    saturation: Fraction = 0.2
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class ResponseSettings(Settings):
    """Random camera response: exponent from exp(-gamma) to exp(gamma), factor of each channel likewise with `gain`.

    The black level is from 0 to `lift`, the factor of the saturation from 1 - `fade` to 1.
    """

    p: Fraction = 1.0
    gamma: Annotated[float, Field(ge=0, le=2)] = 0.3
    gain: Annotated[float, Field(ge=0, le=1)] = 0.1
    lift: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    fade: Fraction = 0.0


class ZoomSettings(Settings):
    """Random size of the person in the image: factor from exp(-scale) to exp(scale), height over width likewise."""

    p: Fraction = 1.0
    scale: Annotated[float, Field(ge=0, le=1)] = 0.15
    aspect: Annotated[float, Field(ge=0, le=1)] = 0.1


class ImageSettings(Settings):
    """From a file to normalized pixels. `null` switches an augmentation off.

    `size` is (height, width) in pixels; `pad` is the border in pixels that pad-and-crop adds before cropping back.
    `background` is the probability that the person is put on the background of another image, along the part masks
    that rendered data sets have.
    """

    size: tuple[Annotated[int, Field(ge=32, le=2048)], Annotated[int, Field(ge=16, le=2048)]] = (256, 128)
    flip: Fraction = 0.5
    pad: Annotated[int, Field(ge=0, le=256)] = 10
    erasing: ErasingSettings | None = Field(default_factory=ErasingSettings)
    jitter: JitterSettings | None = None
    response: ResponseSettings | None = None
    zoom: ZoomSettings | None = None
    background: Fraction = 0.0
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat] = (0.485, 0.456, 0.406)
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)


class BatchSettings(Settings):
    """P x K batches: `persons` identities of `images` images each, over all processes together.

    `alike` draws identities in groups of that size, each with its nearest neighbors under the current network, from
    epoch `alike_from` on (graph sampling). `cache` keeps resized images in memory: `auto` when they fit in a quarter of
    the free memory.
    """

    persons: Annotated[int, Field(ge=2)] = 16
    images: Annotated[int, Field(ge=1)] = 4
    alike: Annotated[int, Field(ge=1)] = 1
    alike_from: Annotated[int, Field(ge=0)] = 1
    workers: Annotated[int, Field(ge=0, le=256)] = 4
    prefetch: Count = 4
    cache: Literal["auto", "always", "never"] = "auto"


@dataclass(frozen=True)
class _Of:
    """Mark an option that only these methods have."""

    methods: tuple[str, ...]


_CONVNEXT_AP = _Of(("convnext_ap",))


class ModelSettings(Settings):
    """The network: keyword arguments of the method's builder, such as `passerby.convnext_ap`.

    An option that the method does not have is an error, and is not written.
    """

    method: Literal[
        "convnext_ap",
        "hpm",
        "bdb",
        "scpnet",
        "ianet",
        "mhn",
        "cama",
        "cbn",
        "dgnet",
        "glad",
        "maskreid",
        "spreid",
        "horeid",
        "lomo",
        "imported",
    ] = "convnext_ap"
    backbone: str = "convnext_base"
    head: Annotated[str, _Of(("imported",))] = "average"
    pretrained: bool = False
    weights: Path | None = None
    attention: Annotated[bool, _CONVNEXT_AP] = True
    attention_position: Annotated[Literal["depthwise", "block"], _CONVNEXT_AP] = "depthwise"
    parts: Annotated[int, Field(ge=0, le=16), _Of(("convnext_ap", "mhn"))] = 6
    part_dim: Annotated[int, Field(ge=8, le=4096), _Of(("convnext_ap", "hpm", "mhn", "glad", "maskreid", "lomo"))] = 256
    refine: Annotated[bool, _CONVNEXT_AP] = True
    global_branch: Annotated[bool, _CONVNEXT_AP] = False
    embedding: Literal["reduced", "full"] = "reduced"
    last_stride: Literal[1, 2] = 2
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    layer_scale: Annotated[Positive | None, _CONVNEXT_AP] = 1e-6
    instance_norm: Annotated[int, Field(ge=0, le=3), _CONVNEXT_AP] = 0
    tone_black: Annotated[float, Field(ge=0, lt=1), _CONVNEXT_AP] = 0.0
    tone_gamma: Annotated[Positive, _CONVNEXT_AP] = 1.0
    drop_height: Annotated[float, Field(gt=0, le=1), _Of(("bdb",))] = 0.3
    drop_width: Annotated[float, Field(gt=0, le=1), _Of(("bdb",))] = 1.0
    channel_parts: Annotated[int, Field(ge=1, le=16), _Of(("scpnet",))] = 4
    spatial_weight: Annotated[NotNegative, _Of(("scpnet",))] = 10.0
    orders: Annotated[int, Field(ge=2, le=8), _Of(("mhn",))] = 6
    diversity_weight: Annotated[NotNegative, _Of(("mhn",))] = 2.0
    activation_branches: Annotated[int, Field(ge=2, le=8), _Of(("cama",))] = 3
    overlap_weight: Annotated[NotNegative, _Of(("cama",))] = 1.0
    generator_width: Annotated[int, Field(ge=4, le=64), _Of(("dgnet",))] = 16
    generated_images: Annotated[int, Field(ge=4), _Of(("dgnet",))] = 16

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the settings that the method has."""
        return tuple(
            name
            for name, field in type(self).model_fields.items()
            if all(self.method in mark.methods for mark in field.metadata if isinstance(mark, _Of))
        )

    @property
    def evens_tones(self) -> bool:
        """Whether a first layer changes the tones of the images."""
        return (self.tone_black, self.tone_gamma) != (0, 1)

    @property
    def stripes(self) -> int:
        """Horizontal stripes of the map; 0 for none, and for methods that divide the map in another way."""
        return self.parts if self.method == "convnext_ap" else 0

    @property
    def refines(self) -> bool:
        """Whether there is a part classifier."""
        return self.method == "convnext_ap" and self.refine

    @model_validator(mode="after")
    def _has_own_options(self) -> ModelSettings:
        names = [name for name in type(self).model_fields if name in self.model_fields_set - set(self.options)]
        if names:
            raise ValueError(f"method {self.method} has no {', '.join(names)}; it has {', '.join(self.options)}")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> ModelSettings:
        if self.drop_height == self.drop_width == 1:
            raise ValueError("drop_height and drop_width are both 1, which drops the whole map; lower one of them")
        if self.refines and self.parts < 2:
            raise ValueError("refine: true needs parts of at least 2; set refine: false")
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained: true and weights: FILE are both given; keep one")
        return self

    @model_serializer(mode="wrap")
    def _write_own_options(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if name in self.options}


class OptimizerSettings(Settings):
    """From a gradient to a step. `backbone_scale` multiplies the learning rate of the backbone.

    `layer_decay` multiplies the rate of each layer of the backbone once more than that of the layer above; 1 is off.
    `clip` is the largest gradient norm (null: no clipping); `accumulate` is the number of batches per step.
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
                f"warmup_epochs: {self.warmup_epochs} leaves nothing of {plural(self.epochs, 'epoch')}; make it smaller"
            )
        if not self.lr_min <= self.lr_max or not self.lr_init <= self.lr_max:
            raise ValueError("lr_max must be at least lr_init and lr_min")
        return self


class StageSettings(Settings):
    """A stage of the training with rates of its own, that trains a part of the network; null is the schedule's value.

    `train` lists the pieces of the network that are trained; the rest is frozen, statistics of batch norms too.
    `refine` pools parts by the part classifier (true) or by stripes (false); null is the value of `model.refine`.
    """

    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9-]*$",
            max_length=40,
            description="at most 40 lowercase letters, digits and hyphens",
        ),
    ]
    epochs: Count
    warmup_epochs: Annotated[int, Field(ge=0)] | None = None
    lr_init: NotNegative | None = None
    lr_max: Positive | None = None
    lr_min: NotNegative | None = None
    train: tuple[Literal["backbone", "necks", "refinement"], ...] = ("backbone", "necks", "refinement")
    refine: bool | None = None


class TrainingSettings(Settings):
    """Settings of the loop. `ema` is the decay of the averaged weights (null: none); `threads` null is torch's number.

    `checkpoint_minutes` is the longest time between checkpoints, beside the one at the end of every epoch.
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
    """Evaluation of the model; `protocol: null` is the data set's own.

    `calibration` is fitted to training identities after training (null: none). `cameras` normalizes embeddings per
    camera, which uses unlabeled images of the test cameras.
    """

    protocol: ProtocolName | None = None
    ap: ApRule = "step"
    flip: bool = True
    cameras: bool = False
    batch: Count = 128
    bootstrap: Annotated[int, Field(ge=0)] = 1000
    calibration: Literal["logistic", "isotonic"] | None = "logistic"
