"""Accuracy of the body estimator on rendered people: key points, visibility and parts.

B batch   K key points   P parts
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import functional as F

from passerby.model.body_estimator import BODY_PARTS, KEY_POINTS, BodyEstimator
from tools.body_estimator.examples import Examples

NEAR = 0.1
"""Largest distance of a correct key point, as a fraction of the image's height."""


def measure(estimator: BodyEstimator, batches: Iterable[Examples]) -> dict[str, Any]:
    """Measure an estimator.

    Args:
        estimator: In evaluation mode.
        batches: Examples that it was not trained on.

    Returns:
        `pck`: percent of the visible key points that are found within `NEAR`, by name and over all of them.
        `visibility_auc`: probability in percent that a visible key point has a higher score than a hidden one.
        `iou`: percent of intersection over union by part, over the pixels of all images, their mean without the
        background, and that of the person as a whole. `images`: their number.
    """
    near, scores, visible = [], [], []
    counts = torch.zeros(len(BODY_PARTS), len(BODY_PARTS), dtype=torch.long)  # (label, output)
    with torch.inference_mode():
        for batch in batches:
            body = estimator(batch.pixels)
            points, score = body.points()  # (B, K, 2), (B, K)
            height, width = batch.pixels.shape[2:]
            gaps = (points - batch.points) * torch.tensor([width / height, 1.0])  # in heights of the image
            near.append(gaps.norm(dim=2) < NEAR)
            scores.append(score)
            visible.append(batch.visible)
            parts = F.interpolate(body.parts, size=(height, width), mode="bilinear", align_corners=False).argmax(dim=1)
            pairs = batch.labels * len(BODY_PARTS) + parts
            counts += torch.bincount(pairs.flatten(), minlength=counts.numel()).reshape(counts.shape)
    found, seen = torch.cat(near), torch.cat(visible)
    pck = dict(zip(KEY_POINTS, ((found & seen).sum(dim=0) / seen.sum(dim=0)).tolist(), strict=True))
    overlaps = (counts.diag() / (counts.sum(dim=0) + counts.sum(dim=1) - counts.diag())).tolist()
    iou = dict(zip(BODY_PARTS, overlaps, strict=True))
    person = counts[1:, 1:].sum() / (counts.sum() - counts[0, 0])
    return {
        "images": len(seen),
        "pck": _percent(pck | {"all": found[seen].float().mean().item()}),
        "visibility_auc": round(100 * _auc(torch.cat(scores), seen), 1),
        "iou": _percent(iou | {"mean": sum(overlaps[1:]) / len(overlaps[1:]), "person": person.item()}),
    }


def _percent(values: dict[str, float]) -> dict[str, float]:
    return {name: round(100 * value, 1) for name, value in values.items()}


def _auc(scores: torch.Tensor, visible: torch.Tensor) -> float:
    """Return the probability that a visible key point has a higher score than a hidden one."""
    ranks = scores.flatten().argsort().argsort().double() + 1
    chosen = visible.flatten()
    positives, negatives = int(chosen.sum()), int((~chosen).sum())
    return float((ranks[chosen].sum() - positives * (positives + 1) / 2) / (positives * negatives))
