"""What the losses share: full precision, and vectors of unit length."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def full_precision(values: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def unit_vectors(embedding: Tensor) -> Tensor:
    """(B, D) -> (B, D) of unit length, in float32 where it came in half precision."""
    return F.normalize(full_precision(embedding))
