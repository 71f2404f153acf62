"""CBN: any backbone with one global vector, its batch norms computed for each camera.

Zhuang et al., "Rethinking the Distribution Gap of Person Re-identification with Camera-based Batch Normalization" (ECCV
2020). The norm and its statistics of a new camera are in `passerby.model.camera_batch_norm`.

    B batch   C channels
"""

from __future__ import annotations

from pathlib import Path

from passerby.model.backbone import build_backbone
from passerby.model.camera_batch_norm import normalize_by_camera
from passerby.model.convnext_ap import EmbeddingKind, ReID, load_necks
from passerby.model.weights import find_weights_file


def cbn(
    backbone: str = "resnet50",
    *,
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    embedding: EmbeddingKind = "reduced",
    last_stride: int = 1,
    drop_path: float = 0.0,
) -> ReID:
    """Build CBN: an average of the map and a batch norm before the classifier, all batch norms by camera.

    Training passes the camera of each image to the network. It adds no parameter to the plain network. A backbone
    without batch norms, such as a ConvNeXt, is normalized by camera after the average only.

    Args:
        backbone: As for `convnext_ap`, without attention.
        identities: Training identities; 0 leaves the classifier out.
        pretrained: As for `convnext_ap`.
        weights: As for `convnext_ap`.
        embedding: `reduced` (after the batch norm) or `full` (before it), both C wide.
        last_stride: 1 keeps the last stage's map at stride 16, as in the authors' code.
        drop_path: As for `convnext_ap`.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not support.
        WeightsError: When weights cannot be downloaded, read, or do not fit.

    Example:
        >>> cbn("resnet18").embedding_width
        512
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
    network = ReID(net, identities=identities, pooling=None, part_widths=(), embedding=embedding)
    network.cameras = normalize_by_camera(network)
    return load_necks(network, path)
