"""Weighted sum of the losses.

With many processes, each has B / world rows of the batch. Metric losses need all pairs, so embeddings and labels are
gathered, and every process computes the same metric loss M of all B rows; the backward pass of `gather` sums the
world equal gradients. The identity loss I_r is the mean over the rows of process r. DDP then averages the gradients of
the parameters:

    mean_r d(I_r)/d(theta) = d(I)/d(theta),   mean_r world * d(M)/d(rows of r) * d(rows of r)/d(theta) = d(M)/d(theta)

which are the gradients of one process on the whole batch. `passerby.distributed.share_batch_norms` shares the
statistics of batch norms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from passerby.distributed import gather
from passerby.errors import RecipeError
from passerby.losses.center import center_loss, move_centers
from passerby.losses.circle import circle_loss
from passerby.losses.contrastive import contrastive_loss
from passerby.losses.identity import identity_loss
from passerby.losses.ranking import ranking_loss
from passerby.losses.supcon import supcon_loss
from passerby.losses.triplet import triplet_loss
from passerby.model.convnext_ap import Output

LOSSES: dict[str, Callable[..., Tensor]] = {
    "identity": identity_loss,
    "circle": circle_loss,
    "triplet": triplet_loss,
    "contrastive": contrastive_loss,
    "supcon": supcon_loss,
    "ranking": ranking_loss,
    "center": center_loss,
}
"""Losses by name. `identity` takes the logits, `center` the average of the map, the others the embedding, or each
branch of a network that has branches (their mean). A method's own loss is added as `own`, see `Output.own_loss`."""


class Losses:
    """Weighted sum of losses.

    Args:
        settings: For each name in `LOSSES`, the loss's keyword arguments and its `weight`; None or weight 0 leaves it
            out. `alpha` of `center` is the rate of `move_centers`.

    Raises:
        RecipeError: For an unknown name, or when no loss is left.

    Example:
        >>> losses = Losses(identity={"weight": 1.0, "label_smoothing": 0.1}, triplet={"weight": 2.0, "margin": 0.3})
        >>> network = passerby.convnext_ap("test_convnext", identities=4, parts=2, part_dim=8)
        >>> total, named = losses(network(torch.randn(4, 3, 64, 32)), torch.tensor([0, 0, 1, 1]))
        >>> bool(torch.isclose(total, named["identity"] + 2 * named["triplet"]))
        True
    """

    def __init__(self, **settings: Mapping[str, Any] | None) -> None:
        unknown = sorted(settings.keys() - LOSSES.keys())
        if unknown:
            raise RecipeError(f"loss {unknown[0]!r}: unknown; expected {', '.join(LOSSES)}")
        chosen = {name: dict(options) for name, options in settings.items() if options is not None}
        self.alpha = float(chosen["center"].pop("alpha")) if "center" in chosen else 0.0
        self.weights = {name: float(options.pop("weight")) for name, options in chosen.items()}
        self.weights = {name: weight for name, weight in self.weights.items() if weight > 0}
        self.functions = {name: partial(LOSSES[name], **chosen[name]) for name in self.weights}
        if not self.weights:
            raise RecipeError(f"loss: every loss is off; give at least one of {', '.join(LOSSES)} a weight above 0")

    def __call__(self, output: Output, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of this process's rows, for `backward`, and move the network's centers for the center loss.

        Args:
            output: Output of the network, for B / world images.
            labels: (B / world,) class of each image.

        Returns:
            The weighted sum, and each loss by name before weighting, with `own` (weighted) of a network that has a
            loss of its own; scalars in float32 on the device.

        Raises:
            RecipeError: For a center loss and a network without centers.
        """
        with torch.autocast(output.embedding.device.type, enabled=False):
            all_labels = gather(labels) if self.functions.keys() != {"identity"} else labels
            pairs = self.functions.keys() - {"identity", "center"}
            vectors = [gather(rows) for rows in output.branches or (output.embedding,)] if pairs else []
            named = {}
            for name, function in self.functions.items():
                if name == "identity":
                    named[name] = function(output.logits, labels, weights=output.weights)
                elif name == "center":
                    named[name] = self._center(output, all_labels)
                else:
                    named[name] = torch.stack([function(rows, all_labels) for rows in vectors]).mean()
        total = torch.stack([self.weights[name] * value for name, value in named.items()]).sum()
        if output.own_loss is not None:  # a mean over this process's rows, as the identity loss
            named["own"] = output.own_loss.float()
            total = total + named["own"]
        return total, named

    def _center(self, output: Output, all_labels: Tensor) -> Tensor:
        """Compute the center loss of all rows, then move the centers."""
        if output.centers is None:
            raise RecipeError("loss.center: the network has no centers; call its keep_centers() first")
        pooled = gather(output.map.mean(dim=(2, 3)))  # (B, C)
        value = self.functions["center"](pooled, all_labels, centers=output.centers)
        move_centers(output.centers, pooled, all_labels, alpha=self.alpha)
        return value
