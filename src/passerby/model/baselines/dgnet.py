"""DG-Net: an appearance encoder that also learns from images generated with one person's clothes on another's pose.

Zheng et al., "Joint Discriminative and Generative Learning for Person Re-identification" (CVPR 2019). Weights of the
losses and their schedule are those of the authors' code. Differences: one optimizer takes the steps of all networks at
once; the teacher is a copy of the encoder at the time when generated images begin to be labeled, not a network that was
trained before; and the dropout before the classifiers is left out.

    B batch   C channels   H W map height and width   I identities
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from passerby.errors import RecipeError
from passerby.model.backbone import build_backbone
from passerby.model.baselines.dgnet_networks import CODES, Discriminator, Generator, StructureEncoder
from passerby.model.checks import require
from passerby.model.convnext_ap import EmbeddingKind, ReID, load_necks
from passerby.model.full_precision import without_autocast
from passerby.model.parts import Neck
from passerby.model.weights import find_weights_file

VECTORS = {"primary": 512, "fine-grained": 512}
"""Width of the two vectors of the embedding."""
RECONSTRUCTION, IDENTITY, PENALTY, FINE = 5.0, 0.5, 0.01, 0.2
"""Weights: reconstructed images, identity of generated images, discriminator's gradient, fine-grained labels."""
BEGIN, RISE = 0.3, 0.02
"""Fraction of the training after which codes, cycles and labels of generated images are learned, and the fraction in
which the weight of codes rises to 1; those of cycles and labels rise to 2 in twice the time."""


class AppearanceEncoder(nn.Module):
    """The appearance encoder alone: modules of the network, without a copy."""

    def __init__(self, backbone: nn.Module, necks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.backbone = backbone
        self.primary, self.fine = necks

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) -> codes (B, CODES, C), primary logits (B, I), fine-grained vectors (B, 512)."""
        features = self.backbone(images)
        pooled = features.amax(dim=(2, 3))
        return appearance_codes(features), self.primary(pooled)[1], self.fine(pooled)[0]

    def tensors(self) -> dict[str, Tensor]:
        """Return the parameters without their gradient, and copies of the buffers, which a pass changes."""
        buffers = {key: value.clone() for key, value in self.named_buffers()}
        return {key: value.detach() for key, value in self.named_parameters()} | buffers

    def names(self) -> list[str]:
        """Return the names of all tensors."""
        return [key for key, _ in (*self.named_parameters(), *self.named_buffers())]


class Appearance(nn.Module):
    """Maximum of the map for both vectors; the generator and its losses in training.

    Args:
        generator_width: Width of the generator's first layer.
        generated_images: Images of a batch that are generated.
    """

    def __init__(self, generator_width: int, generated_images: int) -> None:
        super().__init__()
        self.generator_width, self.generated_images = generator_width, generated_images
        self.training_only: nn.ModuleDict | None = None
        self._taught = False

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 2, C)."""
        vector = features.amax(dim=(2, 3))
        return torch.stack([vector, vector], dim=1)

    def prepare_training(self, network: ReID) -> None:
        """Create the generator's networks, the fine-grained classifier, and the place of the teacher.

        Raises:
            RecipeError: For a network without classifiers.
        """
        if not network.identities:
            raise RecipeError("loss.identity: dgnet labels generated images by its classifiers; give the loss a weight")
        teacher = nn.Module()
        for key, value in _encoder(network).tensors().items():
            teacher.register_buffer(_flat(key), value.clone())
        teacher.register_buffer("is_set", torch.zeros((), dtype=torch.bool))
        self.training_only = nn.ModuleDict(
            {
                "structure": StructureEncoder(self.generator_width),
                "generator": Generator(self.generator_width, network.backbone.channels),
                "discriminator": Discriminator(self.generator_width),
                "fine": nn.Linear(VECTORS["fine-grained"], network.identities),
                "teacher": teacher,
            }
        )

    def forget_training(self) -> None:
        """Remove what `prepare_training` has created."""
        self.training_only = None

    def image_loss(self, network: ReID, images: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """Compute the weighted sum of all losses of generated images.

        The first `generated_images` of the batch are used, N in number. Image i gives its appearance to the structure
        of image i + N / 2, which is of another person in a P x K batch with several people among them.

        Args:
            network: Its backbone and necks are the appearance encoder.
            images: (B, 3, H, W) normalized; sides are multiples of 4.
            features: (B, C, h, w) map of the images.
            labels: (B,).

        Returns:
            Scalar. Each loss has gradients for its own networks only: the encoder learns from identities of images,
            real and generated, the discriminator from its judgments, the rest from reconstruction and deception.

        Raises:
            RecipeError: For sides that are no multiples of 4, or before `prepare_training`.
        """
        if self.training_only is None:
            raise RecipeError("model.method: dgnet: call the network's prepare_training() before its training")
        if images.shape[2] % 4 or images.shape[3] % 4:
            raise RecipeError(f"images.size: got {[*images.shape[2:]]}, expected multiples of 4 for dgnet's generator")
        with without_autocast(images):
            images, features = images.float(), features.float()
            count = self.generated_images
            loss = self._sum_losses(network, images[:count], features[:count], labels[:count])
            vectors = network.part_necks[1](features.amax(dim=(2, 3)))[0]
            fine = F.cross_entropy(self.training_only["fine"](vectors), labels)
            return loss + min(2.0, _rise(network)) * FINE * fine  # at weight 0, too: DDP expects all gradients

    def _sum_losses(self, network: ReID, images: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        assert self.training_only is not None
        encode_structure, generate, judge = (
            self.training_only[name] for name in ("structure", "generator", "discriminator")
        )
        codes = appearance_codes(features).detach()  # (B, CODES, C)
        structure = encode_structure(images)  # (B, F, H / 4, W / 4)
        half = len(images) // 2
        other = structure.roll(-half, dims=0)
        same = codes[next_of_same(labels)]
        generated = generate(other, codes)
        encoder = _encoder(network)

        rise = _rise(network)
        code_weight, late_weight = min(1.0, rise), min(2.0, rise)
        found_codes, logits, _ = functional_call(encoder, encoder.tensors(), (generated,))
        total = RECONSTRUCTION * (
            F.l1_loss(generate(structure, codes), images) + F.l1_loss(generate(structure, same), images)
        )
        total = total + IDENTITY * F.cross_entropy(logits, labels)
        total = total + deception_loss(judge, generated) + judgment_loss(judge, generated.detach(), images)
        if rise > 0:
            found = self._encode_again(encode_structure, generated)
            total = total + code_weight * (F.l1_loss(found_codes, codes) + F.l1_loss(found, other.detach()))
            cycled = generate(found.roll(half, dims=0), found_codes)
            total = total + late_weight * F.l1_loss(cycled, images)
            total = total + late_weight * self._label_loss(encoder, generated.detach(), labels.roll(-half))
        return total

    def _encode_again(self, encode: nn.Module, generated: Tensor) -> Tensor:
        """Encode the structure of generated images: the encoder learns, or, in half of the steps, the generator."""
        if torch.rand((), device="cpu") < 0.5:
            learned: Tensor = encode(generated.detach())
            return learned
        frozen = {key: value.detach() for key, value in encode.named_parameters()}
        code: Tensor = functional_call(encode, frozen, (generated,))
        return code

    def _label_loss(self, encoder: AppearanceEncoder, generated: Tensor, structure_labels: Tensor) -> Tensor:
        """Compute the losses of generated images without gradients for the generator.

        Primary: divergence from the teacher's probabilities of the image and its mirror image. Fine-grained: the
        identity that gave the structure, so that the vector learns what clothes do not show.
        """
        assert self.training_only is not None
        teacher, fine = self.training_only["teacher"], self.training_only["fine"]
        if not self._taught:
            self._set_teacher(teacher, encoder)
        stored = {key: getattr(teacher, _flat(key)) for key in encoder.names()}
        with torch.no_grad():
            both = [functional_call(encoder, stored, (view,))[1] for view in (generated, generated.flip(-1))]
            probabilities = torch.stack([logits.softmax(dim=1) for logits in both]).mean(dim=0)
        _, logits, vectors = encoder(generated)
        primary = F.kl_div(logits.log_softmax(dim=1), probabilities, reduction="batchmean")
        return primary + FINE * F.cross_entropy(fine(vectors), structure_labels)

    def _set_teacher(self, teacher: nn.Module, encoder: AppearanceEncoder) -> None:
        """Copy the encoder into the teacher at its first use; a resumed training has it already."""
        is_set = teacher.get_buffer("is_set")
        if not bool(is_set):
            for key, value in encoder.tensors().items():
                getattr(teacher, _flat(key)).copy_(value)
            is_set.fill_(True)
        self._taught = True


def appearance_codes(features: Tensor) -> Tensor:
    """Compute the maximum of each of four stripes: (B, C, H, W) -> (B, CODES, C)."""
    height = features.shape[2]
    rows = ((k * height // CODES, -(-(k + 1) * height // CODES)) for k in range(CODES))
    return torch.stack([features[:, :, top:bottom].amax(dim=(2, 3)) for top, bottom in rows], dim=1)


def next_of_same(labels: Tensor) -> Tensor:
    """Find the next row of the same class, cyclically: (B,) -> (B,) indices; a class with one row gets its own."""
    count = len(labels)
    steps = torch.arange(1, count + 1, device=labels.device)
    following = (torch.arange(count, device=labels.device)[:, None] + steps) % count  # (B, B)
    first = (labels[following] == labels[:, None]).int().argmax(dim=1)
    return following.gather(1, first[:, None])[:, 0]


def deception_loss(judge: nn.Module, generated: Tensor) -> Tensor:
    """Compute 2 (D - 1)^2 of generated images, summed over the sizes; the discriminator D gets no gradient."""
    frozen = {key: value.detach() for key, value in judge.named_parameters()}
    judged = functional_call(judge, frozen, (generated,))
    return torch.stack([2 * (scores - 1).square().mean() for scores in judged]).sum()


def judgment_loss(judge: nn.Module, generated: Tensor, images: Tensor) -> Tensor:
    """Compute D^2 of generated and (D - 1)^2 of real images, and the penalty on the gradient at real ones."""
    real = images.detach().requires_grad_()
    values = []
    for scores, real_scores in zip(judge(generated), judge(real), strict=True):
        (gradient,) = torch.autograd.grad(real_scores.sum(), real, create_graph=True)
        penalty = gradient.square().flatten(1).sum(dim=1).mean()
        values.append(scores.square().mean() + (real_scores - 1).square().mean() + PENALTY * penalty)
    return torch.stack(values).sum()


def _rise(network: ReID) -> float:
    """Return the weight of codes, which grows from 0 at `BEGIN` without a limit."""
    return max(0.0, network.progress - BEGIN) / RISE


def _encoder(network: ReID) -> AppearanceEncoder:
    return AppearanceEncoder(network.backbone, network.part_necks)


def _flat(key: str) -> str:
    return key.replace(".", "__")


def dgnet(
    backbone: str = "resnet50",
    *,
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    generator_width: int = 16,
    generated_images: int = 16,
    embedding: EmbeddingKind = "reduced",
    last_stride: int = 1,
    drop_path: float = 0.0,
) -> ReID:
    """Build DG-Net's appearance encoder: two vectors of 512, primary and fine-grained.

    The structure encoder, the generator, the discriminator and the teacher are made by `prepare_training` and are not
    saved. The identity loss is that of the primary vector; the fine-grained one is a part of the method's own loss.

    Args:
        backbone: As for `convnext_ap`, without attention.
        identities: Training identities; 0 leaves the classifier out.
        pretrained: As for `convnext_ap`.
        weights: As for `convnext_ap`.
        generator_width: Width of the generator's first layer, 4 to 64; 16 in the authors' code. The time of a step
            grows with its square.
        generated_images: Images of a batch that are generated, 4 or more; 16 in the authors' code. Identities of the
            whole batch are learned.
        embedding: `reduced` (512 + 512) or `full` (twice the maximum of the map).
        last_stride: 1 keeps the last stage's map at stride 16, as in the authors' code.
        drop_path: As for `convnext_ap`.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not support.
        WeightsError: When weights cannot be downloaded, read, or do not fit.

    Example:
        >>> dgnet("resnet18").embedding_width
        1024
    """
    require(4 <= generator_width <= 64, "generator_width", generator_width, "4 to 64")
    require(generated_images >= 4, "generated_images", generated_images, "4 or more")
    path = find_weights_file(weights)
    net = build_backbone(
        backbone,
        pretrained=pretrained,
        weights=path,
        attention=False,
        last_stride=last_stride,
        drop_path=drop_path,
    )
    network = ReID(
        net,
        identities=identities,
        pooling=Appearance(generator_width, generated_images),
        part_widths=tuple(VECTORS.values()),
        part_names=tuple(VECTORS),
        embedding=embedding,
    )
    network.part_necks[1] = Neck(net.channels, width=VECTORS["fine-grained"], identities=0)
    return load_necks(network, path)
