"""FastReID and the strong baseline. Oracle: golden vectors of their own code, `python -m tools.peers`."""

import pytest

from importers.peer_files import assert_same_vectors, cases, import_case

EXPECTED = {
    ("fastreid", "bot_R50"): ("fastreid_resnet50", "average-bn", 1),
    ("fastreid", "bot_R50-ibn"): ("fastreid_resnet50_ibn", "average-bn", 1),
    ("fastreid", "bot_R50_512"): ("fastreid_resnet50", "average-fc512-bn", 1),
    ("fastreid", "sbs_R50"): ("fastreid_resnet50_nl", "gem-bn", 1),
    ("fastreid", "sbs_R50-ibn"): ("fastreid_resnet50_ibn_nl", "gem-bn", 1),
    ("fastreid", "sbs_R101-ibn"): ("fastreid_resnet101_ibn_nl", "gem-bn", 1),
    ("strong-baseline", "resnet50"): ("baseline_resnet50", "average-bn", 1),
    ("strong-baseline", "resnet50_ibn_a"): ("resnet50_ibn", "average-bn", 1),
}


@pytest.mark.parametrize(("toolkit", "case"), EXPECTED)
def test_an_imported_network_embeds_as_its_toolkit_does(toolkit, case, tmp_path):
    size = (64, 32)
    model = import_case(toolkit, case, tmp_path, size=size)
    assert model.family == toolkit
    assert (model.model["backbone"], model.model["head"], model.model["last_stride"]) == EXPECTED[toolkit, case]
    assert_same_vectors(toolkit, case, tmp_path / "run", size=size)


@pytest.mark.parametrize("toolkit", ["fastreid", "strong-baseline"])
def test_every_golden_network_is_tested(toolkit):
    assert {case for family, case in EXPECTED if family == toolkit} == set(cases(toolkit))
