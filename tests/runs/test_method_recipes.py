"""The recipes of other methods. Oracles: published parameter counts, heads counted by hand, the papers' numbers."""

import math

import pytest
import torch

from conftest import SIMPLE
from passerby.data.datasets import load_data
from passerby.data.training_set import join_training
from passerby.distributed import Process
from passerby.model.info import model_info
from passerby.model.methods import build_model
from passerby.recipe import load_recipe
from passerby.runs.arguments import model_arguments
from passerby.runs.assemble import training_loader, training_state, training_steps

IDENTITIES = 751
RESNET = 25_557_032 - (2048 * 1000 + 1000)
CONVNEXT = 88_591_464 - (1024 * 1000 + 1000)
SWIN = 87_768_224 - (1024 * 1000 + 1000)
VIT = 86_567_656 - (768 * 1000 + 1000)
"""Of timm's networks with ImageNet's classifier (25.6, 88.6, 87.8 and 86.6 million), without it."""


def neck(channels, width=None):
    """Reduction (if any), batch norm, classifier."""
    out = width or channels
    return (channels * width if width else 0) + 2 * out + (out + 1) * IDENTITIES


COUNTS = {
    "pcb": (RESNET, 6 * neck(2048, 256)),
    "pcb-rpp": (RESNET, 6 * neck(2048, 256) + 6 * 2048),
    "strong-reid": (RESNET, neck(2048)),
    "hpm": (RESNET, 15 * neck(2048, 256)),
    "bdb": (
        RESNET,
        (2 * 2048 * 512 + 9 * 512 * 512 + 2 * (512 + 512 + 2048)) + neck(2048, 512) + neck(2048, 1024),
    ),
    "scpnet": (RESNET, 4 * (2048 * 2048 + 2048 + 2 * 2048) + 4 * 2049 * IDENTITIES),
    "ianet": (RESNET, 2 * 2 * (512 + 1024) + neck(2048)),
    "mhn": (
        RESNET,
        77 * 512 * 128 + 3 * (2049 * 256 + 2 * 256) + (256 * 128 + 129 * 128 + 4 * 128) + 18 * 257 * IDENTITIES,
    ),
    "cama": (RESNET + 2 * 14_964_736, 3 * 2049 * IDENTITIES),  # the last stage of ResNet-50 is counted in test_cama
    "cbn": (RESNET, neck(2048)),
    "dgnet": (RESNET, 2 * (2048 * 512 + 2 * 512) + 513 * IDENTITIES),
    "glad": (RESNET, 4 * neck(2048, 1024)),
    "maskreid": (
        RESNET,
        (9 * (3 * 32 + 32 * 32 + 32 * 64) + 2 * (32 + 32 + 64) + 129 * 64)  # the masked stream and its joining
        + (256 * (512 + 1024 + 2048) + 3 * 2 * 256)  # three levels
        + neck(768, 256),
    ),
    "spreid": (RESNET, (3 * 2048 + 1) * IDENTITIES),
    "horeid": (
        RESNET,
        28 * neck(2048)
        + 2 * (2 * 2048**2 + 3 * 2048)  # two graph convolutions
        + (2 * 2049 * 1024 + 2 * 1025 * 1024 + 2 * 1024**2 + 2049 * 1024)  # embedded nodes, affinities, crossing
        + (14 * 2048 + 1),
    ),
    "osnet": (1_905_828, neck(512, 512)),
    "osnet-x0-25": (134_792, neck(128, 512)),
    "plain-convnext": (CONVNEXT, neck(1024)),
    "plain-swin": (SWIN, neck(1024)),
    "plain-vit": (VIT, neck(768)),
}
"""Parameters of the backbone, and of all behind it. OSNet's are asserted against the paper in test_osnet."""

SMALL = {
    "pcb": "resnet18",
    "strong-reid": "resnet18",
    "hpm": "resnet18",
    "bdb": "resnet18",
    "scpnet": "resnet18",
    "ianet": "test_resnet",
    "dgnet": "test_resnet",
    "cbn": "test_resnet",
    "cama": "test_resnet",
    "mhn": "test_resnet",
    "glad": "test_resnet",
    "maskreid": "test_resnet",
    "spreid": "test_resnet",
    "horeid": "test_resnet",
    "osnet-x0-25": "osnet_x0_25",
    "plain-swin": "swin_tiny_patch4_window7_224",
    "plain-vit": "test_vit",
}
"""A small network of the same kind, for methods whose training differs from another's."""


@pytest.mark.parametrize("name", COUNTS)
def test_a_recipe_builds_the_network_of_its_paper(name):
    recipe = load_recipe(name, overrides=["model.pretrained=false"])
    with torch.device("meta"):
        network = build_model(**model_arguments(recipe), identities=IDENTITIES)
        network.backbone.require_size(recipe.images.size)
    info = model_info(network, size=recipe.images.size)
    assert (info.parameters["backbone"], info.parameters["head"]) == COUNTS[name]
    height, width = recipe.images.size
    wide = ("plain-convnext", "plain-swin", "scpnet", "glad", "maskreid", "spreid")
    stride = 32 if name in wide else 16
    assert info.map[1:] == (-(-height // stride), -(-width // stride))


def test_recipe_costs_equal_the_table_in_the_docs():
    """Oracle: the table in docs/recipes.md, as it stands in its rows."""
    from test_docs import ROOT

    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    single = [name for name in COUNTS if not name.startswith(("osnet", "plain"))]
    for names in (*([name] for name in single), ["osnet", "osnet-x0-25"]):
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{names[0]}`")]
        figures = [f"{COUNTS[name][0] / 1e6:.1f}; {sum(COUNTS[name]) / 1e6:.1f}" for name in names]
        assert row.endswith(f"| {' and '.join(figures)} |")
    plain = [f"{COUNTS[name][0] / 1e6:.1f}; {sum(COUNTS[name]) / 1e6:.1f}" for name in list(COUNTS)[-3:]]
    assert f"| {', '.join(plain)} |" in text


def test_recipe_settings_equal_those_of_the_papers():
    recipes = {name: load_recipe(name) for name in COUNTS}
    assert {recipe.images.size for name, recipe in recipes.items() if name in ("pcb", "pcb-rpp", "hpm", "bdb")} == {
        (384, 128)
    }
    assert (recipes["pcb"].loss.identity.weight, recipes["hpm"].loss.identity.weight) == (6, 15)
    assert (recipes["bdb"].batches.persons, recipes["bdb"].batches.images) == (32, 4)
    assert (recipes["bdb"].model.drop_height, recipes["bdb"].model.drop_width) == (0.3, 1.0)
    strong = recipes["strong-reid"]
    assert (strong.loss.center.weight, strong.loss.triplet.margin, strong.loss.identity.label_smoothing) == (
        5e-4,
        0.3,
        0.1,
    )
    assert (strong.schedule.epochs, strong.schedule.warmup_epochs, strong.schedule.lr_max) == (120, 10, 3.5e-4)
    assert [stage.train for stage in recipes["pcb-rpp"].plan][1] == ("refinement",)
    assert recipes["osnet"].model_dump(exclude={"name"}) == recipes["osnet-x0-25"].model_dump(exclude={"name"}) | {
        "model": recipes["osnet"].model.model_dump()
    }


def test_first_stage_of_refined_pcb_equals_pcb():
    plain, refined = (load_recipe(name).model_dump(exclude={"name", "stages"}) for name in ("pcb", "pcb-rpp"))
    assert (plain["model"].pop("refine"), refined["model"].pop("refine")) == (False, True)
    assert (plain["schedule"].pop("epochs"), refined["schedule"].pop("epochs")) == (60, 70)
    assert plain == refined
    assert load_recipe("pcb-rpp").plan[0].epochs == 60


def test_plain_recipes_differ_only_in_the_backbone():
    plain = [load_recipe(f"plain-{name}").model_dump(exclude={"name"}) for name in ("convnext", "swin", "vit")]
    for recipe in plain:
        recipe["model"].pop("backbone")
        recipe["images"].pop("mean"), recipe["images"].pop("std")
        recipe["model"].pop("layer_scale")
    assert plain[0] == plain[1] == plain[2]


@pytest.mark.parametrize("name", SMALL)
def test_a_recipe_takes_a_step_on_a_small_network(name):
    overrides = ["model.pretrained=false", f"model.backbone={SMALL[name]}", "images.size=[64, 32]", "images.pad=2"]
    overrides += ["batches.persons=4", "batches.images=2", "batches.workers=0", "training.precision=fp32"]
    recipe = load_recipe(name, overrides=overrides)
    people = join_training(load_data(SIMPLE))
    alone = Process(0, 1, torch.device("cpu"))
    network, state = training_state(recipe, people.identities, alone)
    steps = training_steps(state, training_loader(recipe, people, alone), recipe, alone, people)
    before = {key: parameter.clone() for key, parameter in network.named_parameters()}
    (first, second) = (next(steps), next(steps))
    on = {key for key, value in recipe.loss.model_dump().items() if value} | {"loss"}
    on |= {"own"} if name in ("scpnet", "mhn", "cama", "dgnet", "horeid") else set()
    assert first.losses.keys() == second.losses.keys() == on
    assert all(math.isfinite(value) for value in second.losses.values())
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    still = [key for key, parameter in network.named_parameters() if torch.equal(parameter, before[key])]
    assert len(still) < 0.2 * len(before), still
