"""Convert a recipe to the plain arguments of the model, the losses and the training, which do not use recipes."""

from __future__ import annotations

from typing import Any

from passerby.losses.combine import Losses
from passerby.recipe import Recipe
from passerby.training.loader import LoaderSettings
from passerby.training.loop import LoopSettings
from passerby.training.stages import Stage
from passerby.training.transforms import TransformSettings


def build_loader_settings(recipe: Recipe) -> LoaderSettings:
    """Return the recipe's images and batches as settings of the training loader."""
    images, batches = recipe.images, recipe.batches
    erasing, jitter, response, zoom = images.erasing, images.jitter, images.response, images.zoom
    return LoaderSettings(
        transform=TransformSettings(
            size=images.size,
            mean=images.mean,
            std=images.std,
            flip=images.flip,
            pad=images.pad,
            erasing=(erasing.p, erasing.area, erasing.aspect) if erasing else None,
            jitter=(jitter.p, jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue) if jitter else None,
            response=(response.p, response.gamma, response.gain, response.lift, response.fade) if response else None,
            zoom=(zoom.p, zoom.scale, zoom.aspect) if zoom else None,
        ),
        persons=batches.persons,
        images_per_person=batches.images,
        alike=batches.alike,
        workers=batches.workers,
        prefetch=batches.prefetch,
        cache=batches.cache,
        background=images.background,
        seed=recipe.training.seed,
    )


def model_arguments(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe's model as arguments of `build_model`, paths as text."""
    return recipe.model.model_dump(mode="json")


def count_classes(recipe: Recipe, identities: int) -> int:
    """Return the number of classes of the network: the training identities, or 0 if nothing uses classifiers."""
    return identities if recipe.loss.needs_classes and recipe.metric is None else 0


def build_stages(recipe: Recipe) -> list[Stage]:
    """Return the stages of the training; one without a name if the recipe has none."""
    return [Stage(**stage.model_dump()) for stage in recipe.plan]


def optimizer_arguments(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe's optimizer as arguments of `build_optimizer`."""
    return recipe.optimizer.model_dump(exclude={"clip", "accumulate"})


def build_losses(recipe: Recipe) -> Losses:
    """Return the recipe's losses with their weights."""
    return Losses(**recipe.loss.model_dump())


def build_loop_settings(recipe: Recipe) -> LoopSettings:
    """Build the settings of the training loop."""
    return LoopSettings(
        accumulate=recipe.optimizer.accumulate,
        clip=recipe.optimizer.clip,
        precision=recipe.training.precision,
        channels_last=recipe.training.channels_last,
        compile=recipe.training.compile,
        alike_from=recipe.batches.alike_from,
        seed=recipe.training.seed,
    )
