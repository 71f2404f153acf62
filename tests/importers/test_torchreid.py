"""Torchreid's networks. Oracle: golden vectors of Torchreid 0.2.5's own code, `python -m tools.peers torchreid`."""

import pytest

from importers.peer_files import assert_same_vectors, cases, import_case

SIZE = (64, 32)
HEADS = {"resnet50": "average", "resnet18": "average", "mobilenetv2_x1_0": "average", "mobilenetv2_x1_4": "average"}


@pytest.mark.parametrize("case", cases("torchreid"))
def test_an_imported_network_embeds_as_torchreid_does(case, tmp_path):
    model = import_case("torchreid", case, tmp_path, size=SIZE)
    assert model.model["backbone"] == case.removesuffix("_fc512")
    assert model.model["head"] == HEADS.get(case, "average-fc512-bn-relu")
    assert model.dropped == ("classifier.bias", "classifier.weight")
    assert_same_vectors("torchreid", case, tmp_path / "run", size=SIZE)
