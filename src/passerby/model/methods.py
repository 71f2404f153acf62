"""Builders of the networks of all methods, by the name used in recipes and manifests."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from passerby.errors import RecipeError
from passerby.model.baselines.bdb import bdb
from passerby.model.baselines.cama import cama
from passerby.model.baselines.cbn import cbn
from passerby.model.baselines.dgnet import dgnet
from passerby.model.baselines.glad import glad
from passerby.model.baselines.horeid import horeid
from passerby.model.baselines.hpm import hpm
from passerby.model.baselines.ianet import ianet
from passerby.model.baselines.lomo import lomo
from passerby.model.baselines.maskreid import maskreid
from passerby.model.baselines.mhn import mhn
from passerby.model.baselines.scpnet import scpnet
from passerby.model.baselines.spreid import spreid
from passerby.model.convnext_ap import ReID, convnext_ap
from passerby.model.imported.network import imported

MODELS: dict[str, Callable[..., ReID]] = {
    "convnext_ap": convnext_ap,
    "hpm": hpm,
    "bdb": bdb,
    "scpnet": scpnet,
    "ianet": ianet,
    "mhn": mhn,
    "cama": cama,
    "cbn": cbn,
    "dgnet": dgnet,
    "glad": glad,
    "maskreid": maskreid,
    "spreid": spreid,
    "horeid": horeid,
    "lomo": lomo,
    "imported": imported,
}
"""Builder of each method. PCB, StrongReID, OSNet and plain baselines are settings of `convnext_ap`;
networks that `import_model` converts are settings of `imported`. The options of a
method are the parameters of its builder; `recipe.ModelSettings` adds their bounds."""


def build_model(*, method: str = "convnext_ap", **arguments: Any) -> ReID:
    """Build the network of a method.

    Args:
        method: A key of `MODELS`; the first manifests name none, and are of `convnext_ap`.
        arguments: Keyword arguments of its builder.

    Raises:
        RecipeError: For an unknown method, an option that it does not have, or a value that its builder refuses.
        WeightsError: As its builder.

    Example:
        >>> build_model(method="hpm", backbone="resnet18", part_dim=32).embedding_width
        480
    """
    if method not in MODELS:
        raise RecipeError(f"model.method: got {method!r}, expected one of {', '.join(MODELS)}")
    known = inspect.signature(MODELS[method]).parameters.keys()
    foreign = sorted(arguments.keys() - known)
    if foreign:
        raise RecipeError(f"model: {method} has no {', '.join(foreign)}; it has {', '.join(known)}")
    return MODELS[method](**arguments)
