"""DG-Net. Oracles: its losses written out with simple networks, parameters counted by hand, where gradients go."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from conftest import SIMPLE
from passerby.data.datasets import load_data
from passerby.data.training_set import join_training
from passerby.distributed import Process
from passerby.errors import RecipeError
from passerby.losses.combine import Losses
from passerby.model.baselines.dgnet import appearance_codes, deception_loss, dgnet, judgment_loss, next_of_same
from passerby.model.baselines.dgnet_networks import Generator, StructureEncoder
from passerby.model.info import model_info
from passerby.model.weights import save_model
from passerby.recipe import load_recipe
from passerby.runs.assemble import training_loader, training_state
from passerby.training.checkpoint import load_checkpoint, save_checkpoint
from training_checks import SMALL, assert_gradient_reaches_all, assert_recipe_lowers_its_loss

TINY = ("model.generator_width=4", "model.last_stride=2")
LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
ALONE = Process(0, 1, torch.device("cpu"))


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def small(**options):
    torch.manual_seed(0)
    network = dgnet(**{"backbone": "test_resnet", "identities": 4, "generator_width": 4, "last_stride": 2, **options})
    network.prepare_training()
    return network.train()


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_of_all_networks():
    def square(channels, kernel):
        return channels * channels * kernel * kernel + channels

    with torch.device("meta"):
        network = dgnet(identities=751)
        info = model_info(network, size=(256, 128))
        network.prepare_training()
    assert info.parameters["backbone"] == 23_508_032
    assert info.parameters["parts"] == 2 * (2048 * 512 + 2 * 512)
    assert info.parameters["classifiers"] == 513 * 751
    assert info.embedding_width == 1024
    only = network.pooling.training_only
    stem = (9 * 16 + 16) + (9 * 16 * 32 + 32) + square(32, 3) + (9 * 32 * 64 + 64)
    contexts = 4 * (64 * 32 + 32) + 3 * square(32, 3) + square(128, 1)
    assert count(only["structure"]) == stem + 8 * square(64, 3) + contexts
    perceptron = (2048 * 512 + 512) + square(512, 1) + (512 * 256 + 256)
    image = (25 * 128 * 64 + 64 + 2 * 64) + (25 * 64 * 32 + 32 + 2 * 32) + 2 * square(32, 3) + (32 * 3 + 3)
    assert count(only["generator"]) == 8 * square(128, 3) + 8 * perceptron + image
    judge = (3 * 32 + 32) + 3 * square(32, 3) + (9 * 32 * 64 + 64) + 8 * square(64, 3) + (64 + 1)
    assert count(only["discriminator"]) == 3 * judge
    assert count(only["fine"]) == 513 * 751
    assert count(only["teacher"]) == 0  # buffers


def test_codes_are_maxima_of_stripes():
    features = draw(2, 3, 8, 2)
    expected = np.array(
        [[[features[b, c, 2 * k : 2 * k + 2].max() for c in range(3)] for k in range(4)] for b in range(2)]
    )
    np.testing.assert_array_equal(appearance_codes(features), expected)
    torch.testing.assert_close(appearance_codes(features[:, :, :2])[:, 1], features[:, :, 0].amax(dim=2))


def test_the_next_image_of_a_person():
    assert next_of_same(torch.tensor([5, 5, 5, 2, 9, 2])).tolist() == [1, 2, 0, 5, 4, 3]


@pytest.mark.parametrize("size", [(128, 64), (64, 32)])
def test_a_generated_image_has_the_size_of_the_structure_and_depends_on_the_appearance(size):
    torch.manual_seed(0)
    structure, generator = StructureEncoder(4), Generator(4, 6)
    images, codes = draw(2, 3, *size), draw(2, 4, 6, seed=1)
    code = structure(images)
    assert code.shape == (2, 32, size[0] // 4, size[1] // 4)
    made = generator(code, codes)
    assert made.shape == images.shape
    torch.testing.assert_close(generator(code.flip(0), codes.flip(0)), made.flip(0))
    for number in range(4):
        changed = codes.clone()
        changed[0, number] += 1
        other = generator(code, changed)
        assert not torch.allclose(other[0], made[0], atol=1e-4)
        torch.testing.assert_close(other[1], made[1])
    torch.testing.assert_close(structure(images), structure(images.mean(1, keepdim=True).expand(-1, 3, -1, -1)))


class Judge(nn.Module):
    """One score for each image, linear in it, so that the gradient is the weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(draw(3, 4, 2, seed=7))

    def forward(self, images):
        return [(images * self.weight).sum(dim=(1, 2, 3)), 2 * (images * self.weight).sum(dim=(1, 2, 3))]


def test_losses_of_generator_and_discriminator_are_least_squares():
    judge, generated, real = Judge(), draw(2, 3, 4, 2).requires_grad_(), draw(2, 3, 4, 2, seed=1)
    weight = judge.weight.detach()
    fake_scores = [float((image * weight).sum()) for image in generated.detach()]
    real_scores = [float((image * weight).sum()) for image in real]
    deceived = sum(np.mean([2 * (scale * score - 1) ** 2 for score in fake_scores]) for scale in (1, 2))
    assert deception_loss(judge, generated).item() == pytest.approx(deceived, rel=1e-5)
    squares = float(weight.square().sum())
    judged = sum(
        np.mean([(scale * score) ** 2 for score in fake_scores])
        + np.mean([(scale * score - 1) ** 2 for score in real_scores])
        + 0.01 * scale**2 * squares
        for scale in (1, 2)
    )
    assert judgment_loss(judge, generated.detach(), real).item() == pytest.approx(judged, rel=1e-5)
    deception_loss(judge, generated).backward()
    assert generated.grad.any()
    assert judge.weight.grad is None


class Structure(nn.Module):
    def forward(self, images):
        return images[:, :, ::4, ::4]


class Paint(nn.Module):
    def forward(self, structure, codes):
        return F.interpolate(structure, scale_factor=4) * 0.5 + codes.mean(dim=(1, 2))[:, None, None, None]


class Mean(nn.Module):
    def forward(self, images):
        return [images.mean(dim=(1, 2, 3))]


def test_the_sum_of_all_losses_image_by_image():
    """Simple networks in place of the learned ones, and an encoder in evaluation mode: every image is by itself."""
    network = small()
    only = network.pooling.training_only
    only["structure"], only["generator"], only["discriminator"] = Structure(), Paint(), Mean()
    network.backbone.eval()
    network.part_necks.eval()
    for classifier in (only["fine"], network.part_necks[0].classifier):  # logits far from even
        nn.init.normal_(classifier.weight, std=30)
    network.progress = 0.3 + 0.03  # weight 1 of codes, 1.5 of cycles and labels
    images, labels = draw(9, 3, 64, 32), torch.arange(9) // 3
    with torch.no_grad():
        features = network.backbone(images)

    def encode(picture):
        with torch.no_grad():
            made = network.backbone(picture[None])
            pooled = made.amax(dim=(2, 3))
            fine = only["fine"](network.part_necks[1](pooled)[0])
            return appearance_codes(made)[0], network.part_necks[0](pooled)[1][0], fine[0]

    def paint(structure, codes):
        return Paint()(structure[None], codes[None])[0]

    def difference(first, second):
        return float((first - second).abs().mean())

    def entropy(logits, label):
        return float(-logits.log_softmax(dim=0)[label])

    structure, codes = Structure()(images), appearance_codes(features)
    made = [paint(structure[(i + 4) % 9], codes[i]) for i in range(9)]
    terms = []
    for i in range(9):
        made_codes, logits, fine = encode(made[i])
        swapped = made[(i - 4) % 9]  # has the structure of image i
        terms.append(
            5 * difference(paint(structure[i], codes[i]), images[i])
            + 5 * difference(paint(structure[i], codes[i - i % 3 + (i + 1) % 3]), images[i])
            + 0.5 * entropy(logits, labels[i])
            + 2 * (float(made[i].mean()) - 1) ** 2
            + float(made[i].mean()) ** 2
            + (float(images[i].mean()) - 1) ** 2
            + 0.01 / (3 * 64 * 32)
            + difference(made_codes, codes[i])
            + difference(Structure()(made[i][None])[0], structure[(i + 4) % 9])
            + 1.5 * difference(paint(Structure()(swapped[None])[0], made_codes), images[i])
        )
        mirrored = encode(made[i].flip(-1))[1]
        teacher = (logits.softmax(dim=0) + mirrored.softmax(dim=0)) / 2  # its weights are the encoder's
        divergence = float((teacher * (teacher.log() - logits.log_softmax(dim=0))).sum())
        seen = entropy(fine, labels[(i + 4) % 9]) + entropy(encode(images[i])[2], labels[i])
        terms[-1] += 1.5 * (divergence + 0.2 * seen)
    loss = network.pooling.image_loss(network, images, features, labels)
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-4)


def test_only_the_first_images_are_generated_and_all_are_learned():
    """Oracle: the loss of a batch of the first four, plus the fine-grained identities of eight."""
    network = small(generated_images=4)
    network.backbone.eval()
    network.part_necks.eval()
    images = draw(8, 3, 64, 32)
    features, pooling = network.backbone(images), network.pooling
    before = pooling.image_loss(network, images, features, LABELS)
    torch.testing.assert_close(before, pooling.image_loss(network, images[:4], features[:4], LABELS[:4]))
    network.progress = 1.0
    losses = []
    for rows in (slice(4), slice(8)):
        torch.manual_seed(0)
        vectors = network.part_necks[1](features[rows].amax(dim=(2, 3)))[0]
        fine = F.cross_entropy(pooling.training_only["fine"](vectors), LABELS[rows])
        losses.append(pooling.image_loss(network, images[rows], features[rows], LABELS[rows]) - 2 * 0.2 * fine)
    torch.testing.assert_close(losses[0], losses[1])


def test_generated_images_do_not_train_the_encoder_before_their_time_and_the_discriminator_learns_from_its_loss_alone():
    images, network = draw(8, 3, 64, 32), small()
    network(images, LABELS).own_loss.backward()
    encoder = [*network.backbone.parameters(), *network.part_necks.parameters()]
    assert not any(parameter.grad is not None and parameter.grad.any() for parameter in encoder)
    judge, gradients = network.pooling.training_only["discriminator"], []
    found = [parameter.grad.clone() for parameter in judge.parameters()]
    only = network.pooling.training_only
    with torch.no_grad():
        codes = appearance_codes(network.backbone(images))
        generated = only["generator"](only["structure"](images).roll(-4, dims=0), codes)
    judge.zero_grad()
    judgment_loss(judge, generated, images).backward()
    gradients = [parameter.grad for parameter in judge.parameters()]
    for one, other in zip(found, gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_convnext"])
def test_gradient_reaches_every_parameter(backbone):
    network = small(backbone=backbone)
    network.progress = 0.5
    assert_gradient_reaches_all(network, Losses(identity={"weight": 1.0, "label_smoothing": 0.0}))


def test_the_teacher_is_the_encoder_at_the_beginning_and_does_not_learn():
    network, images = small(), draw(8, 3, 64, 32)
    teacher = network.pooling.training_only["teacher"]
    network.progress = 0.2
    network(images, LABELS)
    assert not teacher.is_set
    weight = network.part_necks[0].classifier.weight
    kept = weight.detach().clone()
    network.progress = 0.4
    network(images, LABELS)
    assert teacher.is_set
    nn.init.ones_(weight)
    network(images, LABELS)
    assert torch.equal(teacher.primary__classifier__weight, kept)


def test_a_checkpoint_holds_the_generator_and_the_teacher_and_a_saved_model_neither(tmp_path):
    recipe = load_recipe("dgnet", overrides=[*SMALL, *TINY])
    people = join_training(load_data(SIMPLE))
    network, state = training_state(recipe, people.identities, ALONE)
    network.progress = 0.5
    batch = next(training_loader(recipe, people, ALONE).epoch(0))
    network.train()(batch.images, batch.labels).own_loss.backward()
    state.optimizer.step()
    save_checkpoint(tmp_path / "state.safetensors", state)
    again, other = training_state(recipe, people.identities, ALONE, initialize=False)
    load_checkpoint(tmp_path / "state.safetensors", other)
    tensors = again.state_dict()
    assert all(torch.equal(value, tensors[key]) for key, value in network.state_dict().items())
    assert again.pooling.training_only["teacher"].is_set
    network.forget_training()
    save_model(tmp_path, network, {})
    loaded = dgnet("test_resnet", identities=people.identities, weights=tmp_path / "model.safetensors", last_stride=2)
    assert loaded.state_dict().keys() == network.state_dict().keys()
    torch.testing.assert_close(loaded.part_necks[0].reduce.weight, network.part_necks[0].reduce.weight)


def test_the_losses_of_the_recipe_fall_on_a_fixed_batch_of_rendered_people():
    values = assert_recipe_lowers_its_loss("dgnet", *TINY, rate=2e-3)
    assert values[0].keys() == {"identity", "own", "loss"}
    assert values[-1]["own"] < 0.8 * values[0]["own"]


def test_sizes_widths_and_missing_classifiers_are_named():
    with pytest.raises(RecipeError, match=r"images\.size: got \[66, 32\], expected multiples of 4"):
        small()(draw(8, 3, 66, 32), LABELS)
    with pytest.raises(RecipeError, match="dgnet: call the network's prepare_training"):
        dgnet("test_resnet", identities=4).train()(draw(8, 3, 64, 32), LABELS)
    with pytest.raises(RecipeError, match=r"loss\.identity: dgnet labels generated images by its classifiers"):
        dgnet("test_resnet").prepare_training()
    with pytest.raises(RecipeError, match=r"model\.generated_images: got 2, expected 4 or more"):
        dgnet("test_resnet", generated_images=2)
    with pytest.raises(RecipeError, match=r"model\.generator_width: got 2, expected 4 to 64"):
        dgnet("test_resnet", generator_width=2)
