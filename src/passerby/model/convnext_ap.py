"""ConvNeXt-AP: image -> map -> parts -> embedding, and logits of the training identities.

Sun et al., "A Study of Person Re-Identification Approach Utilizing an Enhanced Convnext Architecture" (2024).
Variants: Baseline is ConvNeXt; A adds SimAM; P adds parts and their refinement; AP adds both.

    B batch   C channels   H W map height and width   P parts   D embedding width   I identities
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from passerby.model.backbone import Backbone, build_backbone
from passerby.model.camera_batch_norm import CameraIds
from passerby.model.checks import require
from passerby.model.full_precision import unit_vectors
from passerby.model.parts import Neck, Refinement, Stripes, pool_by_assignment
from passerby.model.simam import AttentionPosition
from passerby.model.weights import find_weights_file, read_tensors

EmbeddingKind = Literal["reduced", "full"]


@dataclass(frozen=True)
class Output:
    """Output of the network for B images, the same in training and in evaluation.

    Attributes:
        embedding: (B, D) unit length, float32 (float64 of a float64 network).
        logits: One (B, I) for each part and then for the global branch; empty without identities.
        parts: (B, P, C) pooled parts; P is 0 without parts.
        assignment: (B, P, H, W) probability of each part at each position; None without refinement.
        map: (B, C, H, W).
        branches: Vectors that metric losses compare separately, each (B, D of one part), in place of the embedding;
            empty where they compare the embedding.
        centers: (I, C) centers of the identities for the center loss; None without it.
        weights: (B, P) confidence of each part: a factor of its identity loss and, as a square root, of its vector in
            the embedding; None for parts of equal weight.
        own_loss: Scalar loss of the method, weighted, that is added to those of the recipe; None in evaluation, for
            methods without one, and without labels for methods that need them.
    """

    embedding: Tensor
    logits: tuple[Tensor, ...]
    parts: Tensor
    assignment: Tensor | None
    map: Tensor
    branches: tuple[Tensor, ...] = ()
    centers: Tensor | None = None
    own_loss: Tensor | None = None
    weights: Tensor | None = None


class ReID(nn.Module):
    """Backbone, parts and their necks; built by `convnext_ap` and the builders in `baselines`.

    Args:
        backbone: (B, 3, H, W) -> (B, C, h, w).
        identities: Training identities; 0 leaves the classifiers out.
        pooling: (B, C, h, w) -> (B, P, C), such as `Stripes`; None for no parts. One with the attribute `reads_images`
            is called with the map and the images. It may return a tuple with the parts' weights (B, P). If it has a
            method `own_loss(features, parts)`, `labeled_loss(features, labels, classifiers)` with the classifiers of
            the parts, `image_loss(network, images, features, labels)`, or `matching_loss(vectors, labels)` with the
            vectors of the embedding (B, P, D), the network returns its value in training. If it has modules for the
            training only, it has `prepare_training(network)` and `forget_training()`.
        part_widths: Width of each reduced part, P in all; None for a part that is not reduced.
        part_names: Names of the parts of the embedding in plots; `part 1` and so on by default.
        refine: Pool by the part classifier in place of `pooling`.
        global_branch: Add a vector of the whole map to the parts.
        embedding: `reduced`: outputs of the necks; `full`: pooled vectors.
        relu: End each neck in a ReLU.
        branches: Metric losses compare each part separately, or each of the parts with these numbers.
        reduced_by_pooling: The pooling computes the reduced parts, all of one width; the necks are classifiers only.
        embedded: Numbers of the parts in the embedding; all by default.
        inserted: Modules of the method inside the backbone, see `passerby.model.baselines.insertion`.

    Attributes:
        embedding_parts: Width of each part in the embedding, from the top; the global branch is last.
        embedding_width: D, their sum.
        part_names: Names of these parts.
        progress: Fraction of the training that is done, which the loop sets.
        cameras: Cameras of the images, of a network with camera-based batch norms; None without them.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        identities: int,
        pooling: nn.Module | None,
        part_widths: Sequence[int | None],
        part_names: Sequence[str] = (),
        refine: bool = False,
        global_branch: bool = False,
        embedding: EmbeddingKind = "reduced",
        relu: bool = False,
        branches: bool | Sequence[int] = False,
        reduced_by_pooling: bool = False,
        embedded: Sequence[int] | None = None,
        inserted: nn.Module | None = None,
    ) -> None:
        super().__init__()
        require(identities >= 0, "identities", identities, "0 or more")
        require(embedding in ("reduced", "full"), "embedding", embedding, "reduced or full")
        channels, parts = backbone.channels, len(part_widths)
        self.backbone = backbone
        self.inserted = inserted
        self.cameras: CameraIds | None = None
        self.progress = 0.0
        self.pooling = pooling
        self.refinement = Refinement(channels, parts) if refine else None
        self.refined = refine  # a stage of a training may pool by stripes instead
        self.part_necks = nn.ModuleList(
            Neck(width or channels, width=None, identities=identities, norm=False)
            if reduced_by_pooling
            else Neck(channels, width=width, identities=identities, relu=relu)
            for width in part_widths
        )
        has_global = global_branch or parts == 0
        self.global_neck = Neck(channels, width=None, identities=identities) if has_global else None
        self.embedding_kind = embedding
        self.identities = identities
        self.branches = branches
        self.embedded = range(parts) if embedded is None else embedded
        self.centers: Tensor | None
        self.register_buffer("centers", None)  # not in the state dict while it is None
        keeps = embedding == "reduced" or reduced_by_pooling
        widths = tuple(width if keeps and width else channels for width in part_widths)
        self.embedding_parts = tuple(widths[number] for number in self.embedded) + (channels,) * has_global
        self.embedding_width = sum(self.embedding_parts)
        names = tuple(part_names) or tuple(f"part {number + 1}" for number in self.embedded)
        self.part_names = names + ("whole",) * has_global

    def forward(self, images: Tensor, labels: Tensor | None = None, cameras: Tensor | None = None) -> Output:
        """Compute the output for (B, 3, H, W) images.

        Args:
            images: (B, 3, H, W).
            labels: (B,) class of each image, for a method's own loss in training.
            cameras: (B,) camera of each image, for camera-based batch norms in training.
        """
        if self.cameras is not None:
            self.cameras.ids = cameras
        features = self.backbone(images)  # (B, C, H, W)
        assignment = self.refinement(features) if self.refinement and self.refined else None  # (B, P, H, W)
        parts, weights = self._pool(features, assignment, images)  # (B, P, C), (B, P) or None

        pooled = list(parts.unbind(dim=1))  # P x (B, C)
        necks = list(self.part_necks)
        if self.global_neck is not None:
            pooled.append(features.mean(dim=(2, 3)))
            necks.append(self.global_neck)
        outputs = [neck(vector) for neck, vector in zip(necks, pooled, strict=True)]

        reduced, logits = zip(*outputs, strict=True)
        vectors = reduced if self.embedding_kind == "reduced" else pooled
        embedded = [*(vectors[number] for number in self.embedded), *vectors[parts.shape[1] :]]
        compared = range(len(vectors)) if isinstance(self.branches, bool) else self.branches
        return Output(
            embedding=_join(embedded, None if weights is None else weights[:, list(self.embedded)].sqrt()),
            logits=tuple(scores for scores in logits if scores is not None),
            parts=parts,
            assignment=assignment,
            map=features,
            branches=tuple(vectors[number] for number in compared) if self.branches else (),
            centers=self.centers,
            own_loss=self._own_loss(images, features, parts, embedded, labels) if self.training else None,
            weights=weights,
        )

    def _own_loss(
        self, images: Tensor, features: Tensor, parts: Tensor, vectors: list[Tensor], labels: Tensor | None
    ) -> Tensor | None:
        """Compute the pooling's own loss; None without one.

        Args:
            images: (B, 3, H, W).
            features: (B, C, h, w).
            parts: (B, P, C).
            vectors: (B, D) each, of the embedding.
            labels: (B,), or None.
        """
        pooling: Any = self.pooling
        loss: Tensor | None = None
        if hasattr(pooling, "own_loss"):
            loss = pooling.own_loss(features, parts)
        elif hasattr(pooling, "labeled_loss") and labels is not None:
            loss = pooling.labeled_loss(features, labels, [neck.classifier for neck in self.part_necks])
        elif hasattr(pooling, "image_loss") and labels is not None:
            loss = pooling.image_loss(self, images, features, labels)
        elif hasattr(pooling, "matching_loss") and labels is not None:
            loss = pooling.matching_loss(torch.stack(vectors, dim=1), labels)
        return loss

    def keep_centers(self) -> None:
        """Create a center at 0 for each identity, as a buffer; the center loss moves them."""
        like = next(self.backbone.parameters())
        self.centers = like.detach().new_zeros(self.identities, self.backbone.channels)

    def prepare_training(self) -> None:
        """Create the modules that only the training of this method needs."""
        pooling: Any = self.pooling
        if hasattr(pooling, "prepare_training"):
            pooling.prepare_training(self)

    def forget_training(self) -> None:
        """Remove the centers and modules that only the training needs, before the network is saved."""
        self.centers = None
        pooling: Any = self.pooling
        if hasattr(pooling, "forget_training"):
            pooling.forget_training()

    def _pool(self, features: Tensor, assignment: Tensor | None, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C, H, W) -> (B, P, C), and (B, P) weights of the parts or None."""
        if assignment is not None:
            return pool_by_assignment(features, assignment), None
        if self.pooling is None:
            return features.new_empty(features.shape[0], 0, features.shape[1]), None
        reads_images = getattr(self.pooling, "reads_images", False)
        pooled: Any = self.pooling(features, images) if reads_images else self.pooling(features)
        return pooled if isinstance(pooled, tuple) else (pooled, None)


def _join(vectors: Sequence[Tensor], weights: Tensor | None = None) -> Tensor:
    """Join vectors, each of unit length times its weight: P x (B, D / P), (B, P) -> (B, D) of unit length."""
    units = [unit_vectors(vector) for vector in vectors]
    if weights is not None:
        units = [unit * weight[:, None] for unit, weight in zip(units, weights.unbind(dim=1), strict=True)]
    return unit_vectors(torch.cat(units, dim=1))


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
    tone_black: float = 0.0,
    tone_gamma: float = 1.0,
) -> ReID:
    """Build ConvNeXt-AP or a variant of it.

    Args:
        backbone: timm's name of a ConvNeXt v1 or v2, or of another network with a map (plain baseline); see
            `build_backbone`.
        identities: Training identities; 0 leaves the classifiers out.
        pretrained: Download the weights that timm has under this name.
        weights: A safetensors file of timm or of a run, the folder of a run, or `default` for the shipped model. From
            a run, reductions and norms of the necks are loaded too if all of them have the same shapes; classifiers
            are not.
        attention: Add SimAM to every ConvNeXt block; adds no parameter.
        attention_position: `depthwise` (after the depthwise convolution) or `block` (after the block's MLP).
        parts: Horizontal stripes; 0 pools the whole map.
        part_dim: Width of each reduced part.
        refine: Assign every column vector to parts (RPP) in place of fixed stripes. Needs two parts or more.
        global_branch: Add a vector of the whole map to the parts.
        embedding: `reduced` (P x part_dim, outputs of the batch norms) or `full` (P x C, the pooled parts); the global
            vector adds C. Each vector is scaled to unit length, then the whole embedding.
        last_stride: 1 keeps the last stage's map at stride 16; ConvNeXt and ResNet.
        drop_path: Largest stochastic depth rate, 0 to below 1.
        layer_scale: Initial value of layer scale, or None for none; ignored by networks without it (ConvNeXt V2).
        instance_norm: Number of stages, 0 to 3 from the first, that end in an instance normalization of half of their
            channels, which reduces differences between cameras; adds no parameter, ConvNeXt only.
        tone_black: Fraction of each image that is darker than its black point, which a first layer maps to 0
            (`passerby.model.tones.Tones`); images are normalized by the mean and deviation of ImageNet.
        tone_gamma: Exponent of the values after it. 0 and 1 of these two leave the layer out.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not support.
        WeightsError: When weights cannot be downloaded, read, or do not fit.

    Example:
        >>> network = passerby.convnext_ap("test_convnext", parts=4, part_dim=64).eval()
        >>> network.embedding_width
        256
        >>> network(torch.zeros(2, 3, 256, 128)).embedding.shape
        torch.Size([2, 256])
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
        tone_black=tone_black,
        tone_gamma=tone_gamma,
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
    """Load the necks and inserted modules of another run into `network`, if all fit; None loads nothing.

    Returns:
        `network`.
    """

    def necks(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            key: value
            for key, value in tensors.items()
            if key.startswith(("part_necks.", "global_neck.", "inserted.")) and ".classifier." not in key
        }

    if path is not None:
        own, other = necks(network.state_dict()), necks(read_tensors(path))
        if {key: value.shape for key, value in own.items()} == {key: value.shape for key, value in other.items()}:
            network.load_state_dict(other, strict=False)
    return network
