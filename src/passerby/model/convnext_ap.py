"""ConvNeXt-AP, read from top to bottom: image -> map -> parts -> embedding, and logits while it learns.

Sun et al., "A Study of Person Re-Identification Approach Utilizing an Enhanced Convnext Architecture" (2024).
Variants: Baseline = ConvNeXt; A = with SimAM; P = with parts and their refinement; AP = both.

    B batch   C channels   H W map height and width   P parts   D embedding width   I identities
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.model.backbone import Backbone, build_backbone, takes_attention
from passerby.model.checks import require
from passerby.model.parts import Neck, Refinement, Stripes, pool_by_assignment
from passerby.model.simam import HALVES, AttentionPosition
from passerby.model.weights import find_weights_file, read_tensors

EmbeddingKind = Literal["reduced", "full"]


@dataclass(frozen=True)
class Output:
    """What the network makes of B images, in training and in evaluation alike.

    Attributes:
        embedding: (B, D) unit length, float32 (float64 of a float64 network).
        logits: One (B, I) for each part and then for the global branch; empty without identities.
        parts: (B, P, C) pooled parts; P is 0 without parts.
        assignment: (B, P, H, W) share of each position that belongs to each part; None without refinement.
        map: (B, C, H, W).
        branches: The vectors that metric losses look at one by one, each (B, D of one part), in place of the embedding;
            empty where they look at the embedding.
        centers: (I, C) the network's own, of the center loss; None where there are none.
    """

    embedding: Tensor
    logits: tuple[Tensor, ...]
    parts: Tensor
    assignment: Tensor | None
    map: Tensor
    branches: tuple[Tensor, ...] = ()
    centers: Tensor | None = None


class ReID(nn.Module):
    """A backbone, its parts and their necks; `convnext_ap`, `hpm` and `bdb` build it.

    Args:
        backbone: (B, 3, H, W) -> (B, C, h, w).
        identities: Training identities; 0 leaves the classifiers out.
        pooling: (B, C, h, w) -> (B, P, C), such as `Stripes`; None for no parts.
        part_widths: Width of each reduced part, P in all.
        part_names: What pictures call the parts; `part 1` and so on where it is not given.
        refine: Pool by the part classifier in place of `pooling`.
        global_branch: One more vector, of the whole map, beside the parts.
        embedding: `reduced`: what the necks put out; `full`: the pooled vectors.
        relu: Whether each neck ends in a ReLU.
        branches: Whether metric losses look at each part by itself.

    Attributes:
        embedding_parts: Width of each part's piece of the embedding, from the top; the global branch's comes last.
        embedding_width: D, their sum.
        part_names: What each of these pieces is called.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        identities: int,
        pooling: nn.Module | None,
        part_widths: Sequence[int],
        part_names: Sequence[str] = (),
        refine: bool = False,
        global_branch: bool = False,
        embedding: EmbeddingKind = "reduced",
        relu: bool = False,
        branches: bool = False,
    ) -> None:
        super().__init__()
        require(identities >= 0, "identities", identities, "0 or more")
        require(embedding in ("reduced", "full"), "embedding", embedding, "reduced or full")
        channels, parts = backbone.channels, len(part_widths)
        self.backbone = backbone
        self.pooling = pooling
        self.refinement = Refinement(channels, parts) if refine else None
        self.refined = refine  # a stage of the training may pool by stripes first
        self.part_necks = nn.ModuleList(
            Neck(channels, width=width, identities=identities, relu=relu) for width in part_widths
        )
        has_global = global_branch or parts == 0
        self.global_neck = Neck(channels, width=None, identities=identities) if has_global else None
        self.embedding_kind = embedding
        self.identities = identities
        self.branches = branches
        self.centers: Tensor | None
        self.register_buffer("centers", None)  # in no file while it is None
        widths = tuple(part_widths) if embedding == "reduced" else (channels,) * parts
        self.embedding_parts = widths + (channels,) * has_global
        self.embedding_width = sum(self.embedding_parts)
        names = tuple(part_names) or tuple(f"part {number + 1}" for number in range(parts))
        self.part_names = names + ("whole",) * has_global

    def forward(self, images: Tensor) -> Output:
        """(B, 3, H, W) -> `Output`."""
        features = self.backbone(images)  # (B, C, H, W)
        assignment = self.refinement(features) if self.refinement and self.refined else None  # (B, P, H, W)
        parts = self._pool(features, assignment)  # (B, P, C)

        pooled = list(parts.unbind(dim=1))  # P x (B, C)
        necks = list(self.part_necks)
        if self.global_neck is not None:
            pooled.append(features.mean(dim=(2, 3)))
            necks.append(self.global_neck)
        passed = [neck(vector) for neck, vector in zip(necks, pooled, strict=True)]

        reduced, logits = zip(*passed, strict=True)
        vectors = reduced if self.embedding_kind == "reduced" else pooled
        return Output(
            embedding=_embed(vectors),
            logits=tuple(each for each in logits if each is not None),
            parts=parts,
            assignment=assignment,
            map=features,
            branches=tuple(vectors) if self.branches else (),
            centers=self.centers,
        )

    def keep_centers(self) -> None:
        """Begin with a center for each identity, of which checkpoints then know; the center loss moves them."""
        like = next(self.backbone.parameters())
        self.centers = like.detach().new_zeros(self.identities, self.backbone.channels)

    def forget_centers(self) -> None:
        """Be a network without centers again, as it is saved: nothing but the center loss needs them."""
        self.centers = None

    def _pool(self, features: Tensor, assignment: Tensor | None) -> Tensor:
        """(B, C, H, W) -> (B, P, C)."""
        if assignment is not None:
            return pool_by_assignment(features, assignment)
        if self.pooling is not None:
            pooled: Tensor = self.pooling(features)
            return pooled
        return features.new_empty(len(features), 0, features.shape[1])


def _embed(vectors: Any) -> Tensor:
    """Each vector to unit length, side by side, and the whole to unit length: P x (B, D / P) -> (B, D)."""
    units = [F.normalize(each.float() if each.dtype in HALVES else each) for each in vectors]
    return F.normalize(torch.cat(units, dim=1))


def convnext_ap(
    backbone: str = "convnext_base",
    *,
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    attention: bool = True,
    attention_position: AttentionPosition = "depthwise",
    parts: int = 6,
    part_dim: int = 256,
    refine: bool = True,
    global_branch: bool = False,
    embedding: EmbeddingKind = "reduced",
    last_stride: int = 2,
    drop_path: float = 0.0,
    layer_scale: float | None = 1e-6,
    instance_norm: int = 0,
) -> ReID:
    """Build ConvNeXt-AP, or any part of it.

    Args:
        backbone: timm's name of any ConvNeXt v1 or v2, or of another network that makes a map (plain baseline).
        identities: Training identities; 0 leaves the classifiers out.
        pretrained: Download the weights that timm has under this name.
        weights: A safetensors file instead, of timm or of a run; or the word `default`, the model that comes with the
            package. Of a run the reductions and norms behind the backbone are taken too, where they have the same
            shapes; classifiers never.
        attention: SimAM in every ConvNeXt block; adds no parameter.
        attention_position: `depthwise` (behind the depthwise convolution) or `block` (behind the block's MLP).
        parts: Horizontal stripes; 0 pools the whole map.
        part_dim: Width of each reduced part.
        refine: Re-assign every column vector to a part (RPP) in place of fixed stripes. Needs two parts or more.
        global_branch: One more vector, of the whole map, beside the parts.
        embedding: `reduced` (P x part_dim, what the batch norms put out) or `full` (P x C, the pooled parts); the
            global vector adds C. Each vector is brought to unit length, then the whole.
        last_stride: 1 keeps the last stage's map at stride 16; ConvNeXt and ResNet.
        drop_path: Largest stochastic depth rate, 0 to below 1.
        layer_scale: Its initial value, or None for none; networks without it (ConvNeXt V2) stay without.
        instance_norm: How many stages, 0 to 3 from the first, end in an instance normalization of half of their
            channels, against the style of cameras; adds no parameter, ConvNeXt only.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not have.
        WeightsError: When weights cannot be had or do not fit.
    """
    require(parts >= 0, "parts", parts, "0 or more")
    require(part_dim >= 1, "part_dim", part_dim, "1 or more")
    require(not refine or parts >= 2, "refine", refine, f"false, as parts is {parts}: refinement needs 2 or more")
    path = find_weights_file(weights)
    net = build_backbone(
        backbone,
        pretrained=pretrained,
        weights=path,
        attention=attention,
        attention_position=attention_position,
        last_stride=last_stride,
        drop_path=drop_path,
        layer_scale=layer_scale,
        instance_norm=instance_norm,
    )
    network = ReID(
        net,
        identities=identities,
        pooling=Stripes(parts) if parts else None,
        part_widths=(part_dim,) * parts,
        refine=refine,
        global_branch=global_branch,
        embedding=embedding,
    )
    return load_necks(network, path)


def load_necks(network: ReID, path: Path | None) -> ReID:
    """The network, beginning with the necks of another run, if there is one and every one of them fits."""

    def necks(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            key: value
            for key, value in tensors.items()
            if key.startswith(("part_necks.", "global_neck.")) and ".classifier." not in key
        }

    if path is not None:
        own, other = necks(network.state_dict()), necks(read_tensors(path))
        if {key: value.shape for key, value in own.items()} == {key: value.shape for key, value in other.items()}:
            network.load_state_dict(other, strict=False)
    return network


def variants(arguments: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The paper's ablation around one network: arguments of `convnext_ap` for Baseline, A, P and AP.

    P and AP have the parts that `arguments` asks for, or the paper's (6, refined) where it asks for none. A backbone
    that is no ConvNeXt has Baseline and P only.
    """
    given = {**arguments}
    whole = {**given, "parts": 0, "refine": False, "global_branch": False}
    parted = given if given.get("parts", 6) else {**given, "parts": 6, "refine": True}
    found = {
        "Baseline": {**whole, "attention": False},
        "A": {**whole, "attention": True},
        "P": {**parted, "attention": False},
        "AP": {**parted, "attention": True},
    }
    if not takes_attention(given.get("backbone", "convnext_base")):
        del found["A"], found["AP"]
    return found
