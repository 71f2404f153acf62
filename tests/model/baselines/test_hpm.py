"""HPM. Oracles: a loop over the bins of a map, and parameters counted by hand."""

import pytest
import torch

from passerby.errors import RecipeError
from passerby.model.baselines.hpm import Pyramid, hpm
from passerby.model.info import model_info

META = torch.device("meta")


def images(batch=3, size=(128, 64)):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("height", [8, 16, 24])
def test_each_bin_is_its_average_plus_its_maximum(height):
    features = torch.randn(2, 3, height, 4, generator=torch.Generator().manual_seed(0))
    expected = []
    for bins in (1, 2, 4, 8):
        rows = height // bins
        for number in range(bins):
            stripe = features[:, :, number * rows : (number + 1) * rows].flatten(2)
            expected.append(stripe.mean(dim=2) + stripe.max(dim=2).values)
    torch.testing.assert_close(Pyramid()(features), torch.stack(expected, dim=1))
    assert len(expected) == 15


def test_a_map_of_fewer_rows_than_bins_has_no_empty_bin():
    assert Pyramid()(torch.rand(1, 2, 3, 2)).isfinite().all()


def test_parameters_are_those_of_resnet_50_and_fifteen_reductions():
    """The reductions of a 384 x 128 image's map of 24 x 8, as the paper has it; 751 identities as in Market-1501."""
    with META:
        info = model_info(hpm(identities=751), size=(384, 128))
    assert info.map == (2048, 24, 8)
    assert info.parameters["backbone"] == 23_508_032
    assert info.parameters["parts"] == 15 * (2048 * 256 + 2 * 256)
    assert info.parameters["classifiers"] == 15 * (256 * 751 + 751)
    assert info.embedding_width == 15 * 256


@pytest.mark.parametrize(("embedding", "width"), [("reduced", 16), ("full", 512)])
def test_every_bin_has_a_classifier_and_its_piece_of_the_embedding(embedding, width):
    network = hpm("resnet18", identities=5, part_dim=16, embedding=embedding)
    for mode in (True, False):
        output = network.train(mode)(images())
        assert output.embedding.shape == (3, 15 * width)
        assert [each.shape for each in output.logits] == [(3, 5)] * 15
        assert output.parts.shape == (3, 15, 512)
        assert output.assignment is None
        assert output.branches == ()
    assert network.part_names[:4] == ("1/1", "1/2", "2/2", "1/4")
    assert len(network.part_names) == len(network.embedding_parts) == 15


def test_every_parameter_learns():
    network = hpm("resnet18", identities=5, part_dim=16)
    sum(each.logsumexp(1).sum() for each in network(images()).logits).backward()
    assert [key for key, each in network.named_parameters() if each.grad is None] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part_dim": 0}, "model.part_dim: got 0, expected 1 or more"),
        ({"identities": -1}, "model.identities"),
        ({"embedding": "both"}, "model.embedding: got 'both'"),
        ({"last_stride": 3}, "model.last_stride: got 3"),
    ],
)
def test_an_impossible_value_is_named(options, message):
    with META, pytest.raises(RecipeError, match=message):
        hpm("resnet18", **options)
