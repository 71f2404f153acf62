"""Section `metric` of a recipe."""

from __future__ import annotations

from typing import Literal

from passerby.recipe.settings_base import Positive, Settings


class MetricSettings(Settings):
    """A metric that is learned in closed form on the frozen network, in place of a training by gradients.

    The pooled vector of each part is centered and reduced to the width of the part by principal components and the
    root of the metric. `ridge` is added to each covariance, in mean variances.
    """

    method: Literal["xqda", "kissme", "lda", "wccn"] = "xqda"
    ridge: Positive = 1.0
