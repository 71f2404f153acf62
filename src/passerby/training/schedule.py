"""Learning rate schedule."""

import math


def learning_rate(
    progress: float, *, epochs: int, warmup_epochs: int, lr_init: float, lr_max: float, lr_min: float = 0.0
) -> float:
    """Compute the learning rate: linear warm-up, then cosine annealing (ConvNeXt-AP, figure 2).

    Args:
        progress: Finished epochs, fractions included: 0 at the first step, `epochs` after the last.
        epochs: Length of the whole schedule.
        warmup_epochs: Length of the rise from `lr_init` to `lr_max`; 0 starts at `lr_max`.
        lr_init: Rate at progress 0.
        lr_max: Rate at the end of the warm-up.
        lr_min: Rate at the end.

    Returns:
        The learning rate; `lr_min` after `epochs`.

    Example:
        >>> learning_rate(2.5, epochs=120, warmup_epochs=5, lr_init=0.02, lr_max=0.1)
        0.06
    """
    if progress < warmup_epochs:
        return lr_init + (lr_max - lr_init) * progress / warmup_epochs
    fraction = min(1.0, (progress - warmup_epochs) / (epochs - warmup_epochs))
    return lr_min + (lr_max - lr_min) * 0.5 * (1 + math.cos(math.pi * fraction))
