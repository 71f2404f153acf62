import pytest
import torch

from passerby.errors import RecipeError
from passerby.model.convnext_ap import convnext_ap
from passerby.model.info import model_info, variants_info
from passerby.recipe import load_recipe


@pytest.fixture(scope="module")
def paper():
    recipe = load_recipe("convnext-ap")
    return variants_info(recipe.model.model_dump(), identities=751, size=recipe.images.size)


def test_the_papers_recipe_has_the_papers_accounting(paper):
    """Oracle: the reference's table of what must come out, and its sum written out."""
    parts = 6 * (1024 * 256 + 2 * 256) + 1024 * 6
    classifiers = 6 * (256 * 751 + 751)
    ap = paper["AP"]
    assert ap.parameters == {
        "backbone": 87_566_464,
        "attention": 0,
        "parts": parts,
        "classifiers": classifiers,
        "head": parts + classifiers,
        "total": 87_566_464 + parts + classifiers,
    }
    assert f"{ap.parameters['head'] / 1e6:.3f}" == "2.740"
    assert f"{ap.multiply_adds['backbone'] / 1e9:.2f}" == "10.03"
    assert f"{ap.multiply_adds['total'] / 1e9:.2f}" == "10.03"
    assert (ap.embedding_width, ap.map, ap.size) == (6 * 256, (1024, 8, 4), (256, 128))


def test_attention_costs_no_parameter_and_no_multiply_add(paper):
    assert paper["A"].parameters == paper["Baseline"].parameters
    assert paper["A"].multiply_adds == paper["Baseline"].multiply_adds
    assert paper["AP"].parameters == paper["P"].parameters
    assert [info.attended_blocks for info in paper.values()] == [0, 36, 0, 36]


def test_multiply_adds_of_the_head_are_those_counted_by_hand(paper):
    """Oracle: products of the sizes; the part classifier and the pooling run over 8 x 4 positions."""
    assert paper["AP"].multiply_adds["classifiers"] == 6 * 256 * 751
    assert paper["AP"].multiply_adds["parts"] == 6 * 1024 * 256 + 2 * (6 * 1024 * 32)
    assert paper["P"].multiply_adds["total"] == sum(
        paper["P"].multiply_adds[piece] for piece in ("backbone", "attention", "parts", "classifiers")
    )


def test_a_network_in_use_is_counted_and_left_as_it_was():
    network = convnext_ap("convnext_zepto_rms", identities=3, parts=2, part_dim=8).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    info = model_info(network, size=(64, 32))
    assert info.parameters["total"] == sum(p.numel() for p in network.parameters())
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_plain_baseline_is_counted():
    found = variants_info({"backbone": "resnet50", "attention": False}, identities=0, size=(256, 128))
    assert list(found) == ["Baseline", "P"]
    assert found["Baseline"].parameters["backbone"] == 23_508_032  # ResNet-50 without its classifier
    assert found["Baseline"].parameters["classifiers"] == 0


def test_an_unknown_backbone_is_an_error():
    with pytest.raises(RecipeError, match="convnext_bas"):
        variants_info({"backbone": "convnext_bas"}, identities=0, size=(256, 128))
