"""Adaptation as a whole. Oracles: drawn people whose shadows are known, embeddings before and after, messages."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import passerby
from adaptation.drawn_site import PEOPLE, draw_site
from passerby.errors import DataError, TrainingError, WeightsError
from passerby.metric.fold import find_obstacle, fold_maps
from passerby.metric.part_maps import apply_maps, split_parts
from passerby.model.convnext_ap import convnext_ap
from passerby.runtime.weights_hash import hash_tensors


def weights(run):
    return hash_tensors((name, t.numpy()) for name, t in passerby.load(run).network.state_dict().items())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return draw_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def adapted(site, tiny_run, tmp_path_factory):
    """A run adapted by tracks, and its result; tests read it."""
    out = tmp_path_factory.mktemp("adapted") / "run"
    return passerby.adapt(
        out, data=f"folder:{site}?labels=none", model=tiny_run, rendered=PEOPLE, passes=0, device="cpu"
    )


def test_a_map_that_helps_is_chosen_and_written(adapted, tiny_run):
    assert adapted.helped, adapted.rungs
    chosen = next(rung for rung in adapted.rungs if rung.name == adapted.chosen)
    best = max((rung for rung in adapted.rungs if rung.accepted), key=lambda rung: rung.gain)
    assert chosen.name == "links" or chosen == best
    assert chosen.gain >= best.gain - 2 * best.error
    assert chosen.gain > 2 * chosen.error > 0
    assert (adapted.crops, adapted.cameras, adapted.groups, adapted.held_out) == (240, 2, 80, 24)
    assert weights(adapted.folder) != weights(tiny_run)


def test_the_run_finds_people_of_the_site_better(adapted, tiny_run, tmp_path):
    """Oracle: other people with the same shadows, drawn without tracks."""
    folder = draw_site(tmp_path / "test", people=30, crops=1, tracks=False)
    paths = sorted(folder.rglob("*.png"), key=lambda path: (path.parent.name, int(path.stem.partition("_")[0])))
    persons, cameras = np.tile(np.arange(1, 31), 2), np.repeat([0, 1], 30)

    def mean_precision(run):
        images = passerby.Embeddings(passerby.load(run, device="cpu").embed(paths), persons, cameras)
        return passerby.score(images.take(range(30)), images.take(range(30, 60)), cameras=True).mAP

    assert mean_precision(adapted.folder) > mean_precision(tiny_run) + 0.05


def test_the_run_is_described(adapted, tiny_run):
    manifest = json.loads((adapted.folder / "manifest.json").read_text())
    described = manifest["adaptation"]
    assert described["chosen"] == adapted.chosen
    assert len(described["fingerprint"]) == 64
    assert [rung["name"] for rung in described["rungs"]] == ["norms", "wccn", "kissme", "xqda", "lda", "links"]
    assert manifest["identities"] == 0
    assert manifest["initial_weights"] == f"adapted from {tiny_run}"
    assert passerby.load_calibration(adapted.folder).fitted_on.data == PEOPLE == adapted.calibration
    assert passerby.load_recipe(adapted.folder / "recipe.yaml") == passerby.load_recipe(tiny_run / "recipe.yaml")


def test_the_run_is_a_run_for_other_commands(adapted, site):
    with passerby.Gallery("memory", model=adapted.folder) as gallery:
        result = gallery.enroll(passerby.list_crops(site / "north" / "t0", camera="north", label="Ada"))
        assert result.new == 3
        assert gallery.identify(site / "north" / "t0" / "0_0.png")[0].label == "Ada"


def test_an_adapted_run_is_adapted_again(adapted, site, tmp_path):
    again = passerby.adapt(
        tmp_path / "run",
        data=f"folder:{site}?labels=none",
        model=adapted.folder,
        rendered=PEOPLE,
        passes=0,
        device="cpu",
    )
    assert again.start > adapted.start


def test_without_tracks_nothing_is_judged_and_nothing_is_written(tiny_run, tmp_path):
    folder = draw_site(tmp_path / "site", people=12, tracks=False)
    out = tmp_path / "run"
    result = passerby.adapt(
        out, data=f"folder:{folder}?labels=none", model=tiny_run, rendered=PEOPLE, passes=0, device="cpu"
    )
    assert not result.helped
    assert (result.chosen, result.folder, result.calibration) == ("nothing", None, "")
    assert {rung.note for rung in result.rungs} == {
        "no tracks, and 8 groups of similar crops; expected 67 or more, of which 30 % are held out"
    }
    assert not out.exists()


def test_tracks_of_random_crops_help_nothing(tiny_run, tmp_path):
    """Crops of a track are of no common person, so there is nothing to learn."""
    rng = np.random.default_rng(1)
    for number in range(210):
        folder = tmp_path / "site" / "north" / f"t{number // 3}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (64, 32, 3), np.uint8)).save(folder / f"{number}.png")
    result = passerby.adapt(
        tmp_path / "run",
        data=f"folder:{tmp_path}/site?labels=none",
        model=tiny_run,
        rendered=PEOPLE,
        passes=0,
        device="cpu",
    )
    assert not result.helped
    assert [rung.note for rung in result.rungs] == [
        *[f"gain not above 2 standard errors, {200 * rung.error:.1f} points" for rung in result.rungs[:5]],
        "one camera: no links between cameras",
    ]


def test_labels_are_judged_across_cameras_and_calibrate(tiny_run, tmp_path):
    site = draw_site(tmp_path / "site", people=70, crops=2)
    people = tmp_path / "people"
    for path in site.rglob("*.png"):
        target = people / path.parent.name / f"{path.parent.parent.name}_{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    spec = f"folder:{people}?train=1"
    result = passerby.adapt(
        tmp_path / "run", data=spec, labels=True, model=tiny_run, rendered=PEOPLE, passes=0, device="cpu"
    )
    assert (result.evidence, result.groups, result.held_out) == ("identities", 70, 21)
    assert result.helped, result.rungs
    fitted_on = passerby.load_calibration(result.folder).fitted_on
    assert (fitted_on.data, fitted_on.identities, fitted_on.trained_on) == ("folder:people?train=1", 70, True)


def test_folded_maps_give_the_mapped_embedding():
    """Oracle: the maps applied to the embeddings of the network before."""
    network = convnext_ap("test_convnext", parts=2, part_dim=8, refine=False).eval()
    for neck in network.part_necks:
        torch.nn.init.uniform_(neck.norm.running_mean)
        torch.nn.init.uniform_(neck.norm.running_var, 0.5, 2)
        torch.nn.init.uniform_(neck.norm.bias)
    images = torch.rand(5, 3, 64, 32)
    with torch.inference_mode():
        before = split_parts(network(images).embedding.numpy(), 2)
    maps = np.random.default_rng(0).normal(size=(2, 8, 8))
    fold_maps(network, maps)
    with torch.inference_mode():
        after = split_parts(network(images).embedding.numpy(), 2)
    np.testing.assert_allclose(after, apply_maps(before, maps), atol=2e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parts": 0, "refine": False}, "a vector of the whole map"),
        ({"parts": 2, "refine": False, "embedding": "full"}, "its embedding is full, expected reduced"),
    ],
)
def test_networks_into_which_maps_cannot_be_folded_are_named(arguments, message):
    network = convnext_ap("test_convnext", part_dim=8, **arguments)
    assert message in find_obstacle(network)
    with pytest.raises(WeightsError, match=message):
        fold_maps(network, np.zeros((2, 8, 8)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "got 0 of data, gallery, videos; expected one of them"),
        ({"data": "folder:x?labels=none", "gallery": "g"}, "got 2 of data, gallery, videos"),
        ({"videos": {"a.avi": "north"}, "labels": True}, "videos have no identities"),
        ({"data": "folder:x?labels=none", "every": 2}, "every: is for videos, and data is given"),
    ],
)
def test_sources_that_contradict_each_other_are_named(arguments, message, tmp_path):
    with pytest.raises(DataError, match=message):
        passerby.adapt(tmp_path / "run", **arguments)


def test_a_used_folder_is_refused(tiny_run, site):
    with pytest.raises(TrainingError, match="already holds a run"):
        passerby.adapt(tiny_run, data=f"folder:{site}?labels=none")


def test_answers_about_other_crops_are_refused(site, tiny_run, tmp_path):
    (tmp_path / "answers.csv").write_text("first,second,answer\nx,y,same\n")
    with pytest.raises(DataError, match="no answer is about two of the 240 crops"):
        passerby.adapt(
            tmp_path / "run", data=f"folder:{site}?labels=none", model=tiny_run, answers=tmp_path / "answers.csv"
        )


def test_damaged_weights_are_named(site, tiny_run, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    run = tmp_path / "damaged"
    shutil.copytree(tiny_run, run)
    tensors = load_file(run / "model.safetensors")
    tensors["part_necks.0.norm.weight"][:] = torch.nan
    save_file(tensors, run / "model.safetensors")
    with pytest.raises(WeightsError, match="its embeddings are not finite"):
        passerby.adapt(
            tmp_path / "run", data=f"folder:{site}?labels=none", model=run, rendered=PEOPLE, passes=0, device="cpu"
        )
    assert not (tmp_path / "run").exists()
