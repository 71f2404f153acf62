"""Every kind of network exports. Oracle: its own vectors in PyTorch, at batch sizes 1, 2, 7 and 64."""

import functools
import gc

import numpy as np
import onnx
import pytest
import torch
from timm.models.resnet import BasicBlock
from timm.models.vision_transformer import Block
from torch.onnx._internal.exporter._registration import ONNXRegistry

from passerby.exporting.exported_encoder import BATCHES, open_file
from passerby.exporting.onnx_model import save_onnx, trace_model
from passerby.model.baselines.osnet import OmniScaleBlock
from passerby.model.methods import MODELS, build_model
from passerby.model.torch_encoder import TorchEncoder
from passerby.runtime.embedder import Embedder
from passerby.runtime.preprocessing import Preprocessing

SMALL = {"backbone": "test_convnext2"}
NETWORKS = {
    "refined parts with a global branch": {**SMALL, "parts": 2, "part_dim": 8, "refine": True, "global_branch": True},
    "stripes that share rows, full vectors, attention after the block": {
        **SMALL, "parts": 3, "refine": False, "embedding": "full", "attention_position": "block", "instance_norm": 2,
        "last_stride": 1,
    },
    "evened tones": {**SMALL, "parts": 2, "part_dim": 8, "refine": False, "tone_black": 0.05, "tone_gamma": 0.7},
    "no parts": {**SMALL, "parts": 0, "refine": False, "attention": False},
    "vit": {"backbone": "test_vit", "attention": False, "parts": 2, "part_dim": 8, "refine": False},
    "hpm": {"method": "hpm", "backbone": "test_resnet", "part_dim": 8},
    "imported": {"method": "imported", "backbone": "fastreid_resnet18_ibn", "head": "gem-fc8-bn-relu"},
    "imported stripes": {"method": "imported", "backbone": "osnet_x0_25", "head": "stripes2"},
    "imported class token": {"method": "imported", "backbone": "transreid_vit_64x2_s16_64x32", "head": "token-bn"},
    "imported jigsaw": {
        "method": "imported", "backbone": "transreid_vit_64x2_s16_64x32", "head": "jigsaw-bn", "embedding": "full",
    },
    "imported projection": {"method": "imported", "backbone": "clip_vit_64x2_s16_64x32", "head": "clip32-bn"},
    "scpnet": {"method": "scpnet", "backbone": "test_resnet"},
    "bdb": {"method": "bdb", "backbone": "test_resnet"},
    "ianet": {"method": "ianet", "backbone": "test_resnet"},
    "mhn": {"method": "mhn", **SMALL, "orders": 2, "parts": 2, "part_dim": 8},
    "cama": {"method": "cama", **SMALL},
    "cbn": {"method": "cbn", "backbone": "test_resnet"},
    "dgnet": {"method": "dgnet", "backbone": "test_resnet"},
    "ianet on convnext": {"method": "ianet", **SMALL, "last_stride": 2},
    "glad": {"method": "glad", "backbone": "test_resnet", "part_dim": 8},
    "maskreid": {"method": "maskreid", "backbone": "test_resnet"},
    "maskreid on convnext": {"method": "maskreid", **SMALL},
    "spreid": {"method": "spreid", "backbone": "test_resnet"},
    "horeid": {"method": "horeid", "backbone": "test_resnet"},
    "lomo": {"method": "lomo", "backbone": "lomo", "part_dim": 8},
}  # fmt: skip


BLOCKS = (BasicBlock, Block, OmniScaleBlock)


@pytest.fixture(autouse=True, scope="module")
def _trace_fast():
    """Halve the time of tracing: small numbers of equal modules, one table of operators, no collection of garbage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("passerby.model.baselines.hpm.LEVELS", (1, 2))
        patch.setattr("passerby.model.baselines.lomo.SCALES", 1)
        patch.setattr("passerby.model.baselines.lomo.WIDTH", 16_176)  # 24 of 40 rows of windows
        patch.setattr("passerby.model.baselines.osnet.STREAMS", 2)
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        gc.disable()
        yield
        gc.enable()


def shorten(network):
    """Remove the blocks that follow one of their own kind: tracing takes time for each."""
    for stage in network.modules():
        if isinstance(stage, torch.nn.Sequential):
            for i in range(len(stage) - 1, 0, -1):
                if isinstance(stage[i], BLOCKS) and type(stage[i - 1]) is type(stage[i]):
                    del stage[i]


def test_every_method_is_among_the_networks():
    assert {options.get("method", "convnext_ap") for options in NETWORKS.values()} == MODELS.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_the_same_vectors_in_onnxruntime(name, tmp_path):
    torch.manual_seed(0)
    network = build_model(**NETWORKS[name]).eval()
    shorten(network)
    for module in network.modules():  # statistics that a training would leave
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    preprocessing = Preprocessing((64, 32), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    embedder = Embedder(TorchEncoder(network, preprocessing, device="cpu"), preprocessing, {})
    model = trace_model(embedder, flip=False)
    onnx.checker.check_model(model, full_check=True)
    save_onnx(model, tmp_path / "m.onnx", "")
    encode = open_file(tmp_path / "m.onnx")
    for count in BATCHES:
        images = np.random.default_rng(count).integers(0, 256, (count, 64, 32, 3), dtype=np.uint8)
        np.testing.assert_allclose(encode(images), embedder.embed(images, flip=False), atol=1e-5)
