"""HOReID: features at key points, a graph of them whose directions are learned, and a matching of two graphs.

Wang et al., "High-Order Information Matters: Learning Relation and Topology for Occluded Person Re-Identification"
(CVPR 2020). Equations and numbers are those of the authors' code. S: a vector at each of 13 key points (the head is
one), pooled by its heat map, and one of the whole map. R: two adaptive-direction graph convolutions (ADGC) pass vectors
along the skeleton. T: cross-graph embedded alignment (CGEA) matches the nodes of two images and verifies the pair.

The embedding, which a gallery can hold, is that of R: each node's vector of unit length times the square root of its
confidence. T compares two images by vectors of unit length, which the embedding holds (`GraphMatching.verify`). It is
trained on vectors without gradient, so that it does not change the embedding. Differences from the code: vectors are
of unit length before they are matched, the softmax has factor 20 in place of 200, and the positive of a pair is the
farthest one, as in the paper, where the code takes the nearest, which is the anchor itself.

    B batch   C channels   H W map height and width   N nodes   E links
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.model.backbone import build_backbone
from passerby.model.body_estimator import KEY_POINTS, Body, load_body_estimator
from passerby.model.convnext_ap import EmbeddingKind, ReID, load_necks
from passerby.model.full_precision import full_precision, unit_vectors, without_autocast
from passerby.model.weights import find_weights_file

NODES = ("head", *KEY_POINTS[2:], "whole")
"""Local nodes, then the global one."""
_SIDES = ("right", "left")
LINKS = (
    *(("head", f"{side} shoulder") for side in _SIDES),
    *((f"{a} shoulder", f"{b} hip") for a in _SIDES for b in _SIDES),
    *((f"right {joint}", f"left {joint}") for joint in ("shoulder", "hip")),
    *((f"{side} {a}", f"{side} {b}") for side in _SIDES for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))),
    *((f"{side} {a}", f"{side} {b}") for side in _SIDES for a, b in (("hip", "knee"), ("knee", "ankle"))),
)
"""Links of the skeleton. Every local node is linked to the global one, too, which takes up nothing."""
_FIRST = [NODES.index(first) for first, _ in LINKS]
_SECOND = [NODES.index(second) for _, second in LINKS]
SHARPNESS, GAP_SCALE, DIRECTION_SCALE, MATCH_SCALE, PRODUCT_SCALE = 10.0, 15.0, 20.0, 20.0, 10.0
SINKHORN_STEPS = 20
MATCHING_WEIGHT, VERIFICATION_WEIGHT = 1.0, 0.1


def node_features(features: Tensor, body: Body) -> tuple[Tensor, Tensor]:
    """Pool a map at the key points, and as a whole (average plus maximum).

    Args:
        features: (B, C, H, W).
        body: Of the size of the map.

    Returns:
        (B, N, C); (B, N) confidence: 1 of the whole, and with sum 1 over the local nodes.
    """
    heat = torch.cat([body.heatmaps[:, :2].sum(dim=1, keepdim=True), body.heatmaps[:, 2:]], dim=1)  # (B, N - 1, H, W)
    attention = (SHARPNESS * heat).flatten(2).softmax(dim=2).to(features.dtype)  # (B, N - 1, H * W)
    local = attention @ features.flatten(2).transpose(1, 2)  # (B, N - 1, C)
    whole = features.mean(dim=(2, 3)) + features.amax(dim=(2, 3))
    peaks = body.heatmaps.amax(dim=(2, 3))  # (B, K)
    confidence = torch.cat([peaks[:, :2].mean(dim=1, keepdim=True), peaks[:, 2:]], dim=1) + 1e-6
    confidence = confidence / confidence.sum(dim=1, keepdim=True)
    return torch.cat([local, whole[:, None]], dim=1), F.pad(confidence, (0, 1), value=1.0)


class DirectedGraphConv(nn.Module):
    """ADGC: each link (i, j) has a direction d in 0 to 1, from how much its ends differ from the global node.

        d = sigmoid(20 w . norm(15 (|v_i - v_g| - |v_j - v_g|))),   A_ij = 2 d,   A_ji = 2 (1 - d),   A_ig = A_gg = 1

    With the rows of A divided by their sums, the output is relu(A V W_1) + V W_2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.direct = nn.Linear(channels, 1, bias=False)
        self.merged = nn.Linear(channels, channels, bias=False)
        self.own = nn.Linear(channels, channels, bias=False)

    def forward(self, nodes: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        taken: Tensor = self.merged(self.adjacency(nodes).to(nodes.dtype) @ nodes).relu()
        own: Tensor = self.own(nodes)
        return taken + own

    def adjacency(self, nodes: Tensor) -> Tensor:
        """Compute the weights with which each node takes up the others: (B, N, C) -> (B, N, N), rows with sum 1."""
        distance = (nodes - nodes[:, -1:]).abs()
        gaps = GAP_SCALE * (distance[:, _FIRST] - distance[:, _SECOND])  # (B, E, C)
        normed = self.norm(gaps.transpose(1, 2)).transpose(1, 2)
        forward = full_precision((DIRECTION_SCALE * self.direct(normed)).sigmoid())[..., 0]  # (B, E)
        ends = F.one_hot(torch.tensor(_FIRST), len(NODES)), F.one_hot(torch.tensor(_SECOND), len(NODES))
        link = (ends[0][:, :, None] * ends[1][:, None]).to(forward)  # (E, N, N), 1 at (i, j)
        back = link.transpose(1, 2)
        whole = torch.zeros(len(NODES), len(NODES)).to(forward)
        whole[:, -1] = 1
        directed = 2 * (forward @ link.flatten(1) + (1 - forward) @ back.flatten(1))  # (B, N * N)
        weights: Tensor = directed.unflatten(1, whole.shape) + whole
        return weights / weights.sum(dim=2, keepdim=True)


class GraphMatching(nn.Module):
    """CGEA: soft matches of the nodes of two images, vectors with what their matches have, and a verification.

    Args:
        channels: C of a node.
        width: Channels of the embedded nodes; 1024 in the code.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.embed = nn.ModuleList(nn.Linear(wide, width) for wide in (channels, channels, width, width))
        noise = torch.empty(2, width, width).uniform_(-(width**-0.5), width**-0.5)
        self.affinity = nn.Parameter(noise + torch.eye(width))
        self.cross = nn.Linear(2 * width, width)
        self.verifier = nn.Linear(len(NODES) * channels, 1)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Match two batches of nodes, each (B, N, C): (B, N, N) match of first to second; (B,) logit of one person."""
        first, second = F.normalize(first, dim=2), F.normalize(second, dim=2)
        one, two = (self._embed(nodes, 0) for nodes in (first, second))
        match = self._match(one, two, 0)
        crossed = torch.cat([one, match @ two], dim=2), torch.cat([two, match.mT @ one], dim=2)
        one, two = (self._embed(self.cross(nodes), 1) for nodes in crossed)
        match = self._match(one, two, 1)
        aligned = first + match @ second, second + match.mT @ first  # (B, N, C) each
        units = [F.normalize(nodes, dim=2) for nodes in aligned]
        return match, self.verifier((PRODUCT_SCALE * units[0] * units[1]).flatten(1))[:, 0]

    def verify(self, first: Tensor, second: Tensor) -> Tensor:
        """Compute the probability that pairs of embeddings, each (B, N * C), are of one person: (B,)."""
        _, logits = self.forward(*(vectors.unflatten(1, (len(NODES), -1)) for vectors in (first, second)))
        return logits.sigmoid()

    def _embed(self, nodes: Tensor, layer: int) -> Tensor:
        one, two = (F.leaky_relu(self.embed[2 * layer + number](nodes), 0.2) for number in range(2))
        return one + two

    def _match(self, one: Tensor, two: Tensor, layer: int) -> Tensor:
        """Match embedded nodes by a bilinear form, then make rows and columns sum to 1 in turn: (B, N, N)."""
        form = 0.5 * (self.affinity[layer] + self.affinity[layer].T)
        match = (MATCH_SCALE * F.normalize(one, dim=2) @ form @ F.normalize(two, dim=2).mT).softmax(dim=2) + 1e-10
        for step in range(SINKHORN_STEPS):
            match = match / match.sum(dim=1 + step % 2, keepdim=True)
        return match


class HighOrderPooling(nn.Module):
    """S and R: 2 N vectors with their confidence. T has the loss of the matching."""

    reads_images = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = load_body_estimator()
        self.graph = nn.Sequential(DirectedGraphConv(channels), DirectedGraphConv(channels))
        self.matching = GraphMatching(channels, max(channels // 2, 1))

    def forward(self, features: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W), (B, 3, h, w) -> (B, 2 N, C) vectors of S and R, (B, 2 N) confidence."""
        body = self.body(images).resize((features.shape[2], features.shape[3]))
        nodes, confidence = node_features(features, body)
        related: Tensor = self.graph(nodes)
        return torch.cat([nodes, related], dim=1), torch.cat([confidence, confidence], dim=1)

    def matching_loss(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of T on each image with its farthest positive and its nearest negative in the batch.

        Args:
            vectors: (B, N, C) nodes of R; no gradient reaches them.
            labels: (B,).

        Returns:
            Scalar: cross entropy of the positives' matches against the identity, and of the verification of both pairs.
        """
        with without_autocast(vectors):
            nodes = full_precision(vectors.detach())
            whole = unit_vectors(nodes[:, -1])
            similar, same = whole @ whole.T, labels[:, None] == labels
            positive = similar.masked_fill(~same, torch.inf).argmin(dim=1)  # itself if it is alone
            negative = similar.masked_fill(same, -torch.inf).argmax(dim=1)
            match, accepted = self.matching(nodes, nodes[positive])
            _, refused = self.matching(nodes, nodes[negative])
            matched = F.binary_cross_entropy(match.clamp(max=1), torch.eye(len(NODES)).to(match).expand_as(match))
            has_negative = (~same).any(dim=1)
            verified = F.softplus(-accepted).mean() + (F.softplus(refused) * has_negative).mean()
        return MATCHING_WEIGHT * len(NODES) * matched + VERIFICATION_WEIGHT * verified


def horeid(
    backbone: str = "resnet50",
    *,
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    embedding: EmbeddingKind = "reduced",
    last_stride: int = 1,
    drop_path: float = 0.0,
) -> ReID:
    """Build HOReID: 14 vectors at key points and 14 after the graph, each with a batch norm and a classifier.

    Metric losses compare the two global vectors. The embedding has the 14 vectors after the graph.

    Args:
        backbone: As for `convnext_ap`, without attention.
        identities: Training identities; 0 leaves the classifiers out.
        pretrained: As for `convnext_ap`.
        weights: As for `convnext_ap`.
        embedding: `reduced` (after the batch norms) or `full` (before them), both 14 x C.
        last_stride: 1 keeps the last stage's map at stride 16, as in the paper.
        drop_path: As for `convnext_ap`.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not support.
        WeightsError: When weights cannot be downloaded, read, or do not fit, or the body estimator is missing.

    Example:
        >>> horeid("resnet18").embedding_width
        7168
    """
    path = find_weights_file(weights)
    net = build_backbone(
        backbone,
        pretrained=pretrained,
        weights=path,
        attention=False,
        last_stride=last_stride,
        drop_path=drop_path,
    )
    count = len(NODES)
    network = ReID(
        net,
        identities=identities,
        pooling=HighOrderPooling(net.channels),
        part_widths=(None,) * (2 * count),
        part_names=[name.replace("right ", "R ").replace("left ", "L ") for name in NODES],  # plots have little room
        embedding=embedding,
        branches=(count - 1, 2 * count - 1),
        embedded=range(count, 2 * count),
    )
    return load_necks(network, path)
