"""A network of another toolkit: backbone -> pooled vectors -> necks -> embedding, as that toolkit computes it at test.

B batch   C channels   H W map height and width   P vectors of an image   D embedding width   I identities
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from passerby.model.backbone import Backbone, build_backbone, keep_last_map
from passerby.model.checks import require
from passerby.model.convnext_ap import EmbeddingKind, Output, ReID
from passerby.model.full_precision import unit_vectors
from passerby.model.imported.clip_resnet import NAME as CLIP_RESNET_NAME
from passerby.model.imported.clip_resnet import AttentionPooling, ClipResNetBackbone
from passerby.model.imported.ft_nets import (
    FixedSizeBackbone,
    layumi_convnext_base,
    layumi_densenet121,
    layumi_efficientnet_b4,
    layumi_swinv2_base,
)
from passerby.model.imported.map_pooling import Average, GeneralizedMean
from passerby.model.imported.mobilenetv2 import MOBILENETS, MobileNetV2
from passerby.model.imported.resnets import baseline_resnet, fastreid_resnet, plain_resnet
from passerby.model.imported.solider_swin import SWINS, solider_swin
from passerby.model.imported.timm_network import PREFIX as TIMM_PREFIX
from passerby.model.imported.timm_network import TimmBackbone
from passerby.model.imported.vit import NAME as VIT_NAME
from passerby.model.imported.vit import PARTS, Jigsaw, LastBlock, TokenBackbone
from passerby.model.parts import Neck, Stripes
from passerby.model.weights import fill, find_weights_file, read_tensors

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
HEAD = re.compile(
    r"(?P<pool>average|gem|stripes[2-9]|own|token|jigsaw|clip[1-9]\d{1,3})"
    r"(-fc(?P<width>[1-9]\d{0,3}))?(?P<norm>-bn)?(?P<relu>-relu)?"
)
"""A head: pooling, then optional layers of each pooled vector in this order."""

Builder = Callable[[], Any]


def _resnets() -> dict[str, Builder]:
    """List the ResNets of other toolkits by name."""
    networks: dict[str, Builder] = {}
    for name in RESNETS:
        networks[f"{name}_ibn"] = partial(plain_resnet, name, ibn=True)
        networks[f"baseline_{name}"] = partial(baseline_resnet, name, ibn=False)
        for ibn in (False, True):
            for non_local in (False, True) if name in ("resnet50", "resnet101") else (False,):
                suffix = f"{'_ibn' * ibn}{'_nl' * non_local}"
                networks[f"fastreid_{name}{suffix}"] = partial(fastreid_resnet, name, ibn=ibn, non_local=non_local)
    return networks


BACKBONES: dict[str, Builder] = {
    **_resnets(),
    **{name: partial(MobileNetV2, width) for name, width in MOBILENETS.items()},
    **{name: partial(solider_swin, swin) for name, swin in SWINS.items()},
    "layumi_densenet121": layumi_densenet121,
    "layumi_convnext_base": layumi_convnext_base,
    "layumi_swinv2_base": layumi_swinv2_base,
    "layumi_efficientnet_b4": layumi_efficientnet_b4,
}
"""Backbones that neither timm nor `baselines/` has, by name."""


class ImportedReID(ReID):
    """A network of another toolkit. It is a `ReID` to training, heatmaps and reports, and differs in what it pools.

    Args:
        backbone: (B, 3, H, W) -> (B, C, h, w).
        pooling: (B, C, h, w) -> (B, P, C).
        necks: One for each pooled vector.
        identities: Training identities, for which the necks have classifiers.
        embedding: `reduced`: outputs of the necks; `full`: pooled vectors.
        names: Names of the pooled vectors.
        factors: Factor of each vector in the embedding; empty scales each vector to unit length.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        pooling: nn.Module,
        necks: list[Neck],
        identities: int,
        embedding: EmbeddingKind,
        names: tuple[str, ...],
        factors: tuple[float, ...] = (),
    ) -> None:
        nn.Module.__init__(self)  # the parts of a ReID are built from its options; these are given
        require(embedding in ("reduced", "full"), "embedding", embedding, "reduced or full")
        self.backbone = backbone
        self.pooling = pooling
        self.part_necks = nn.ModuleList(necks)
        self.global_neck = None
        self.inserted = None
        self.cameras = None
        self.progress = 0.0
        self.refinement = None
        self.refined = False
        self.embedding_kind = embedding
        self.identities = identities
        self.branches = False
        self.centers: Tensor | None
        self.register_buffer("centers", None)
        self.embedding_parts = tuple(neck.channels if embedding == "full" else neck.width for neck in necks)
        self.embedding_width = sum(self.embedding_parts)
        self.part_names = names
        self.factors = factors

    def forward(self, images: Tensor, labels: Tensor | None = None, cameras: Tensor | None = None) -> Output:
        """(B, 3, H, W) -> `Output`; labels and cameras are not used."""
        features, pooled = self._pool_vectors(images)  # (B, C, H, W), P x (B, C of that vector)
        outputs = [neck(vector) for neck, vector in zip(self.part_necks, pooled, strict=True)]
        reduced, logits = zip(*outputs, strict=True)
        vectors = reduced if self.embedding_kind == "reduced" else pooled
        alike = len({vector.shape[1] for vector in pooled}) == 1
        return Output(
            embedding=self._join_vectors(vectors),
            logits=tuple(scores for scores in logits if scores is not None),
            parts=torch.stack(pooled, dim=1) if alike else features.new_empty(features.shape[0], 0, features.shape[1]),
            assignment=None,
            map=features,
            centers=self.centers,
        )

    def _pool_vectors(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 3, H, W) -> map (B, C, h, w) and the pooled vectors."""
        assert self.pooling is not None
        if isinstance(self.backbone, TimmBackbone):
            return self.backbone.forward_pooled(images)
        if isinstance(self.backbone, TokenBackbone):
            features, token = self.backbone.forward_tokens(images)
            return features, self.pooling(features, token)
        features = self.backbone(images)
        pooled = self.pooling(features)
        return features, pooled if isinstance(pooled, list) else list(pooled.unbind(dim=1))

    def _join_vectors(self, vectors: Sequence[Tensor]) -> Tensor:
        """Concatenate P x (B, C) to (B, D) of unit length."""
        if self.factors:
            scaled = [factor * vector for factor, vector in zip(self.factors, vectors, strict=True)]
        else:
            scaled = [unit_vectors(vector) for vector in vectors]
        return unit_vectors(torch.cat(scaled, dim=1))


def imported(
    backbone: str = "osnet_x1_0",
    *,
    head: str = "average",
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    embedding: EmbeddingKind = "reduced",
    last_stride: Literal[1, 2] = 2,
    drop_path: float = 0.0,
) -> ReID:
    """Build a network of another toolkit, such as `import_model` writes.

    Args:
        backbone: A key of `BACKBONES`, a name such as `transreid_vit_768x12_s16_256x128` (`vit.NAME`) or
            `timm:resnet50` (`timm_network.NAME`), or one that
            `build_backbone` accepts.
        head: Pooling and layers of the pooled vector, joined with hyphens: `average`, `gem` or `stripes6`; of a ViT
            `token` (class token), `jigsaw` (TransReID's JPM) or `clip512` (class token and its projection to 512); of
            a network `timm:NAME` `own`; then `fc512` (a linear layer of that width), `bn` and `relu`, each optional.
        identities: Training identities; 0 leaves the classifiers out.
        pretrained: As for `build_backbone`.
        weights: The folder of an imported model, from which everything but classifiers is loaded.
        embedding: `reduced`, after the layers of `head`, or `full`, before them.
        last_stride: 1 keeps the last stage's map at stride 16; ResNet and ConvNeXt only.
        drop_path: As for `build_backbone`.

    Raises:
        RecipeError: For an unknown backbone or head, or an option that the backbone does not have.
        WeightsError: For weights of another network.

    Example:
        >>> imported("osnet_ain_x1_0", head="average-fc512-bn-relu").embedding_width
        512
    """
    pool, width, norm, relu = _read_head(head)
    net = _backbone(backbone, pretrained=pretrained, last_stride=last_stride, drop_path=drop_path)
    pooled = _pooling(pool, net)
    network = ImportedReID(
        net,
        pooling=pooled.module,
        necks=[
            Neck(channels, width=width, identities=identities, relu=relu, bias=True, norm=norm)
            for channels in pooled.channels
        ],
        identities=identities,
        embedding=embedding,
        names=pooled.names,
        factors=pooled.factors,
    )
    return _load(network, find_weights_file(weights))


@dataclass(frozen=True)
class _Pooled:
    """A pooling, and the channels, names and factors of its vectors."""

    module: nn.Module
    channels: tuple[int, ...]
    names: tuple[str, ...] = ("whole",)
    factors: tuple[float, ...] = ()


def _read_head(head: str) -> tuple[str, int | None, bool, bool]:
    """Split a head into its pooling, the width of its linear layer, batch norm and ReLU."""
    match = HEAD.fullmatch(head)
    expected = "average, gem, stripes6, token, jigsaw or clip512, then -fc512, -bn and -relu where the network has them"
    require(match is not None, "head", head, expected)
    assert match is not None
    return match["pool"], int(match["width"]) if match["width"] else None, bool(match["norm"]), bool(match["relu"])


def _pooling(name: str, net: Backbone) -> _Pooled:
    """Build a pooling by name, for a backbone."""
    channels = net.channels
    own = isinstance(net, TimmBackbone)
    require(own == (name == "own"), "head", name, "own for a network timm:NAME, and for no other")
    if isinstance(net, TimmBackbone):
        return _Pooled(nn.Identity(), (net.width,))
    clip = name.startswith("clip")
    if isinstance(net, ClipResNetBackbone):
        require(clip, "head", name, "clip1024 for CLIP's ResNet")
    else:
        tokens = clip or name in ("token", "jigsaw")
        require(isinstance(net, TokenBackbone) == tokens, "head", name, "token, jigsaw or clip512 for a ViT alone")
    if clip:
        return _clip_pooling(net, int(name.removeprefix("clip")))
    if name == "token":
        return _Pooled(LastBlock(channels), (channels,))
    if name == "jigsaw":
        parts = tuple(f"part {number}" for number in range(1, PARTS + 1))
        return _Pooled(
            Jigsaw(channels), (channels,) * (PARTS + 1), ("whole", *parts), (1.0, *(1 / PARTS for _ in parts))
        )
    if name.startswith("stripes"):
        count = int(name.removeprefix("stripes"))
        return _Pooled(Stripes(count), (channels,) * count, tuple(f"part {part + 1}" for part in range(count)))
    return _Pooled(GeneralizedMean() if name == "gem" else Average(), (channels,))


def _clip_pooling(net: Backbone, width: int) -> _Pooled:
    """Build the pooling of a CLIP, whose projection has `width` numbers."""
    module: nn.Module
    if isinstance(net, ClipResNetBackbone):
        module = AttentionPooling(net.channels, projected=width, grid=net.grid)
    else:
        module = LastBlock(net.channels, clip=True, projected=width)
    return _Pooled(module, (net.channels, width), ("whole", "projection"), (1.0, 1.0))


def _backbone(name: str, *, pretrained: bool, last_stride: int, drop_path: float) -> Backbone:
    """Build the backbone of a name."""
    if VIT_NAME.fullmatch(name):
        require(not pretrained, "pretrained", pretrained, f"false, as {name} has no weights to download")
        require(drop_path == 0, "drop_path", drop_path, f"0, as {name} does not support it")
        require(last_stride == 2, "last_stride", last_stride, f"2, as {name} has no stages")
        return TokenBackbone(name)
    if name.startswith(TIMM_PREFIX) or CLIP_RESNET_NAME.fullmatch(name):
        require(not pretrained, "pretrained", pretrained, f"false, as {name} has no weights to download")
        require(drop_path == 0, "drop_path", drop_path, f"0, as {name} does not support it")
        require(last_stride == 2, "last_stride", last_stride, f"2, as {name} has no other")
        return TimmBackbone(name) if name.startswith(TIMM_PREFIX) else ClipResNetBackbone(name)
    if name not in BACKBONES:
        return build_backbone(
            name, pretrained=pretrained, attention=False, last_stride=last_stride, drop_path=drop_path
        )
    require(not pretrained, "pretrained", pretrained, f"false, as {name} has no weights to download")
    require(drop_path == 0, "drop_path", drop_path, f"0, as {name} does not support it")
    net = BACKBONES[name]()
    if last_stride == 1:
        keep_last_map(net, name)
    stride = 16 * last_stride
    if name == "layumi_swinv2_base":
        return FixedSizeBackbone(net, channels=net.num_features, stride=stride, tokens=True)
    return Backbone(net, channels=net.num_features, stride=stride, tokens=name in SWINS)


def _load(network: ReID, path: Path | None) -> ReID:
    """Load everything but classifiers from an imported model; None loads nothing. Returns `network`."""

    def is_classifier(name: str) -> bool:
        return ".classifier." in name

    if path is not None:
        tensors = {name: value for name, value in read_tensors(path).items() if not is_classifier(name)}
        own = {name: value for name, value in network.state_dict().items() if is_classifier(name)}
        fill(network, {**tensors, **own}, source=str(path))
    return network
