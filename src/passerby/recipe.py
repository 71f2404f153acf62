"""What a run is, as data: validated once at the edge, saved with the run, never executed.

A recipe is YAML. `load_recipe("lab-atto", overrides=["schedule.epochs=60"])` reads a shipped one, a file, or
the `recipe.yaml` of a run. Inside the package, rooms take plain arguments and never see this file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from passerby.errors import RecipeError
from passerby.types import ApRule, ProtocolName

RECIPES = Path(__file__).parent / "recipes"

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class _Section(BaseModel):
    """A part of the recipe: unknown keys are errors, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Erasing(_Section):
    """Random erasing (Zhong et al. 2020): a rectangle of random values.

    `area` is the share of the image that is erased, `aspect` the rectangle's height over width.
    """

    p: Share = 0.5
    area: tuple[Share, Share] = (0.02, 0.4)
    aspect: tuple[Positive, Positive] = (0.3, 3.3)

    @model_validator(mode="after")
    def _ordered(self) -> Erasing:
        for name in ("area", "aspect"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: [{low}, {high}] runs backwards; give the smaller number first")
        return self


class Jitter(_Section):
    """Random brightness, contrast, saturation (each x 1 +- value) and hue (share of the colour circle)."""

    p: Share = 1.0
    brightness: Share = 0.2
    contrast: Share = 0.2
    saturation: Share = 0.2
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class Images(_Section):
    """From a file to normalised pixels. `null` switches a step off.

    `size` is (height, width) in pixels; `pad` is the border in pixels that pad-and-crop adds before cropping back.
    """

    size: tuple[Annotated[int, Field(ge=32, le=2048)], Annotated[int, Field(ge=16, le=2048)]] = (256, 128)
    flip: Share = 0.5
    pad: Annotated[int, Field(ge=0, le=256)] = 10
    erasing: Erasing | None = Erasing()
    jitter: Jitter | None = None
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat] = (0.485, 0.456, 0.406)
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)


class Batches(_Section):
    """P x K batches: `persons` identities of `images` images each, on all processes together.

    `cache` keeps resized images in memory: `auto` when they fit in a quarter of the free memory.
    """

    persons: Annotated[int, Field(ge=2)] = 16
    images: Annotated[int, Field(ge=1)] = 4
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


class Model(_Section):
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
    def _own(self) -> Model:
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
    def _sensible(self) -> Model:
        if self.drop_height == self.drop_width == 1:
            raise ValueError(
                "drop_height and drop_width are both 1, which leaves nothing of the map; lower one of them"
            )
        if self.refine and self.parts < 2:
            raise ValueError("refine: true needs parts of at least 2; set refine: false")
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained: true and weights: FILE are both given; keep one")
        return self


class IdentityLoss(_Section):
    """Softmax cross-entropy over the training identities, averaged over the parts."""

    weight: NotNegative = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1


class CircleLoss(_Section):
    """Pairwise circle loss (Sun et al. 2020) on the unit embedding."""

    weight: NotNegative = 1.0
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.25
    gamma: Positive = 64.0


class TripletLoss(_Section):
    """Batch-hard triplet (Hermans et al. 2017) on Euclidean distances; `margin: null` is the soft margin."""

    weight: NotNegative = 1.0
    margin: Positive | None = 0.3


class ContrastiveLoss(_Section):
    """Contrastive (verification) loss on Euclidean distances of unit vectors."""

    weight: NotNegative = 1.0
    margin: Positive = 1.0


class SupConLoss(_Section):
    """Supervised contrastive loss (Khosla et al. 2020) on the unit embedding."""

    weight: NotNegative = 1.0
    temperature: Positive = 0.1


class CentreLoss(_Section):
    """Distance to the centre of the own person (Wen et al. 2016), which moves `alpha` of the way."""

    weight: NotNegative = 5e-4
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.5


class Losses(_Section):
    """Which losses, each with its weight; `null` leaves one out."""

    identity: IdentityLoss | None = IdentityLoss()
    circle: CircleLoss | None = CircleLoss()
    triplet: TripletLoss | None = None
    contrastive: ContrastiveLoss | None = None
    supcon: SupConLoss | None = None
    centre: CentreLoss | None = None

    @model_validator(mode="after")
    def _any(self) -> Losses:
        chosen = (self.identity, self.circle, self.triplet, self.contrastive, self.supcon)
        if not any(loss is not None and loss.weight > 0 for loss in chosen):
            raise ValueError(
                "every loss is off; give at least one of identity, circle, triplet, contrastive, supcon"
                + (", as centre alone draws everybody to one point" if self.centre is not None else "")
            )
        return self

    @property
    def keeps_centres(self) -> bool:
        """Whether the training needs the network's centres."""
        return self.centre is not None and self.centre.weight > 0


class Optimiser(_Section):
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


class Schedule(_Section):
    """Linear warm-up from `lr_init` to `lr_max`, then cosine down to `lr_min` at the end of the last epoch."""

    epochs: Count = 120
    warmup_epochs: Annotated[int, Field(ge=0)] = 5
    lr_init: NotNegative = 0.02
    lr_max: Positive = 0.1
    lr_min: NotNegative = 0.0

    @model_validator(mode="after")
    def _fits(self) -> Schedule:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs: {self.warmup_epochs} leaves nothing of {self.epochs} epochs; make it smaller"
            )
        if not self.lr_min <= self.lr_max or not self.lr_init <= self.lr_max:
            raise ValueError("lr_max must be at least lr_init and lr_min")
        return self


class Stage(_Section):
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


class Training(_Section):
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


class Evaluation(_Section):
    """How figures are made; `protocol: null` is the data set's own.

    `calibration` is fitted to training people when the training is over (null: not at all). `cameras` normalises
    embeddings camera by camera, which uses the test cameras' unlabelled images.
    """

    protocol: ProtocolName | None = None
    ap: ApRule = "step"
    flip: bool = True
    cameras: bool = False
    batch: Count = 128
    bootstrap: Annotated[int, Field(ge=0)] = 1000
    calibration: Literal["logistic", "isotonic"] | None = "logistic"


class Recipe(_Section):
    """A whole run. `to_yaml` writes it back."""

    name: str = "unnamed"
    images: Images = Images()
    batches: Batches = Batches()
    model: Model = Model()
    loss: Losses = Losses()
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    stages: tuple[Stage, ...] = ()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _metric_losses_see_pairs(self) -> Recipe:
        metric = (self.loss.circle, self.loss.triplet, self.loss.contrastive)
        if self.batches.images < 2 and any(loss is not None and loss.weight > 0 for loss in metric):
            raise ValueError("batches.images: 1 gives a metric loss no pair of one person; use 2 or more")
        return self

    @model_validator(mode="after")
    def _stages_fit(self) -> Recipe:
        if self.stages:
            _require_stages(self.stages, self.schedule.epochs, refines=self.model.refines)
            for stage in self.plan:  # its rates, with those that it takes from the schedule
                _schedule_of(stage)
        return self

    @property
    def plan(self) -> tuple[Stage, ...]:
        """The stages with nothing left open; without `stages`, one without a name that is the whole schedule."""
        schedule = self.schedule.model_dump()
        if not self.stages:
            return (Stage.model_construct(name="", **schedule, refine=self.model.refines),)
        defaults = {**schedule, "refine": self.model.refines}
        filled = (
            {key: defaults[key] if value is None else value for key, value in stage.model_dump().items()}
            for stage in self.stages
        )
        return tuple(Stage.model_construct(**each) for each in filled)

    def to_yaml(self) -> str:
        """Every setting, defaults included, so that a later default cannot change an old run."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def _require_stages(stages: Sequence[Stage], epochs: int, *, refines: bool) -> None:
    """Raise ValueError for stages that do not belong together, or not to the rest of the recipe."""
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise ValueError(f"stages: the names {', '.join(names)} are not all different; give each stage its own")
    if sum(stage.epochs for stage in stages) != epochs:
        lengths = " + ".join(str(stage.epochs) for stage in stages)
        raise ValueError(f"stages: {lengths} epochs, but schedule.epochs is {epochs}; let them add up to it")
    for stage in stages:
        refined = refines if stage.refine is None else stage.refine
        if refined and not refines:
            raise ValueError(
                f"stages: {stage.name} has refine: true, but model.refine is false; set model.refine: true and "
                "model.parts of at least 2, or leave it out"
            )
        if not set(stage.train) - (set() if refined else {"refinement"}):
            why = "refinement alone, which it does not use" if stage.train else "nothing"
            raise ValueError(
                f"stages: {stage.name} trains {why}, so all that it uses is frozen; name at least one of backbone, "
                "necks" + (", refinement" if refines else "") + " in its train"
            )
    if refines and stages[-1].refine is False:
        raise ValueError(
            f"stages: {names[-1]}, the last, has refine: false, but model.refine is true; the finished model is the "
            "last stage's, so let both say the same"
        )


def _schedule_of(stage: Stage) -> None:
    """Raise ValueError when a stage's rates, with those that it takes from the schedule, make no schedule."""
    settings = {key: getattr(stage, key) for key in Schedule.model_fields}
    if not stage.warmup_epochs:
        settings["lr_init"] = 0.0  # not used
    try:
        Schedule.model_validate(settings)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ValueError(f"stages: {stage.name}: {message} (what it leaves out is the schedule's)") from None


def recipe_names() -> list[str]:
    """Names of the shipped recipes, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str | Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe by name, or a YAML file by path, and apply `a.b=value` overrides in order.

    Raises:
        RecipeError: For a name that is not known, YAML that does not parse, an unknown key (the known ones are
            listed), or an impossible value.
    """
    path = RECIPES / f"{name}.yaml" if str(name) in recipe_names() else Path(name)
    if not path.is_file():
        raise RecipeError(
            f"recipe {str(name)!r}: neither a shipped recipe ({', '.join(recipe_names())}) nor a file that exists"
        )
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_Numbers)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path}: not YAML: {error}") from None
    if not isinstance(tree, dict):
        raise RecipeError(f"recipe {path}: holds {type(tree).__name__}, expected keys such as model: and schedule:")
    for override in overrides:
        _apply(tree, override)
    return parse_recipe(tree, source=str(name))


def parse_recipe(tree: dict[str, Any], *, source: str = "recipe") -> Recipe:
    """Validate a nested dict. Raises RecipeError as `load_recipe` does."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(f"recipe {source}: " + "; ".join(_explain(item) for item in error.errors())) from None


def _apply(tree: dict[str, Any], override: str) -> None:
    """Set one `a.b.c=value` in a nested dict; the value is read as YAML."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {override!r}: expected key.subkey=value, such as schedule.epochs=60")
    try:
        value = yaml.load(text, Loader=_Numbers)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {override!r}: the value is not YAML: {error}") from None
    *parents, last = key.split(".")
    node = tree
    for parent in parents:
        child = node.get(parent)
        if child is None:
            child = node[parent] = {}
        if not isinstance(child, dict):
            raise RecipeError(f"--set {override!r}: {parent} is a value, not a section")
        node = child
    node[last] = value


class _Numbers(yaml.SafeLoader):
    """SafeLoader that reads `1e-3` as a number, as everybody who types it means (YAML 1.1 wants 1.0e-3)."""


_Numbers.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _explain(item: Any) -> str:
    """One pydantic finding as a sentence that names the key as the user writes it."""
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        *parents, _ = item["loc"]
        known = ", ".join(_keys_at(parents))
        return f"unknown key {place!r}; {'.'.join(map(str, parents)) or 'the recipe'} knows {known}"
    message = item["msg"].removeprefix("Value error, ")
    got = "" if isinstance(item["input"], dict | BaseModel) else f", got {item['input']!r}"
    return f"{place + ': ' if place else ''}{message}{got}"


def _keys_at(parents: Sequence[Any]) -> list[str]:
    """The keys that the section at this place knows."""
    section: type[BaseModel] = Recipe
    for parent in parents:
        if isinstance(parent, int):  # the place in a list, whose items' section is the one at hand
            continue
        annotation: Any = section.model_fields[str(parent)].annotation
        options = getattr(annotation, "__args__", (annotation,))
        section = next(kind for kind in options if isinstance(kind, type) and issubclass(kind, BaseModel))
    return list(section.model_fields)
