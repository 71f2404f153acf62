"""layumi's networks. Oracle: golden vectors of its own code, `python -m tools.peers layumi`."""

import pytest

from importers.peer_files import assert_same_vectors, cases, import_case, peer_shapes
from passerby.importers.ft_net import LAYUMI

EXPECTED = {
    "ft_net": ("resnet50", "average-fc512-bn", 2),
    "ft_net_no_linear": ("resnet50", "average-bn", 2),
    "ft_net_dense": ("layumi_densenet121", "average-fc512-bn", 2),
    "ft_net_swin": ("swin_base_patch4_window7_224", "average-fc512-bn", 2),
    "ft_net_swinv2": ("layumi_swinv2_base", "average-fc512-bn", 2),
    "ft_net_convnext": ("layumi_convnext_base", "average-fc512-bn", 2),
    "ft_net_hr": ("hrnet_w18", "average-fc512-bn", 2),
    "ft_net_efficient": ("layumi_efficientnet_b4", "average-fc512-bn", 2),
    "pcb": ("resnet50", "stripes6", 1),
}
SIZES = {"pcb": (96, 32), "ft_net_swin": (224, 224), "ft_net_swinv2": (256, 128), "ft_net_efficient": (72, 40)}


@pytest.mark.parametrize("case", EXPECTED)
def test_an_imported_network_embeds_as_layumis_does(case, tmp_path):
    size = SIZES.get(case, (64, 32))
    model = import_case("layumi", case, tmp_path, size=size)
    assert model.family == "layumi"
    assert (model.model["backbone"], model.model["head"], model.model["last_stride"]) == EXPECTED[case]
    assert_same_vectors("layumi", case, tmp_path / "run", size=size)


def test_every_golden_network_is_tested():
    assert set(EXPECTED) == set(cases("layumi"))


@pytest.mark.parametrize("case", ["ft_net_swin", "ft_net_swinv2"])
def test_a_checkpoint_of_an_earlier_timm_has_other_numbers_for_the_reductions(case):
    """timm 0.6 counted a reduction to the stage before it."""
    shapes = {name: tuple(shape) for name, shape in peer_shapes("layumi", case)}
    earlier = {
        name.replace(f"layers.{stage + 1}.downsample", f"layers.{stage}.downsample"): shape
        for name, shape in shapes.items()
        for stage in (int(name.split(".")[2]) - 1 if ".downsample." in name else 0,)
    }
    assert "model.layers.0.downsample.reduction.weight" in earlier
    now, then = LAYUMI.recognize(shapes), LAYUMI.recognize(earlier)
    assert {now.rename(name) for name in shapes} == {then.rename(name) for name in earlier}
