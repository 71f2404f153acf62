"""Write the body estimator as an ONNX file that ends in one number for each image, for use without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from onnx import TensorProto, external_data_helper
from torch import Tensor, nn

from passerby.errors import ExportError
from passerby.exporting.hide_messages import hide_messages
from passerby.exporting.onnx_model import INPUT, LARGEST_BATCH, OPSET, save_onnx, store_weights_in_half, strip_notes
from passerby.model.body_estimator import BODY_SIZE, BodyEstimator
from passerby.runtime.model_manifest import MODEL_FILE
from passerby.runtime.visibility import VISIBILITY_FILE


class VisibilityNetwork(nn.Module):
    """Mean score of the key points: uint8 (B, 128, 64, 3) -> (B,), 0 to 1."""

    def __init__(self, estimator: BodyEstimator) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, images: Tensor) -> Tensor:
        """Compute the mean over the key points of their highest scores."""
        heatmaps, _ = self.estimator.scores(images.permute(0, 3, 1, 2))
        return heatmaps.flatten(2).amax(dim=2).sigmoid().mean(dim=1)


def export_visibility(estimator: BodyEstimator, folder: Path) -> None:
    """Write the network of `passerby.runtime.visibility` beside the estimator's model.safetensors, with its weights."""
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
    _refer_to_weights(model, folder / MODEL_FILE)
    save_onnx(model, folder / VISIBILITY_FILE.name, "")


def _refer_to_weights(model: Any, file: Path) -> None:
    """Replace the large tensors of an `onnx.ModelProto` by their places in a safetensors file.

    Raises:
        ExportError: For a tensor that the file does not hold.
    """
    data = file.read_bytes()
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT16:  # small ones are in float32
            continue
        offset = data.find(tensor.raw_data)  # little-endian, in the order of the sizes, in both formats
        if offset < 0:
            raise ExportError(f"{file}: does not hold {tensor.name} of the network; save the same weights first")
        length = len(tensor.raw_data)
        external_data_helper.set_external_data(tensor, file.name, offset=offset, length=length)
        tensor.ClearField("raw_data")
