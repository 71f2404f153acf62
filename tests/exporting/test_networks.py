"""Every kind of network exports. Oracle: its own vectors in PyTorch, at batch sizes 1, 2, 7 and 64."""

import numpy as np
import onnx
import pytest
import torch

import passerby
from passerby.exporting.exported_encoder import BATCHES, open_file
from passerby.exporting.onnx_model import save_onnx, trace_model
from passerby.model.methods import MODELS, build_model
from passerby.model.weights import save_model
from passerby.runtime.model_manifest import MANIFEST_FORMAT

SMALL = {"backbone": "test_convnext"}
NETWORKS = {
    "refined parts with a global branch": {**SMALL, "parts": 3, "part_dim": 8, "refine": True, "global_branch": True},
    "stripes that share rows, full vectors, attention after the block": {
        **SMALL, "parts": 3, "refine": False, "embedding": "full", "attention_position": "block", "instance_norm": 2,
        "last_stride": 1,
    },
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
    "mhn": {"method": "mhn", "backbone": "test_convnext", "orders": 3, "parts": 2, "part_dim": 8},
    "cama": {"method": "cama", "backbone": "test_convnext"},
    "cbn": {"method": "cbn", "backbone": "test_resnet"},
    "dgnet": {"method": "dgnet", "backbone": "test_resnet"},
    "ianet on convnext": {"method": "ianet", "backbone": "test_convnext", "last_stride": 2},
    "glad": {"method": "glad", "backbone": "test_resnet", "part_dim": 8},
    "maskreid": {"method": "maskreid", "backbone": "test_resnet"},
    "maskreid on convnext": {"method": "maskreid", "backbone": "test_convnext"},
    "spreid": {"method": "spreid", "backbone": "test_resnet"},
    "horeid": {"method": "horeid", "backbone": "test_resnet"},
}  # fmt: skip


def test_every_method_is_among_the_networks():
    assert {options.get("method", "convnext_ap") for options in NETWORKS.values()} == MODELS.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_the_same_vectors_in_onnxruntime(name, tmp_path):
    torch.manual_seed(0)
    network = build_model(**NETWORKS[name], identities=3).eval()
    for module in network.modules():  # statistics that a training would leave
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    manifest = {
        "format": MANIFEST_FORMAT,
        "model": NETWORKS[name],
        "preprocessing": {"size": [64, 32], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "identities": 3,
    }
    save_model(tmp_path, network, manifest)
    embedder = passerby.load(tmp_path, device="cpu")
    model = trace_model(embedder, flip=False)
    onnx.checker.check_model(model, full_check=True)
    save_onnx(model, tmp_path / "m.onnx", "")
    encode = open_file(tmp_path / "m.onnx")
    for count in BATCHES:
        images = np.random.default_rng(count).integers(0, 256, (count, 64, 32, 3), dtype=np.uint8)
        np.testing.assert_allclose(encode(images), embedder.embed(images, flip=False), atol=1e-5)
