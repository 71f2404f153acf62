"""Runs of an older version are converted. Oracle: the run of this version that the old one is written from."""

import json
import os
import re
import shutil

import pytest
import yaml
from safetensors.numpy import load_file, save_file

import passerby
from passerby.errors import RecipeError, WeightsError
from passerby.recipe import load_recipe
from passerby.runs.run_folder import RunFolder
from passerby.runs.train import resume
from passerby.runs.upgrade_run import COPIES, upgrade_run

FILES = ("recipe.yaml", "manifest.json", "log.jsonl", "scores.json", "checkpoints/last.safetensors")


def age_recipe(tree):
    tree["optimiser"] = tree.pop("optimizer")
    tree["loss"]["centre"] = tree["loss"].pop("center")
    return tree


def age(run):
    """Rewrite a run as the version before manifest format 2 wrote it."""
    recipe = run / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(age_recipe(yaml.safe_load(recipe.read_text())), sort_keys=False))
    manifest = json.loads((run / "manifest.json").read_text())
    del manifest["fingerprints"]
    manifest |= {"format": 1, "recipe": age_recipe(manifest["recipe"])}
    (run / "manifest.json").write_text(json.dumps(manifest))
    log = run / "log.jsonl"
    log.write_text(log.read_text().replace('"identity":', '"centre":') + '{"step": 19, "losses": {"centre')
    scores = json.loads((run / "scores.json").read_text())
    scores["evaluations"][0]["method"] = "camera-wise normalisation (the test cameras' unlabelled images)"
    (run / "scores.json").write_text(json.dumps(scores))
    checkpoint = run / "checkpoints" / "last.safetensors"
    metadata = json.loads(checkpoint_metadata(checkpoint))
    metadata["optimiser"] = metadata.pop("optimizer")
    tensors = {name.replace("optimizer.", "optimiser."): value for name, value in load_file(checkpoint).items()}
    save_file(tensors, checkpoint, metadata={"passerby": json.dumps(metadata)})
    (run / "plots").rename(run / "figures")
    return run


def checkpoint_metadata(path):
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return file.metadata()["passerby"]


@pytest.fixture
def old_run(tiny_run, tmp_path):
    return age(shutil.copytree(tiny_run, tmp_path / "old"))


def contents(run):
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def test_an_old_run_becomes_the_run_of_this_version(old_run, tiny_run):
    assert upgrade_run(old_run)
    for name in ("recipe.yaml", "manifest.json", "model.safetensors", "calibration.json"):
        assert (old_run / name).read_bytes() == (tiny_run / name).read_bytes(), name
    assert '"center"' in (old_run / "log.jsonl").read_text()
    assert (old_run / "log.jsonl").read_text().endswith('{"step": 19, "losses": {"centre')
    method = json.loads((old_run / "scores.json").read_text())["evaluations"][0]["method"]
    assert method == passerby.RankingMethod(cameras=True).title
    assert contents(old_run).keys() == contents(tiny_run).keys()
    assert not upgrade_run(old_run)


def test_training_continues_from_a_converted_checkpoint(old_run, tiny_run):
    """Oracle: the model of the run that was not converted."""
    (old_run / "model.safetensors").unlink()
    (old_run / "log.jsonl").write_text(
        "".join(f"{line}\n" for line in (tiny_run / "log.jsonl").read_text().split("\n"))
    )
    upgrade_run(old_run)
    resume(old_run, device="cpu")
    assert (old_run / "model.safetensors").read_bytes() == (tiny_run / "model.safetensors").read_bytes()


def test_an_interrupted_conversion_keeps_copies_and_is_completed(old_run, tmp_path, monkeypatch):
    """Interrupted at every replacement of a file. Oracle: the conversion that was not interrupted."""
    whole = shutil.copytree(old_run, tmp_path / "whole")
    before = contents(old_run)
    upgrade_run(whole)
    replace, moment, interrupted = os.replace, 0, True
    while interrupted:
        run = shutil.copytree(old_run, tmp_path / f"run{moment}")
        calls = iter([replace] * moment)

        def stop(*paths, calls=calls):
            move = next(calls, None)
            if move is None:
                raise KeyboardInterrupt
            move(*paths)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", stop)
            try:
                upgrade_run(run)
                interrupted = False
            except KeyboardInterrupt:
                for name in FILES:
                    kept = [path.read_bytes() for path in (run / name, run / COPIES / name) if path.is_file()]
                    assert before[name] in kept, name
        if interrupted:
            upgrade_run(run)
        assert contents(run) == contents(whole)
        moment += 1
    assert moment == 1 + 2 * len(FILES)


def test_a_command_that_meets_an_old_run_names_the_conversion(old_run):
    hint = rf"passerby model upgrade {old_run}"
    for job in (passerby.load, passerby.evaluate, passerby.calibrate, passerby.resume):
        with pytest.raises(WeightsError, match=hint):
            job(old_run)
    with pytest.raises(RecipeError, match="passerby model upgrade RUN"):
        load_recipe(old_run / "recipe.yaml")


def test_several_data_sets_without_their_data_have_no_fingerprints(old_run):
    """Their titles are compared then, as the version before did."""
    path = RunFolder(old_run).manifest
    manifest = json.loads(path.read_text()) | {"data": "market1501:/no/where", "titles": ["a", "b"]}
    path.write_text(json.dumps(manifest))
    upgrade_run(old_run)
    assert json.loads(path.read_text())["fingerprints"] is None


def test_folder_without_a_run_is_not_converted(tmp_path, old_run):
    with pytest.raises(WeightsError, match=r"no run here \(no manifest\.json\); expected the folder of a run"):
        upgrade_run(tmp_path)
    path = RunFolder(old_run).manifest
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 9}))
    before = contents(old_run)
    with pytest.raises(WeightsError, match=rf"^{re.escape(str(path))}: format 9, expected 1 or 2; install the version"):
        upgrade_run(old_run)
    assert contents(old_run) == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[]", "got list, expected an object"),
        ('{"format": 1}', "lacks model, preprocessing, identities"),
        ('{"format": 2, "model": {}, "identities": 0}', "lacks preprocessing"),
        ("{", "Expecting property name"),
    ],
)
def test_a_manifest_of_another_program_is_neither_converted_nor_up_to_date(tmp_path, content, reason):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(WeightsError, match=rf"manifest\.json: not converted, as it is no file of passerby \({reason}"):
        upgrade_run(tmp_path)
    assert (tmp_path / "manifest.json").read_text() == content
