"""Half precision: statistics and losses are computed in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F


def full_precision(values: Tensor) -> Tensor:
    """Convert half precision to float32; float32 and float64 stay as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def unit_vectors(vectors: Tensor) -> Tensor:
    """Scale each row to unit length, in float32 or float64: (B, D) -> (B, D)."""
    return F.normalize(full_precision(vectors))


def without_autocast(values: Tensor) -> AbstractContextManager[object]:
    """Return a context in which operations on the device of `values` keep their precision under autocast."""
    device = values.device.type
    active = device != "meta" and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if active else nullcontext()
