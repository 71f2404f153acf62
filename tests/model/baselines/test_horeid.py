"""HOReID. Oracles: its equations node by node in loops, parameters by hand, pairs that a matching must tell apart."""

import math

import pytest
import torch
from torch.nn import functional as F

from passerby.losses.combine import Losses
from passerby.model.baselines.horeid import LINKS, NODES, DirectedGraphConv, GraphMatching, horeid, node_features
from passerby.model.body_estimator import Body
from passerby.model.info import model_info
from training_checks import assert_gradient_reaches_all, assert_recipe_lowers_its_loss

LOSSES = {
    "identity": {"weight": 28.0, "label_smoothing": 0.1},
    "triplet": {"weight": 2.0, "margin": 0.3},
}


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_parameters_are_those_of_resnet_50_28_necks_two_graph_convolutions_and_a_matching():
    with torch.device("meta"):
        info = model_info(horeid(identities=751), size=(256, 128))
    assert info.map == (2048, 16, 8)
    assert info.parameters["backbone"] == 23_508_032
    graph = 2 * (2 * 2048**2 + 3 * 2048)
    matching = 2 * 2049 * 1024 + 2 * 1025 * 1024 + 2 * 1024**2 + 2049 * 1024 + (14 * 2048 + 1)
    assert info.parameters["parts"] == 28 * 2 * 2048 + graph + matching
    assert info.parameters["classifiers"] == 28 * 2049 * 751
    assert info.embedding_width == 14 * 2048


def test_the_skeleton_links_every_local_node():
    assert len(NODES) == 14
    assert len(LINKS) == len(set(LINKS)) == 16
    assert {end for link in LINKS for end in link} == set(NODES) - {"whole"}


def test_nodes_are_pooled_by_their_heatmaps():
    features, heatmaps = noise(2, 5, 4, 2), torch.rand(2, 14, 4, 2, generator=torch.Generator().manual_seed(1))
    nodes, confidence = node_features(features, Body(heatmaps, torch.zeros(2, 7, 4, 2)))
    groups = [[0, 1], *([number] for number in range(2, 14))]
    for image in range(2):
        peaks = [sum(heatmaps[image, k].max() for k in group) / len(group) for group in groups]
        for node, group in enumerate(groups):
            heat = sum(heatmaps[image, k] for k in group)
            weight = torch.exp(10 * heat) / torch.exp(10 * heat).sum()
            expected = sum(weight[y, x] * features[image, :, y, x] for y in range(4) for x in range(2))
            torch.testing.assert_close(nodes[image, node], expected, atol=1e-5, rtol=1e-4)
            assert confidence[image, node].item() == pytest.approx((peaks[node] / sum(peaks)).item(), rel=1e-4)
        torch.testing.assert_close(
            nodes[image, 13], features[image].mean(dim=(1, 2)) + features[image].amax(dim=(1, 2))
        )
        assert confidence[image, 13] == 1


def test_directions_of_the_links_equal_their_equation():
    layer, nodes = DirectedGraphConv(6).eval(), noise(2, 14, 6)
    layer.norm.running_mean.uniform_(-1, 1), layer.norm.running_var.uniform_(0.5, 2)
    adjacency = layer.adjacency(nodes)
    norm, w = layer.norm, layer.direct.weight[0]
    for image in range(2):
        expected = torch.zeros(14, 14)
        distance = (nodes[image] - nodes[image, 13]).abs()
        for first, second in LINKS:
            i, j = NODES.index(first), NODES.index(second)
            gap = (15 * (distance[i] - distance[j]) - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
            d = 1 / (1 + math.exp(-20 * (w @ gap).item()))
            expected[i, j], expected[j, i] = 2 * d, 2 * (1 - d)
        expected[:, 13] = 1
        torch.testing.assert_close(adjacency[image], expected / expected.sum(dim=1, keepdim=True), atol=1e-4, rtol=1e-3)
    output = layer(nodes)
    merged = F.relu(adjacency @ nodes @ layer.merged.weight.T)
    torch.testing.assert_close(output, merged + nodes @ layer.own.weight.T, atol=1e-5, rtol=1e-4)


def test_the_global_node_takes_up_nothing():
    adjacency = DirectedGraphConv(6).eval().adjacency(noise(1, 14, 6))
    torch.testing.assert_close(adjacency[0, 13], F.one_hot(torch.tensor(13), 14).float())


def test_the_embedding_is_that_of_the_graph_weighted_by_confidence():
    network = horeid("test_resnet", identities=3).eval()
    with torch.no_grad():
        output = network(noise(2, 3, 128, 64))
        related = [F.normalize(neck.norm(output.parts[:, 14 + n])) for n, neck in enumerate(network.part_necks[14:])]
        weighted = [vector * output.weights[:, 14 + n, None].sqrt() for n, vector in enumerate(related)]
    torch.testing.assert_close(output.embedding, F.normalize(torch.cat(weighted, dim=1)), atol=1e-5, rtol=1e-4)
    assert output.embedding.shape[1] == network.embedding_width == 14 * 96
    assert len(output.branches) == 2
    assert network.part_names[:3] == ("head", "R shoulder", "R elbow")


def test_identity_losses_are_weighted_by_confidence():
    network, labels = horeid("test_resnet", identities=3).eval(), torch.tensor([0, 2])
    output = network(noise(2, 3, 128, 64))
    _, named = Losses(identity={"weight": 1.0, "label_smoothing": 0.0})(output, labels)
    expected = 0.0
    for part, scores in enumerate(output.logits):
        for image in range(2):
            value = -scores[image].log_softmax(dim=0)[labels[image]]
            expected = expected + output.weights[image, part] * value
    torch.testing.assert_close(named["identity"], expected / (2 * 28), atol=1e-5, rtol=1e-4)


def test_matches_are_doubly_stochastic_and_pairs_symmetric():
    matching = GraphMatching(8, 4).eval()
    first, second = noise(3, 14, 8), noise(3, 14, 8, seed=1)
    match, _ = matching(first, second)
    torch.testing.assert_close(match.sum(dim=2), torch.ones(3, 14), atol=1e-4, rtol=0)
    torch.testing.assert_close(match.sum(dim=1), torch.ones(3, 14), atol=0.1, rtol=0)
    flat = [nodes.flatten(1) for nodes in (first, second)]
    probability = matching.verify(*flat)
    assert probability.shape == (3,)
    torch.testing.assert_close(matching.verify(flat[0], 5 * flat[1]), probability)  # vectors of any length


def test_the_matching_learns_to_tell_pairs_apart_and_moves_no_vector():
    """Oracle: four people whose nodes are fixed vectors with noise; positives must be accepted, negatives refused."""
    torch.manual_seed(0)
    pooling = horeid("test_resnet").pooling
    people = noise(4, 14, 96)
    labels = torch.arange(4).repeat_interleave(2)
    nodes = (people[labels] + 0.3 * noise(8, 14, 96, seed=1)).requires_grad_()
    optimizer = torch.optim.Adam(pooling.matching.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = pooling.matching_loss(nodes, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert nodes.grad is None
    assert losses[-1] < 0.5 * losses[0]
    flat = nodes.detach().flatten(1)
    assert (
        pooling.matching.verify(flat[0::2], flat[1::2]).min()
        > pooling.matching.verify(flat[0::2], flat[1::2].roll(1, 0)).max()
    )


def test_pairs_are_the_farthest_positive_and_the_nearest_negative(monkeypatch):
    """Oracle: global nodes on a circle, at these angles in degrees."""
    pooling, seen = horeid("test_resnet").pooling, []
    angles = torch.deg2rad(torch.tensor([0.0, 10.0, 50.0, 60.0, 180.0]))
    nodes = noise(5, 14, 2)
    nodes[:, -1] = torch.stack([angles.cos(), angles.sin()], dim=1)

    def match(first, second):
        seen.append(second)
        return torch.full((5, 14, 14), 1 / 14), torch.zeros(5)

    monkeypatch.setattr(pooling.matching, "forward", match)
    pooling.matching_loss(nodes, torch.tensor([0, 0, 0, 1, 1]))
    assert torch.equal(seen[0], nodes[[2, 2, 0, 4, 3]])
    assert torch.equal(seen[1], nodes[[3, 3, 3, 2, 2]])


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0, 0, 0, 0], [0, 0, 1, 1]])
def test_the_matching_loss_is_finite_without_positives_or_negatives(labels):
    pooling = horeid("test_resnet").pooling
    assert pooling.matching_loss(noise(4, 14, 96), torch.tensor(labels)).isfinite()


def test_gradients_reach_every_parameter_and_not_the_estimator():
    network = horeid("test_resnet", identities=4)
    assert_gradient_reaches_all(network, Losses(**LOSSES))
    assert not any(buffer.requires_grad for buffer in network.pooling.body.buffers())


def test_the_losses_of_the_recipe_fall_on_a_fixed_batch_of_rendered_people():
    values = assert_recipe_lowers_its_loss("horeid", rate=3e-3, factor=0.8)
    assert values[-1]["own"] < values[0]["own"]
