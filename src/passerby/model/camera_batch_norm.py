"""Camera-based batch normalization: statistics of each camera in place of those of the whole batch.

Zhuang et al., "Rethinking the Distribution Gap of Person Re-identification with Camera-based Batch Normalization" (ECCV
2020), equations 4 to 6.

    B batch   C channels   H W map height and width   n values of one channel of a camera
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.distributed import gather, own_rows
from passerby.errors import RecipeError
from passerby.model.full_precision import full_precision, without_autocast


class CameraIds:
    """The cameras of the images in the network, which all of its norms share.

    Attributes:
        ids: (B,) camera of each image; None before the first batch.
        shared: Whether the statistics are those of the images of all processes.
    """

    def __init__(self) -> None:
        self.ids: Tensor | None = None
        self.shared = True


class CameraBatchNorm(nn.Module):
    """Batch norm with the mean and variance of each camera; weight and bias are shared by all cameras.

    In training, for the images of camera c in the batch (of all processes):

        output = weight * (x - mean_c) / sqrt(variance_c + eps) + bias

    An image that is alone with its camera takes the statistics of the whole batch, as one vector has no variance; the
    authors' code leaves such images out. The running statistics are averages over cameras and batches, for images of
    unknown cameras. In evaluation they are used, or those that `camera_statistics` has put in their place.

    Args:
        norm: Batch norm whose weights, statistics and settings are taken over.
        cameras: Cameras of the images.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, cameras: CameraIds) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(norm, name))
        self.eps, self.momentum = norm.eps, norm.momentum
        self.cameras = cameras
        with_activation: Any = norm if isinstance(norm, BatchNormAct2d) else None
        self.after = nn.Sequential(with_activation.drop, with_activation.act) if with_activation else nn.Identity()

    def forward(self, values: Tensor) -> Tensor:
        """(B, C) or (B, C, H, W) -> the same shape."""
        if not self.training:
            output = F.batch_norm(
                values, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        else:
            with without_autocast(values):
                output = self._normalize(full_precision(values)).to(values.dtype)
        normalized: Tensor = self.after(output)
        return normalized

    def _normalize(self, values: Tensor) -> Tensor:
        """Normalize by the statistics of each image's camera, and update the running ones."""
        if self.cameras.ids is None:
            raise RecipeError(
                "model.method: cbn was given images without their cameras, which its training needs; train it by a "
                "recipe on data with cameras"
            )
        places = tuple(range(2, values.ndim))
        mean = values.mean(places) if places else values  # (B, C) of each image
        rest = (1, -1, *(1 for _ in places))
        shape = (-1, values.shape[1], *(1 for _ in places))
        within = (values - mean.reshape(shape)).square().mean(places) if places else torch.zeros_like(values)
        means, spreads, ids, own = mean, within, self.cameras.ids, slice(None)
        if self.cameras.shared:
            means, spreads, ids, own = gather(mean), gather(within), gather(ids), own_rows(len(values))
        mean_of, variance_of = camera_moments(means, spreads, ids)  # (B, C) of each image's camera
        self._track(mean_of.detach(), variance_of.detach(), ids, positions=values[0, 0].numel())
        scale = (variance_of[own] + self.eps).rsqrt().reshape(shape)
        return (values - mean_of[own].reshape(shape)) * scale * self.weight.reshape(rest) + self.bias.reshape(rest)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, ids: Tensor, *, positions: int) -> None:
        """Move the running statistics toward the averages over the cameras of a batch; n - 1 in the variance."""
        counts = (ids[:, None] == ids).sum(dim=1)  # (B,) images of each image's camera
        counts = torch.where(counts > 1, counts, len(ids))
        counts = counts.to(mean.dtype)
        weights = (1 / counts) / (1 / counts).sum()
        values = counts * positions
        unbiased = variance * (values / (values - 1).clamp_min(1))[:, None]
        self.num_batches_tracked += 1
        rate = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean += rate * (weights @ mean - self.running_mean)
        self.running_var += rate * (weights @ unbiased - self.running_var)


def camera_moments(means: Tensor, spreads: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean and variance of each image's camera from those of the images.

    The cameras are compared with each other and not counted, so that no device is waited for.

    Args:
        means: (B, C) mean of each image's values.
        spreads: (B, C) variance of each image's values.
        ids: (B,) camera of each image.

    Returns:
        Mean and variance, (B, C) each; for an image that is alone with its camera, those of all images.
    """
    same = ids[:, None] == ids  # (B, B)
    alone = same.sum(dim=1, keepdim=True) == 1
    weights = (same | alone).to(means.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True)
    center = means.mean(dim=0).detach()  # differences from it lose less precision than the means themselves
    shifted = means - center
    camera_mean = weights @ shifted
    variance = weights @ (spreads + shifted.square()) - camera_mean.square()
    return camera_mean + center, variance.clamp_min(0)


def normalize_by_camera(network: nn.Module) -> CameraIds:
    """Replace every batch norm inside `network`; names and values of its tensors stay the same.

    Returns:
        The cameras that the norms share; set `ids` before a batch.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))
        >>> cameras = normalize_by_camera(network)
        >>> cameras.ids = torch.tensor([0, 0, 1, 1])
        >>> network(torch.randn(4, 4)).reshape(2, 2, 2).mean(dim=1).abs().max().item() < 1e-5
        True
    """
    cameras = CameraIds()
    for name, norm in list(network.named_modules()):
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            network.set_submodule(name, CameraBatchNorm(norm, cameras).train(norm.training))
    return cameras


@contextmanager
def camera_statistics(network: nn.Module, batches: Iterable[Tensor]) -> Iterator[None]:
    """Give the norms the statistics of one camera inside the context, averaged over batches of its images.

    Args:
        network: In evaluation mode, with an attribute `cameras`; takes images and `cameras`.
        batches: Each (B, 3, H, W) normalized images of the camera, on the network's device, B at least 2.
    """
    norms = [module for module in network.modules() if isinstance(module, CameraBatchNorm)]
    kept = [[buffer.clone() for buffer in norm.buffers(recurse=False)] for norm in norms]
    momenta = [norm.momentum for norm in norms]
    cameras: Any = network.cameras
    try:
        cameras.shared = False  # one process of several evaluates
        for norm in norms:
            norm.training, norm.momentum = True, None  # None: the mean over all batches
            norm.num_batches_tracked.zero_()
        with torch.no_grad():
            for images in batches:
                network(images, cameras=torch.zeros(len(images), dtype=torch.int64, device=images.device))
        for norm in norms:
            norm.training = False
        yield
    finally:
        cameras.shared = True
        for norm, buffers, momentum in zip(norms, kept, momenta, strict=True):
            norm.training, norm.momentum = False, momentum
            for buffer, values in zip(norm.buffers(recurse=False), buffers, strict=True):
                buffer.copy_(values)
