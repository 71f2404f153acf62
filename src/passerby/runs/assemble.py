"""Build the parts of a training from a recipe and a training set: network, loader, steps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from passerby.data.training_set import TrainingSet
from passerby.distributed import Process, share_batch_norms
from passerby.model.convnext_ap import ReID
from passerby.model.methods import build_model
from passerby.progress import ProgressCallback, no_progress
from passerby.recipe import Recipe
from passerby.runs.arguments import (
    build_loader_settings,
    build_loop_settings,
    build_losses,
    build_stages,
    count_classes,
    model_arguments,
    optimizer_arguments,
)
from passerby.training.loader import TrainingLoader
from passerby.training.loop import fit
from passerby.training.optimizer import build_optimizer
from passerby.training.stages import set_stage
from passerby.training.state import Step, TrainingState


def training_state(
    recipe: Recipe, identities: int, process: Process, *, stage: int = 0, initialize: bool = True
) -> tuple[ReID, TrainingState]:
    """Build the network and the training state at step 0. Random initial weights depend on the seed alone.

    Args:
        recipe: The settings.
        identities: Number of training identities.
        process: This process, with its device.
        stage: Index of the stage whose optimizer is built.
        initialize: Load the initial weights that the recipe names; a checkpoint replaces them.

    Returns:
        The network, and the state that contains it.

    Raises:
        RecipeError: For settings that contradict each other.
        WeightsError: For initial weights that are missing or of another architecture.
    """
    import torch
    from timm.utils.model_ema import ModelEmaV3

    torch.manual_seed(recipe.training.seed)
    arguments = model_arguments(recipe) | ({} if initialize else {"pretrained": False, "weights": None})
    network = build_model(**arguments, identities=count_classes(recipe, identities))
    network.backbone.require_size(recipe.images.size)
    if recipe.loss.needs_centers:
        network.keep_centers()
    network.prepare_training()
    share_batch_norms(network, process)
    network.to(process.device)
    if recipe.training.channels_last:
        network.to(memory_format=torch.channels_last)
    set_stage(network, build_stages(recipe)[stage])
    state = TrainingState(
        network=network,
        optimizer=build_optimizer(network, **optimizer_arguments(recipe)),
        scaler=torch.amp.GradScaler(process.device.type, enabled=recipe.training.precision == "fp16"),
        ema=ModelEmaV3(network, decay=recipe.training.ema, use_warmup=True) if recipe.training.ema else None,
        stage=stage,
    )
    return network, state


def training_loader(
    recipe: Recipe, training_set: TrainingSet, process: Process, *, progress: ProgressCallback = no_progress
) -> TrainingLoader:
    """Return the loader of one process of a training."""
    settings = build_loader_settings(recipe)
    return TrainingLoader(training_set, settings, rank=process.rank, world=process.world, progress=progress)


def training_steps(
    state: TrainingState, loader: TrainingLoader, recipe: Recipe, process: Process, training_set: TrainingSet
) -> Iterator[Step]:
    """Run the training loop with the recipe's settings, one optimizer step at a time."""
    return fit(
        state,
        loader,
        build_losses(recipe),
        stages=build_stages(recipe),
        optimizer=partial(build_optimizer, **optimizer_arguments(recipe)),
        settings=build_loop_settings(recipe),
        process=process,
        samples=training_set.samples,
    )
