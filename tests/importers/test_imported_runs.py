"""An imported run in the commands that take a run. Oracle: they end, and the fine-tuned run starts from its weights."""

from dataclasses import replace

import pytest

import passerby
from conftest import SIMPLE
from importers.peer_files import peer_state, write
from passerby.errors import RecipeError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    path = write(peer_state("torchreid", "osnet_x0_25"), folder / "osnet.safetensors")
    passerby.import_model(path, folder / "run", size=(64, 32))
    return folder / "run"


def test_it_is_evaluated_and_calibrated(run):
    (result,) = passerby.evaluate(run, SIMPLE, device="cpu")
    assert 0 < result.scores.mAP <= 1
    assert passerby.calibrate(run, SIMPLE, device="cpu").fitted_on.images > 0


def test_it_enrolls_a_gallery(run, tmp_path):
    (data,) = passerby.load_data(SIMPLE)
    crops = [passerby.Crop(image=sample.path, camera="a") for sample in data.gallery[:4]]
    with passerby.Gallery(tmp_path / "gallery", model=run, device="cpu") as gallery:
        gallery.enroll(crops)
        (nearest, *_), *_ = gallery.search([data.gallery[0].path])
        assert nearest.distance < 1e-5


def test_training_starts_from_it(run, tmp_path):
    short = ["schedule.epochs=1", "schedule.warmup_epochs=0", "batches.persons=4", "batches.images=2"]
    recipe = passerby.load_recipe(run / "recipe.yaml", overrides=[f"model.weights={run}", *short])
    (result,) = passerby.train(recipe, SIMPLE, tmp_path / "tuned", device="cpu")
    assert 0 < result.scores.mAP <= 1


def test_another_network_does_not_start_from_it(run, tmp_path):
    recipe = passerby.load_recipe("lab-atto", overrides=[f"model.weights={run}"])
    with pytest.raises(RecipeError, match="is the imported network osnet_x0_25, the recipe has convnext_atto"):
        passerby.train(recipe, SIMPLE, tmp_path / "run", device="cpu")


def test_the_command_prints_what_was_recognized(run, tmp_path):
    from typer.testing import CliRunner

    from passerby.cli.model import app

    source = write(peer_state("torchreid", "osnet_x0_25"), tmp_path / "a.safetensors")
    printed = CliRunner().invoke(app, ["import", str(source), "--out", str(tmp_path / "run"), "--size", "64x32"])
    assert printed.exit_code == 0, printed.output
    for text in ("osnet_x0_25, head average-fc512-bn-relu", "64 x 32 pixels", "0.485, 0.456, 0.406", "bilinear"):
        assert text in printed.output


def test_what_no_tensor_shows_is_one_list(tmp_path):
    """Oracle: the line, written by hand; the network has an option `embedding`, but none for cameras."""
    from passerby.cli.model_import import _describe_checkpoint

    source = write(peer_state("torchreid", "osnet_x0_25"), tmp_path / "a.safetensors")
    model = passerby.import_model(source, tmp_path / "run", size=(64, 32))
    shown = replace(model, assumed={"embedding": "after the batch norm", "cameras": "their mean"})
    line = _describe_checkpoint(shown)["not in the tensors"]
    assert line == "embedding reduced (after the batch norm); cameras (their mean)"
