"""Train the body estimator on rendered people, measure it on others, and write it in half precision.

B batch   H W map height and width   K key points
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.files import write_atomic
from passerby.model.body_estimator import BODY_PARTS, BODY_SIZE, KEY_POINTS, BodyEstimator, FrozenConv, resize_area
from passerby.model.weights import save_model
from passerby.progress import ProgressOption, open_progress
from passerby.synthesis.dataset import RENDERER_VERSION, SynthSettings, render_image
from tools.body_estimator.card import model_card
from tools.body_estimator.examples import Examples, RenderedPeople, stack
from tools.body_estimator.measure import measure
from tools.body_estimator.visibility import export_visibility

logger = logging.getLogger("passerby.tools")

TRAINING = SynthSettings(identities=4000, cameras=400, seed=101, lookalikes=0)
TEST = SynthSettings(identities=1000, cameras=200, seed=202, lookalikes=0)
"""Other people in other cameras."""
STEPS = 1000
SPREAD = 1.0
"""Standard deviation of a key point's target, in map positions."""


class NormedConv(nn.Module):
    """Convolution with a batch norm, which `fold` turns into a `FrozenConv`."""

    def __init__(self, channels: int, out: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out, H / stride, W / stride)."""
        normed: Tensor = self.norm(self.conv(features))
        return normed

    def fold(self, frozen: FrozenConv) -> None:
        """Write the weights of the same map in evaluation mode."""
        fused = nn.utils.fusion.fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
        assert fused.bias is not None
        frozen.weight.copy_(fused.weight.detach())
        frozen.bias.copy_(fused.bias.detach())


def build_body_estimator(
    out: str | Path, *, steps: int = STEPS, batch: int = 32, images: int = 1000, progress: ProgressOption = False
) -> dict[str, Any]:
    """Build the body estimator.

    Args:
        out: Folder; `model.safetensors` (float16), `visibility.onnx`, `manifest.json` and `MODEL_CARD.md` are written
            to it.
        steps: Steps of the training, 1 or more.
        batch: Images of a step, 8 or more.
        images: Test images.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        The accuracy on test images of the weights as they are written; see `measure`.
    """
    started = time.process_time()
    with open_progress(progress) as report:
        trained = _train(steps, batch, report)
    seconds = time.process_time() - started
    estimator = fold(trained).half().float()  # the rounded weights
    scores = measure(estimator, _test_batches(images))
    logger.info("accuracy on test images: %s", scores)
    manifest = {
        "format": 1,
        "key_points": KEY_POINTS,
        "parts": BODY_PARTS,
        "size": BODY_SIZE,
        "training": _describe(TRAINING) | {"steps": steps, "batch": batch, "processor_seconds": round(seconds)},
        "test": _describe(TEST) | scores,
    }
    save_model(Path(out), estimator.half(), manifest)
    export_visibility(estimator.float(), Path(out))
    write_atomic(Path(out) / "MODEL_CARD.md", model_card(manifest).encode())
    return scores


def _describe(settings: SynthSettings) -> dict[str, Any]:
    names = ("identities", "cameras", "seed", "lookalikes")
    return {"renderer": RENDERER_VERSION} | {name: getattr(settings, name) for name in names}


def _train(steps: int, batch: int, report: Any) -> BodyEstimator:
    """Train with AdamW in bf16: a warm-up to 3e-3, then a cosine to 0."""
    torch.manual_seed(TRAINING.seed)
    network = BodyEstimator(NormedConv).train()
    assert isinstance(network.head, NormedConv)
    nn.init.constant_(network.head.norm.bias[: len(KEY_POINTS)], -5.0)  # most positions have no key point
    people = RenderedPeople(TRAINING, batch=batch)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    warmup = max(1, steps // 20)
    for step in range(steps):
        rate = 3e-3 * min((step + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            loss = compute_loss(network, people.draw())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        report("train body estimator", step + 1, steps, f"loss {loss.item():.4f}")
        if (step + 1) % 100 == 0:
            logger.info("step %d of %d: loss %.4f", step + 1, steps, loss.item())
    return network.eval()


def compute_loss(network: BodyEstimator, examples: Examples) -> Tensor:
    """Compute the cross entropy of key points (against Gaussians) plus that of parts: scalar."""
    heatmaps, parts = network.scores(examples.pixels)
    targets = draw_targets(examples, (heatmaps.shape[2], heatmaps.shape[3]))
    key_points = F.binary_cross_entropy_with_logits(heatmaps, targets, reduction="none").sum(dim=(2, 3)).mean()
    areas = F.one_hot(examples.labels, len(BODY_PARTS)).permute(0, 3, 1, 2).float()  # (B, P, H, W)
    return 0.05 * key_points + F.cross_entropy(parts, resize_area(areas, (parts.shape[2], parts.shape[3])))


def draw_targets(examples: Examples, size: tuple[int, int]) -> Tensor:
    """Draw a Gaussian of height 1 at each visible key point, and nothing for a hidden one: (B, K, H, W)."""
    row, column = (torch.arange(side) + 0.5 for side in size)
    x, y = examples.points[..., 0] * size[1], examples.points[..., 1] * size[0]  # (B, K)
    square = (column - x[..., None])[:, :, None] ** 2 + (row - y[..., None])[..., None] ** 2  # (B, K, H, W)
    return (-square / (2 * SPREAD**2)).exp() * examples.visible[..., None, None]


def fold(trained: BodyEstimator) -> BodyEstimator:
    """Return the estimator with the batch norms folded into its convolutions."""
    frozen = BodyEstimator()
    layers = dict(frozen.named_modules())
    for name, module in trained.named_modules():
        if isinstance(module, NormedConv):
            layer = layers[name]
            assert isinstance(layer, FrozenConv)
            module.fold(layer)
    return frozen.eval()


def _test_batches(images: int) -> Iterator[Examples]:
    """Yield test images in batches, not augmented."""
    for start in range(0, images, 100):
        numbers = range(start, min(start + 100, images))
        yield stack([render_image(TEST, n % TEST.identities, (7 * n) % TEST.cameras, n) for n in numbers])
