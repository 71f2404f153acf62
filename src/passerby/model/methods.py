"""Every method that there is a network of, by the name that recipes and manifests call it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from passerby.errors import RecipeError
from passerby.model.baselines.bdb import bdb
from passerby.model.baselines.hpm import hpm
from passerby.model.convnext_ap import ReID, convnext_ap

MODELS: dict[str, Callable[..., ReID]] = {"convnext_ap": convnext_ap, "hpm": hpm, "bdb": bdb}
"""What builds each method's network; PCB, StrongReID, OSNet and plain baselines are settings of `convnext_ap`."""


def build_model(*, method: str = "convnext_ap", **arguments: Any) -> ReID:
    """The network of a method.

    Args:
        method: One of `MODELS`; manifests from before there was a choice name none.
        arguments: Of its builder.

    Raises:
        RecipeError: For a method that is not known, an option that it does not have, or as its builder says.
        WeightsError: As its builder.
    """
    if method not in MODELS:
        raise RecipeError(f"model.method: got {method!r}, expected one of {', '.join(MODELS)}")
    known = inspect.signature(MODELS[method]).parameters.keys()
    foreign = sorted(arguments.keys() - known)
    if foreign:
        raise RecipeError(f"model: {method} has no {', '.join(foreign)}; it knows {', '.join(known)}")
    return MODELS[method](**arguments)
