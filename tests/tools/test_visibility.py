"""Export of the body estimator as one number for each image. Oracle: the network in PyTorch, with random weights."""

import numpy as np
import pytest
import torch

from passerby.errors import ExportError
from passerby.model.body_estimator import BodyEstimator
from passerby.model.weights import save_model
from passerby.runtime.networks import load_network
from tools.body_estimator.build import NormedConv, fold
from tools.body_estimator.visibility import VisibilityNetwork, export_visibility


@pytest.mark.parametrize("batch", [1, 3])
def test_the_file_computes_the_mean_score_of_the_key_points(tmp_path, batch):
    torch.manual_seed(0)
    estimator = fold(BodyEstimator(NormedConv).eval()).half().float()
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ExportError, match=r"model\.safetensors: does not hold .* save the same weights first"):
        export_visibility(estimator, tmp_path)
    save_model(tmp_path, estimator.half(), {})
    export_visibility(estimator.float(), tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 128, 64, 3), dtype=np.uint8)
    pixels[-1] = 0  # an image without contrast
    with torch.inference_mode():
        expected = VisibilityNetwork(estimator)(torch.from_numpy(pixels))
    (visibility,) = load_network(tmp_path / "visibility.onnx", own=True)(pixels)
    assert visibility.shape == (batch,)
    np.testing.assert_allclose(visibility, expected, atol=1e-5)
    assert (tmp_path / "visibility.onnx").stat().st_size < 50_000  # weights are stored once
