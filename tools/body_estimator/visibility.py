"""Write the body estimator as an ONNX file that ends in one number for each image, for use without PyTorch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from passerby.exporting.hide_messages import hide_messages
from passerby.exporting.onnx_model import INPUT, LARGEST_BATCH, OPSET, save_onnx, store_weights_in_half, strip_notes
from passerby.model.body_estimator import BODY_SIZE, BodyEstimator


class VisibilityNetwork(nn.Module):
    """Mean score of the key points: uint8 (B, 128, 64, 3) -> (B,), 0 to 1."""

    def __init__(self, estimator: BodyEstimator) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, images: Tensor) -> Tensor:
        """Compute the mean over the key points of their highest scores."""
        heatmaps, _ = self.estimator.scores(images.permute(0, 3, 1, 2))
        return heatmaps.flatten(2).amax(dim=2).sigmoid().mean(dim=1)


def export_visibility(estimator: BodyEstimator, path: Path) -> None:
    """Write the network of `passerby.runtime.visibility`; weights are stored in float16, in which they are exact."""
    pixels = torch.zeros(2, *BODY_SIZE, 3, dtype=torch.uint8)
    shapes = {INPUT: {0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH)}}
    with torch.no_grad(), hide_messages():
        traced = torch.export.export(VisibilityNetwork(estimator).eval(), (pixels,), dynamic_shapes=shapes)
        program = torch.onnx.export(
            traced,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=["visibility"],
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    strip_notes(model)
    store_weights_in_half(model, exact=True)
    save_onnx(model, path, "")
