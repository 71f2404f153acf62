"""TransReID and CLIP-ReID. Oracle: golden vectors of their own code, of ViTs with fewer blocks in TransReID's case."""

import pytest
import torch

import passerby
from importers.peer_files import assert_same_vectors, cases, import_case, peer_state, write
from passerby.errors import WeightsError

EXPECTED = {
    ("transreid", "vit"): ("transreid_vit_768x2_s16_256x128", "token-bn"),
    ("transreid", "vit_stride12"): ("transreid_vit_768x2_s12_256x128", "token-bn"),
    ("transreid", "vit_sie"): ("transreid_vit_768x2_s16_256x128", "token-bn"),
    ("transreid", "vit_jpm"): ("transreid_vit_768x2_s16_256x128", "jigsaw-bn"),
    ("transreid", "vit_jpm_sie_stride12"): ("transreid_vit_768x2_s12_256x128", "jigsaw-bn"),
    ("clip-reid", "vit"): ("clip_vit_768x12_s16_256x128", "clip512-bn"),
    ("clip-reid", "resnet50"): ("clip_resnet50_256x128", "clip1024-bn"),
}


@pytest.mark.parametrize(("toolkit", "case"), EXPECTED)
def test_an_imported_network_embeds_as_its_toolkit_does(toolkit, case, tmp_path):
    model = import_case(toolkit, case, tmp_path)
    assert model.family == toolkit
    assert (model.model["backbone"], model.model["head"]) == EXPECTED[toolkit, case]
    assert ("cameras" in model.assumed) == ("sie" in case)
    assert_same_vectors(toolkit, case, tmp_path / "run", size=(256, 128))


@pytest.mark.parametrize("toolkit", ["transreid", "clip-reid"])
def test_every_golden_network_is_tested(toolkit):
    assert {case for family, case in EXPECTED if family == toolkit} == set(cases(toolkit))


def test_soliders_swin_embeds_as_solider_does(tmp_path):
    """Oracle: SOLIDER's own Swin-T; 160 x 64 leaves incomplete windows in every stage."""
    model = import_case("solider", "tiny", tmp_path, size=(160, 64))
    assert (model.model["backbone"], model.model["head"]) == ("solider_swin_tiny", "average-bn")
    assert "semantic_weight" in model.assumed
    assert_same_vectors("solider", "tiny", tmp_path / "run", size=(160, 64))


def test_with_parts_the_last_block_of_the_trunk_is_listed_as_unused(tmp_path):
    """The jigsaw head has copies of that block, which alone are used at test."""
    model = import_case("transreid", "vit_jpm", tmp_path)
    assert {"base.norm.weight", "base.blocks.1.attn.qkv.weight"} <= set(model.dropped)
    others = [
        name
        for name in model.dropped
        if not name.startswith(("classifier", "base.fc.", "base.norm.", "base.blocks.1."))
    ]
    assert others == []


@pytest.mark.parametrize("case", ["vit", "vit_jpm"])
@pytest.mark.parametrize("name", ["base.blocks.0.norm1.weight", "base.patch_embed.proj.bias"])
def test_a_tensor_of_the_trunk_that_is_absent_is_named(case, name, tmp_path):
    state = {key: value for key, value in peer_state("transreid", case).items() if key != name}
    with pytest.raises(WeightsError, match=rf"1 missing: backbone\.net\.{name.removeprefix('base.')}"):
        passerby.import_model(write(state, tmp_path / "a.safetensors"), tmp_path / "run")


@pytest.mark.parametrize("name", ["base.extra.weight", "base.blocks.0.extra.weight", "b3.0.norm1.weight"])
def test_a_tensor_without_a_place_is_not_dropped(name, tmp_path):
    state = peer_state("transreid", "vit_jpm") | {name: torch.zeros(2)}
    with pytest.raises(WeightsError, match=r"1 unexpected: "):
        passerby.import_model(write(state, tmp_path / "a.safetensors"), tmp_path / "run")
