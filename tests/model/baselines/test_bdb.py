"""BDB. Oracles: which places of a map are zero, the branches written out, and parameters counted by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from passerby.errors import RecipeError
from passerby.model.baselines.bdb import BatchDrop, bdb
from passerby.model.info import model_info
from passerby.training.loop import seed_step

META = torch.device("meta")


def images(batch=3, size=(128, 64)):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


@given(
    st.integers(0, 1000),
    st.tuples(st.integers(2, 24), st.integers(2, 8)),
    st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
)
def test_one_block_of_that_size_is_zero_in_every_image_and_channel(seed, size, share):
    torch.manual_seed(seed)
    dropped = BatchDrop(height=share[0], width=share[1]).train()(torch.ones(3, 2, *size)) == 0
    assert (dropped == dropped[0, 0]).all()
    rows, columns = dropped[0, 0].any(dim=1).nonzero().flatten(), dropped[0, 0].any(dim=0).nonzero().flatten()
    block = [round(share[0] * size[0]), round(share[1] * size[1])]
    if 0 not in block:
        assert [len(rows), len(columns)] == block
        assert dropped[0, 0, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert dropped[0, 0].sum() == block[0] * block[1]


def test_every_place_is_dropped_at_times_and_none_in_evaluation():
    """The paper's block on a map of 24 x 8: 7 rows, full width, at 18 places."""
    torch.manual_seed(0)
    drop, ones = BatchDrop(height=0.3, width=1.0).train(), torch.ones(1, 1, 24, 8)
    first = [int((drop(ones) == 0)[0, 0, :, 0].nonzero()[0]) for _ in range(400)]
    assert sorted(set(first)) == list(range(18))
    assert torch.equal(drop.eval()(ones), ones)


def test_the_dropped_block_depends_on_the_step():
    """As of drop path: what a step draws is a function of seed, step and rank, so that a resumed run draws it too."""
    drop, ones = BatchDrop(height=0.3, width=1.0).train(), torch.ones(1, 1, 24, 8)
    drawn = []
    for step in (5, 6, 7, 8, 5):
        seed_step(0, step, 0)
        drawn.append(int((drop(ones) == 0)[0, 0, :, 0].nonzero()[0]))
    assert drawn[0] == drawn[-1]
    assert len(set(drawn)) > 1


def test_branches_are_the_average_and_the_maximum_behind_the_bottleneck():
    """Oracle: the network's own pieces, written out; each branch and then the whole to unit length."""
    torch.manual_seed(0)
    network = bdb("resnet18", identities=5).eval()
    output = network(images())
    features = network.backbone(images())
    pooled = [features.mean(dim=(2, 3)), network.pooling.bottleneck(features).flatten(2).max(dim=2).values]
    necks = network.part_necks
    vectors = [torch.relu(neck.norm(neck.reduce(each))) for neck, each in zip(necks, pooled, strict=True)]
    assert [each.shape for each in vectors] == [(3, 512), (3, 1024)]
    torch.testing.assert_close(output.branches, tuple(vectors))
    units = torch.cat([each / each.norm(dim=1, keepdim=True) for each in vectors], dim=1) / 2**0.5
    torch.testing.assert_close(output.embedding, units)
    torch.testing.assert_close(output.logits[1], necks[1].classifier(vectors[1]))


def test_parameters_are_those_of_resnet_50_a_bottleneck_and_two_reductions():
    with META:
        info = model_info(bdb(identities=751), size=(384, 128))
    bottleneck = 2048 * 512 + 9 * 512 * 512 + 512 * 2048 + 2 * (512 + 512 + 2048)
    reductions = 2048 * 512 + 2 * 512 + 2048 * 1024 + 2 * 1024
    assert info.map == (2048, 24, 8)
    assert info.parameters["backbone"] == 23_508_032
    assert info.parameters["parts"] == bottleneck + reductions
    assert info.parameters["classifiers"] == (512 + 1024 + 2) * 751
    assert info.embedding_width == 512 + 1024


def test_every_parameter_learns_and_the_dropped_block_does_not_count():
    network = bdb("resnet18", identities=5, drop_height=0.5)
    seen = {}
    network.pooling.drop.register_forward_hook(lambda _module, given, made: seen.update(given=given[0], made=made))
    network.pooling.bottleneck.register_forward_hook(lambda _module, _given, made: made.retain_grad())
    output = network(images())
    sum(each.logsumexp(1).sum() for each in output.logits).backward()
    assert [key for key, each in network.named_parameters() if each.grad is None] == []
    gone = (seen["made"] == 0).all(dim=1).all(dim=0)  # (H, W)
    assert gone.sum() == gone.numel() // 2
    assert not seen["given"].grad[:, :, gone].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop_height": 0}, "model.drop_height: got 0, expected above 0 to 1"),
        ({"drop_width": 1.5}, "model.drop_width: got 1.5, expected above 0 to 1"),
        (
            {"drop_height": 1},
            "model.drop_height: got 1, expected below 1, as drop_width is 1: the whole map",
        ),
        ({"last_stride": 3}, "model.last_stride: got 3"),
    ],
)
def test_an_impossible_value_is_named(options, message):
    with META, pytest.raises(RecipeError, match=message):
        bdb("resnet18", **options)
