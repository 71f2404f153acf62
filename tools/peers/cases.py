"""Networks of other toolkits, built with their own code and with their own test-time settings."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

Normalization = tuple[tuple[float, float, float], tuple[float, float, float]]
Built = tuple[Any, Callable[[Any], Any]]
"""A network, and the function from images (B, 3, H, W) to the vectors that the toolkit compares."""
Build = Callable[[], Built]
IMAGENET: Normalization = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

HALF: Normalization = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Case:
    """One network.

    Attributes:
        build: Builds the network, and the function from images (B, 3, H, W) to the vectors that the toolkit compares.
        size: (height, width) of the images; small where the network takes any size.
        normalization: Mean and standard deviation of the toolkit.
    """

    build: Build
    size: tuple[int, int] = (64, 32)
    normalization: Normalization = IMAGENET


def _torchreid(name: str) -> Build:
    def build() -> Built:
        network = import_module("torchreid.reid.models").build_model(
            name, num_classes=3, loss="softmax", pretrained=False
        )
        return network, network

    return build


def _fastreid(config: str, depth: str, *, embedding: int = 0) -> Build:
    """Build a network of FastReID from the settings of its configuration files Base-bagtricks and Base-SBS."""

    def build() -> Built:
        cfg = import_module("fastreid.config").get_cfg()
        backbone, heads = cfg.MODEL.BACKBONE, cfg.MODEL.HEADS
        backbone.PRETRAIN, backbone.DEPTH, backbone.LAST_STRIDE = False, depth, 1
        backbone.WITH_IBN, backbone.WITH_NL = "ibn" in config, "sbs" in config
        heads.NUM_CLASSES, heads.WITH_BNNECK, heads.EMBEDDING_DIM = 3, True, embedding
        heads.POOL_LAYER = "GeneralizedMeanPoolingP" if "sbs" in config else "GlobalAvgPool"
        heads.CLS_LAYER = "CircleSoftmax" if "sbs" in config else "Linear"
        cfg.MODEL.DEVICE = "cpu"
        network = import_module("fastreid.modeling").build_model(cfg)
        return network, lambda images: network.heads(network.backbone(images))

    return build


def _strong_baseline(name: str) -> Build:
    def build() -> Built:
        baseline = import_module("modeling.baseline").Baseline
        network = baseline(3, 1, "", "bnneck", "after", name, "no")
        return network, network

    return build


def _layumi(make: Callable[[Any], Any]) -> Build:
    """Build a network of layumi's model.py, without downloading the weights that it starts from."""

    def build() -> Built:
        stub_module("pretrainedmodels")
        models, timm = import_module("torchvision.models"), import_module("timm")
        for module, name in ((models, "resnet50"), (models, "densenet121"), (timm, "create_model")):
            setattr(module, name, partial(_without_weights, getattr(module, name)))
        module = import_module("model")
        network = make(module)
        if type(network).__name__ == "PCB":
            return network, lambda images: _normalize_parts(module.PCB_test(network).eval()(images))

        def embed(images: Any) -> Any:
            network.classifier.classifier = import_module("torch").nn.Sequential()  # as test.py does
            return network(images)

        return network, embed

    return build


def _layumi_efficientnet(module: Any) -> Any:
    network = import_module("efficientnet_pytorch").EfficientNet
    network.from_pretrained = network.from_name  # random weights
    return module.ft_net_efficient(3)


def _without_weights(function: Callable[..., Any], *words: Any, pretrained: bool = False, **options: Any) -> Any:
    """Call a builder of networks with random weights."""
    return function(*words, **options)


def _normalize_parts(parts: Any) -> Any:
    """Scale each part to unit length, as layumi's test.py does: (B, C, 6) -> (B, 6 C), parts side by side."""
    normalized = parts / parts.norm(dim=1, keepdim=True)
    return normalized.transpose(1, 2).flatten(1)


def _transreid(*, stride: int = 16, cameras: int = 0, jigsaw: bool = False, depth: int = 2) -> Build:
    """Build TransReID's ViT-B of fewer blocks; with cameras, images are embedded with the mean of their embeddings."""

    def build() -> Built:
        stub_module("torch._six", container_abcs=import_module("collections.abc"))  # of older versions of torch
        module = import_module("model.make_model")
        vit = import_module("model.backbones.vit_pytorch")

        def short_vit(**options: Any) -> Any:
            layer_norm = partial(import_module("torch").nn.LayerNorm, eps=1e-6)
            return vit.TransReID(
                patch_size=16, embed_dim=768, depth=depth, num_heads=12, qkv_bias=True, norm_layer=layer_norm, **options
            )

        cfg = import_module("config").cfg.clone()
        cfg.MODEL.NAME, cfg.MODEL.TRANSFORMER_TYPE, cfg.MODEL.PRETRAIN_CHOICE = "transformer", "short", "no"
        cfg.MODEL.STRIDE_SIZE, cfg.MODEL.JPM, cfg.MODEL.RE_ARRANGE = [stride, stride], jigsaw, True
        cfg.MODEL.SIE_CAMERA, cfg.MODEL.SIE_COE = cameras > 0, 3.0
        cfg.INPUT.SIZE_TRAIN, cfg.TEST.NECK_FEAT = [256, 128], "before"
        make = module.build_transformer_local if jigsaw else module.build_transformer
        options = {"rearrange": True} if jigsaw else {}
        network = make(3, cameras, 0, cfg, {"short": short_vit}, **options)

        def embed(images: Any) -> Any:
            if not cameras:
                return network(images)
            side = network.base.sie_embed
            side.data = side.data.mean(dim=0, keepdim=True).expand_as(side.data)
            return network(images, cam_label=1)

        return network, embed

    return build


def _clip_reid(*, stride: int = 16, depth: int = 12) -> Build:
    """Build CLIP-ReID's image encoder and necks; the text encoder is not needed for images."""

    def build() -> Built:
        for name in ("model", "model.clip"):  # packages whose __init__ builds a tokenizer
            stub_module(name, __path__=[str(Path(folder) / name.replace(".", "/")) for folder in sys.path])
        torch, clip = import_module("torch"), import_module("model.clip.model")
        grid = ((256 - 16) // stride + 1, (128 - 16) // stride + 1)
        network = torch.nn.Module()
        network.image_encoder = clip.VisionTransformer(*grid, 16, stride, 768, depth, 12, 512)
        network.bottleneck, network.bottleneck_proj = torch.nn.BatchNorm1d(768), torch.nn.BatchNorm1d(512)
        network.classifier = torch.nn.Linear(768, 3, bias=False)
        network.classifier_proj = torch.nn.Linear(512, 3, bias=False)

        def embed(images: Any) -> Any:
            _, features, projected = network.image_encoder(images)
            return torch.cat([features[:, 0], projected[:, 0]], dim=1)

        return network, embed

    return build


def _clip_reid_resnet() -> Build:
    """Build CLIP-ReID's ResNet-50 and necks for images of 256 x 128."""

    def build() -> Built:
        for name in ("model", "model.clip"):  # packages whose __init__ builds a tokenizer
            stub_module(name, __path__=[str(Path(folder) / name.replace(".", "/")) for folder in sys.path])
        torch, clip = import_module("torch"), import_module("model.clip.model")
        network = torch.nn.Module()
        network.image_encoder = clip.ModifiedResNet((3, 4, 6, 3), 1024, 32, 16 * 8, 64)
        network.bottleneck, network.bottleneck_proj = torch.nn.BatchNorm1d(2048), torch.nn.BatchNorm1d(1024)
        network.classifier = torch.nn.Linear(2048, 3, bias=False)
        network.classifier_proj = torch.nn.Linear(1024, 3, bias=False)

        def embed(images: Any) -> Any:
            _, features, projected = network.image_encoder(images)
            return torch.cat([features.mean(dim=(2, 3)), projected[0]], dim=1)

        return network, embed

    return build


def _open_clip() -> Build:
    """Build OpenCLIP's vision tower ViT-B/32 for images of 64 x 64, under the names of its whole model."""

    def build() -> Built:
        torch, clip = import_module("torch"), import_module("open_clip.model")
        settings = clip.CLIPVisionCfg(image_size=64, layers=12, width=768, patch_size=32)
        network = torch.nn.Module()
        network.visual = clip._build_vision_tower(512, settings, quick_gelu=True)
        return network, network.visual

    return build


def _reid(name: str) -> Build:
    def build() -> Built:
        network = import_module("reid.architectures").build_architecture(name)
        return network, network

    return build


def _solider(name: str) -> Build:
    def build() -> Built:
        for package in ("model", "model.backbones"):  # whose __init__ imports more than is installed
            stub_module(package, __path__=[str(Path(folder) / package.replace(".", "/")) for folder in sys.path])
        stub_module("mmcv")
        stub_module("mmcv.runner", load_checkpoint=None)
        torch, swin = import_module("torch"), import_module("model.backbones.swin_transformer")
        network = torch.nn.Module()
        make = getattr(swin, f"swin_{name}_patch4_window7_224")
        network.base = make(convert_weights=False, semantic_weight=0.2)
        network.bottleneck = torch.nn.BatchNorm1d(network.base.num_features[-1])
        network.classifier = torch.nn.Linear(network.base.num_features[-1], 3, bias=False)
        weight = torch.tensor([[0.2, 0.8], [0.2, 0.8]])  # without it, the network wants a GPU
        return network, lambda images: network.base(images, weight)[0]

    return build


def stub_module(name: str, **members: Any) -> None:
    """Put a module of these members in place of one that a toolkit imports and that is not installed."""
    module = sys.modules.setdefault(name, ModuleType(name))
    vars(module).update(members)


CASES: dict[str, dict[str, Case]] = {
    "torchreid": {
        name: Case(_torchreid(name))
        for name in (
            *("osnet_x1_0", "osnet_x0_75", "osnet_x0_5", "osnet_x0_25", "osnet_ibn_x1_0"),
            *("osnet_ain_x1_0", "osnet_ain_x0_75", "osnet_ain_x0_5", "osnet_ain_x0_25"),
            *("resnet50", "resnet50_fc512", "resnet18", "mobilenetv2_x1_0", "mobilenetv2_x1_4"),
        )
    },
    "fastreid": {
        "bot_R50": Case(_fastreid("bot", "50x")),
        "bot_R50-ibn": Case(_fastreid("bot-ibn", "50x")),
        "bot_R50_512": Case(_fastreid("bot", "50x", embedding=512)),
        "sbs_R50": Case(_fastreid("sbs", "50x")),
        "sbs_R50-ibn": Case(_fastreid("sbs-ibn", "50x")),
        "sbs_R101-ibn": Case(_fastreid("sbs-ibn", "101x")),
    },
    "strong-baseline": {
        "resnet50": Case(_strong_baseline("resnet50")),
        "resnet50_ibn_a": Case(_strong_baseline("resnet50_ibn_a")),
    },
    "layumi": {
        "ft_net": Case(_layumi(lambda module: module.ft_net(3))),
        "ft_net_no_linear": Case(_layumi(lambda module: module.ft_net(3, linear_num=0))),
        "ft_net_dense": Case(_layumi(lambda module: module.ft_net_dense(3))),
        "ft_net_swin": Case(_layumi(lambda module: module.ft_net_swin(3)), size=(224, 224)),
        "ft_net_swinv2": Case(_layumi(lambda module: module.ft_net_swinv2(3)), size=(256, 128)),
        "ft_net_convnext": Case(_layumi(lambda module: module.ft_net_convnext(3))),
        "ft_net_hr": Case(_layumi(lambda module: module.ft_net_hr(3))),
        "ft_net_efficient": Case(_layumi(_layumi_efficientnet), size=(72, 40)),
        "pcb": Case(_layumi(lambda module: module.PCB(3)), size=(96, 32)),
    },
    "transreid": {
        "vit": Case(_transreid(), (256, 128), HALF),
        "vit_stride12": Case(_transreid(stride=12), (256, 128), HALF),
        "vit_sie": Case(_transreid(cameras=6), (256, 128), HALF),
        "vit_jpm": Case(_transreid(jigsaw=True), (256, 128), HALF),
        "vit_jpm_sie_stride12": Case(_transreid(stride=12, cameras=6, jigsaw=True), (256, 128), HALF),
    },
    "clip-reid": {
        "vit": Case(_clip_reid(), (256, 128), HALF),
        "resnet50": Case(_clip_reid_resnet(), (256, 128)),
    },
    "open-clip": {"vit_b_32": Case(_open_clip(), (64, 64), HALF)},
    "reid": {"osnet_x0_25": Case(_reid("osnet_x0_25"))},
    "solider": {name: Case(_solider(name), (160, 64), HALF) for name in ("tiny",)},
}
"""Cases by toolkit and name."""
