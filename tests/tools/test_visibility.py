"""Export of the body estimator as one number for each image. Oracle: the network in PyTorch, with random weights."""

import numpy as np
import pytest
import torch

from passerby.model.body_estimator import BodyEstimator
from passerby.runtime.networks import load_network
from tools.body_estimator.build import NormedConv, fold
from tools.body_estimator.visibility import VisibilityNetwork, export_visibility


@pytest.mark.parametrize("batch", [1, 3])
def test_the_file_computes_the_mean_score_of_the_key_points(tmp_path, batch):
    torch.manual_seed(0)
    estimator = fold(BodyEstimator(NormedConv).eval()).half().float()
    export_visibility(estimator, tmp_path / "visibility.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 128, 64, 3), dtype=np.uint8)
    pixels[-1] = 0  # an image without contrast
    with torch.inference_mode():
        expected = VisibilityNetwork(estimator)(torch.from_numpy(pixels))
    (visibility,) = load_network(tmp_path / "visibility.onnx")(pixels)
    assert visibility.shape == (batch,)
    np.testing.assert_allclose(visibility, expected, atol=1e-5)
    assert (tmp_path / "visibility.onnx").stat().st_size < 1_100_000  # in half precision
