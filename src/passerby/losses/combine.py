"""What the network minimizes: the one place where losses are weighed against each other.

With many processes, each has B / world rows of the batch. Metric losses need all pairs, so embeddings and labels are
gathered, and every process computes the same metric loss M of all B rows; `gather`'s backward adds up the world equal
gradients. The identity loss I_r is the mean over the rows of process r. DDP then averages the parameters' gradients:

    mean_r d(I_r)/d(theta) = d(I)/d(theta),   mean_r world * d(M)/d(rows of r) * d(rows of r)/d(theta) = d(M)/d(theta)

which are the gradients of one process on the whole batch. (Batch norm statistics are shared by
`passerby.distributed.share_batch_norms`.)
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
from passerby.losses.supcon import supcon_loss
from passerby.losses.triplet import triplet_loss
from passerby.model.convnext_ap import Output

LOSSES: dict[str, Callable[..., Tensor]] = {
    "identity": identity_loss,
    "circle": circle_loss,
    "triplet": triplet_loss,
    "contrastive": contrastive_loss,
    "supcon": supcon_loss,
    "center": center_loss,
}
"""Every loss by name. `identity` looks at the logits, `center` at the average of the map, and the others at the
embedding, or at each branch of a network that has some: their mean."""


class Losses:
    """The weighted sum of the losses that have a weight.

    Args:
        settings: For each name in `LOSSES`, the loss's own settings and its `weight`; None or weight 0 leaves it out.
            `alpha` of `center` is not the loss's but how fast centers move.

    Raises:
        RecipeError: For a name that is not known, or when nothing is left.
    """

    def __init__(self, **settings: Mapping[str, Any] | None) -> None:
        unknown = sorted(settings.keys() - LOSSES.keys())
        if unknown:
            raise RecipeError(f"loss {unknown[0]!r}: not known; expected {', '.join(LOSSES)}")
        chosen = {name: dict(each) for name, each in settings.items() if each is not None}
        self.alpha = float(chosen["center"].pop("alpha")) if "center" in chosen else 0.0
        self.weights = {name: float(each.pop("weight")) for name, each in chosen.items()}
        self.weights = {name: weight for name, weight in self.weights.items() if weight > 0}
        self.functions = {name: partial(LOSSES[name], **chosen[name]) for name in self.weights}
        if not self.weights:
            raise RecipeError(f"loss: every loss is off; give at least one of {', '.join(LOSSES)} a weight above 0")

    def __call__(self, output: Output, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of this process's rows, for `backward`; the network's centers, if it has some, move.

        Args:
            output: Of B / world images.
            labels: (B / world,) class of each image.

        Returns:
            The weighted sum, and each loss by name before weighing; all scalars in float32.

        Raises:
            RecipeError: For a center loss and a network that keeps no centers.
        """
        with torch.autocast(output.embedding.device.type, enabled=False):
            everyone = gather(labels) if self.functions.keys() != {"identity"} else labels
            pairs = self.functions.keys() - {"identity", "center"}
            vectors = [gather(each) for each in output.branches or (output.embedding,)] if pairs else []
            named = {}
            for name, function in self.functions.items():
                if name == "identity":
                    named[name] = function(output.logits, labels)
                elif name == "center":
                    named[name] = self._center(output, everyone)
                else:
                    named[name] = torch.stack([function(each, everyone) for each in vectors]).mean()
        total = torch.stack([self.weights[name] * value for name, value in named.items()]).sum()
        return total, named

    def _center(self, output: Output, everyone: Tensor) -> Tensor:
        """The center loss of all rows, by where the centers are; then they move."""
        if output.centers is None:
            raise RecipeError("loss.center: the network keeps no centers; call its keep_centers() first")
        pooled = gather(output.map.mean(dim=(2, 3)))  # (B, C)
        value = self.functions["center"](pooled, everyone, centers=output.centers)
        move_centers(output.centers, pooled, everyone, alpha=self.alpha)
        return value
